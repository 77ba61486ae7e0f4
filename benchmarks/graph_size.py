"""From which size on the graph index is worth building: an exact scan and a search of the graph, size by size.

    python -m benchmarks.graph_size --sizes 10000 25000 50000 100000

Vectors are those of `retrieval_scale`. Printed for each size, as medians of `--repeats` searches for ten rows: the clock
and the processor of both ways, and the processor time that the graph takes to build.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval_scale import COMMIT, DIMENSIONS, clustered, documents, near
from pericia.stores.lance.store import LanceStore

NEVER = 10**12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 25_000, 50_000, 100_000])
    parser.add_argument("--repeats", type=int, default=50)
    chosen = parser.parse_args()
    print(f"{'rows':>9}{'scan ms':>10}{'(cpu)':>8}{'graph ms':>10}{'(cpu)':>8}{'built in':>12}")
    for size in chosen.sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), size, chosen.repeats)


def measure(folder: Path, size: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    vectors = clustered(size, rng)
    questions = near(vectors, repeats + 3, rng)
    store = LanceStore(folder, "scale", DIMENSIONS, ann_rows=NEVER)
    for start in range(0, size, COMMIT):
        store.replace(dict(documents(vectors, start, min(start + COMMIT, size), rng)))
    assert store.optimize() == ""
    scan = latency(store, questions)
    store = LanceStore(folder, "scale", DIMENSIONS, ann_rows=1)
    worked = time.process_time()
    assert store.optimize() == ""
    built = time.process_time() - worked
    graph = latency(store, questions)
    print(f"{size:9,}" + "".join(f"{a:10.1f}{b:8.1f}" for a, b in (scan, graph)), end="")
    print(f"{built:10.0f} s", flush=True)


def latency(store: LanceStore, questions: NDArray[np.float32]) -> tuple[float, float]:
    """Return the median clock and processor time of a search, in ms, after three rounds to warm up."""
    times, worked = [], []
    for question in questions:
        began, began_work = time.perf_counter(), time.process_time()
        store.search_dense(question, 10)
        times.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - began_work))
    return statistics.median(times[3:]), statistics.median(worked[3:])


if __name__ == "__main__":
    main()

"""Search, recall, re-indexing and memory of a large index.

    python -m benchmarks.retrieval_scale --chunks 100000
    python -m benchmarks.retrieval_scale --chunks 1000000 --repeats 50
    python -m benchmarks.retrieval_scale --chunks 100000 --folder FOLDER

With a folder the index stays there: a run that was ended goes on at its last commit, and a later one only measures.

Vectors are synthetic (clusters, as real ones have), texts are random words of a skewed vocabulary, documents have 50
chunks. A retrieval is the whole step that `pericia ask` takes: the question is embedded by MiniLM, both legs search,
their scores are joined. Recall is that of the dense leg against the exact scan, for questions near stored vectors: the
share of the ten found that are as near as the ten nearest. A document stored again is an edited one: none of its chunks
keeps its id.
Beside the time on the clock stands that of the processor, all threads together: a busy machine lengthens only the first.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pericia import embedders, stores
from pericia.config import RetrievalConfig
from pericia.retrieve import retrieve
from pericia.stores import VectorStore
from pericia.types import Chunk, Entry, Place

DIMENSIONS = 384
CHUNKS_A_DOCUMENT = 50
WORDS_A_CHUNK = 60
VOCABULARY = 50_000
COMMIT = 10_000
SAME = 1e-5  # two cosines that differ by less are one, computed in another order


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.folder is not None:
        measure(chosen.folder, chosen.chunks, chosen.repeats)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen.chunks, chosen.repeats)


def measure(folder: Path, num_chunks: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    embedder = embedders.load("minilm")
    store = stores.load("lance", folder, "scale", DIMENSIONS)
    vectors = clustered(num_chunks, rng)

    build(store, vectors, folder / "built")

    questions = near(vectors, repeats, rng)
    scores = [np.array([hit.score for hit in store.search_dense(q, 10)]) for q in questions]
    least = [np.partition(vectors @ q, -10)[-10] for q in questions]
    recall = np.mean([(a > b - SAME).sum() / 10 for a, b in zip(scores, least, strict=True)])
    show("recall@10 against exact", float(recall), "")

    settings = RetrievalConfig(legs="hybrid", language="en")
    asked = iter([" ".join(words(rng, 10)) for _ in range(repeats + 3)])
    latency(
        "whole retrieval",
        lambda: retrieve(next(asked), store=store, embedder=embedder, settings=settings),
        repeats,
    )
    vector = iter([*questions, *questions])
    latency("dense leg alone", lambda: store.search_dense(next(vector), 10), repeats - 3)
    latency("one document re-indexed", lambda: reindex(store, vectors, rng), min(repeats, 30))
    began = time.perf_counter()
    fault = store.optimize()  # as every sync ends; the next run measures an index in order
    show("compacted after that", time.perf_counter() - began, f"s {fault}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "linux" else 1 << 30
    )
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**30
    show(
        "memory at most",
        peak,
        f"GiB, of which the vectors of this script {vectors.nbytes / 2**30:.2f}",
    )
    show("disk", disk, "GiB")


def build(store: VectorStore, vectors: NDArray[np.float32], built: Path) -> None:
    """Store what is not stored yet and index it; the file `built` says that this was done."""
    if built.exists():
        return
    began, worked, stored = time.perf_counter(), time.process_time(), store.count()
    for start in range(stored, len(vectors), COMMIT):
        end = min(start + COMMIT, len(vectors))
        store.replace(dict(documents(vectors, start, end, np.random.default_rng([1, start]))))
        if end % (10 * COMMIT) == 0 or end == len(vectors):
            spent = f"processor {time.process_time() - worked:.3g} s"
            show("written", time.perf_counter() - began, f"s, {spent}, {end - stored} chunks")
    began, worked = time.perf_counter(), time.process_time()
    fault = store.optimize()
    spent = f"processor {time.process_time() - worked:.3g} s"
    show("compacted and indexed", time.perf_counter() - began, f"s, {spent} {fault}")
    built.touch()


def clustered(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return unit vectors around count / 200 centres, (count, DIMENSIONS)."""
    centres = rng.normal(size=(max(10, count // 200), DIMENSIONS)).astype(np.float32)
    made = np.empty((count, DIMENSIONS), dtype=np.float32)
    for start in range(0, count, COMMIT):
        size = min(COMMIT, count - start)
        noise = rng.normal(size=(size, DIMENSIONS)).astype(np.float32)
        made[start : start + size] = centres[rng.integers(len(centres), size=size)] + 0.7 * noise
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def near(vectors: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.normal(size=(count, DIMENSIONS)).astype(np.float32) / DIMENSIONS**0.5
    made = vectors[rng.integers(len(vectors), size=count)] + 0.5 * noise
    unit: NDArray[np.float32] = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def documents(
    vectors: NDArray[np.float32],
    start: int,
    end: int,
    rng: np.random.Generator,
    edition: int = 0,
) -> Iterator[tuple[str, list[Entry]]]:
    for first in range(start, end, CHUNKS_A_DOCUMENT):
        places = range(first, min(first + CHUNKS_A_DOCUMENT, end))
        key = sha256(f"document {first}".encode()).hexdigest()
        yield key, [entry(i, key, vectors[i], rng, edition) for i in places]


def entry(
    i: int, document_id: str, vector: NDArray[np.float32], rng: np.random.Generator, edition: int
) -> Entry:
    text = " ".join(words(rng, WORDS_A_CHUNK))
    place = Place(page=1)
    chunk_id = sha256(f"{i} {edition}".encode()).hexdigest()
    chunk = Chunk(chunk_id, document_id, f"{document_id}.txt", text, 0, len(text), place)
    return Entry(chunk, vector, text)


def words(rng: np.random.Generator, count: int) -> list[str]:
    """Return words as frequent as in a language: the rank of a word is drawn from a power law."""
    ranks = np.minimum(rng.zipf(1.3, size=count), VOCABULARY)
    return [f"w{rank}" for rank in ranks]


def reindex(store: VectorStore, vectors: NDArray[np.float32], rng: np.random.Generator) -> None:
    first = int(rng.integers(len(vectors) // CHUNKS_A_DOCUMENT)) * CHUNKS_A_DOCUMENT
    end, edition = first + CHUNKS_A_DOCUMENT, time.time_ns()
    store.replace(dict(documents(vectors, first, end, rng, edition)))


def latency(name: str, step: Callable[[], object], repeats: int) -> None:
    """Print the median and the 95th percentile of a step, in ms, after three rounds to warm up."""
    times, worked = [], []
    for _ in range(repeats + 3):
        began, began_work = time.perf_counter(), time.process_time()
        step()
        times.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - began_work))
    cuts = statistics.quantiles(times[3:], n=20)
    spent = f"processor {statistics.median(worked[3:]):.1f} ms"
    show(name, statistics.median(times[3:]), f"ms median, {cuts[-1]:.1f} ms 95 %, {spent}")


def show(name: str, value: float, unit: str) -> None:
    print(f"{name:26}{value:10.3g} {unit}", flush=True)


if __name__ == "__main__":
    main()

"""How often the advice is right when the truth is known: scripted answers, no model, thousands of runs.

    python -m benchmarks.worlds_scripted [RUNS]

The worlds stand in tests/evaluate/scripted.py; a reduced form is in tests/evaluate/test_recommend.py. The second
table moves the one threshold of the advice that was chosen, and shows why it stands where it does.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pericia.evaluate import recommend
from tests.evaluate.scripted import PLANNED, SCRIPTS, outcomes
from tests.evaluate.worlds import Sizes

COLUMNS = ("right", "silent", "wrong", "any verdict")
SIZES: dict[str, Sizes] = {
    "200 questions, 40 documents": PLANNED,
    "100 questions, 20 documents": (5,) * 20,
    "60 questions, 12 documents": (5,) * 12,
}


def main(num_runs: int) -> None:
    start = time.time()
    for title, sizes in SIZES.items():
        print(f"\n{title}, {num_runs} runs a world, %")
        print("| world | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
        for name in SCRIPTS:
            found = outcomes(name, sizes, range(num_runs))
            shares = " | ".join(f"{100 * found[column]:.1f}" for column in COLUMNS)
            print(f"| {name} | {shares} |", flush=True)
    few = max(1, num_runs // 4)
    print(f"\nrecommend.HIDDEN_FROM, {few} runs a world: right / silent / wrong, %")
    worlds = ("W0", "W1", "W2", "W7", "W9")
    print(
        "| documents | threshold | " + " | ".join(worlds) + " |\n|---|---|" + "---|" * len(worlds)
    )
    for num_families in (12, 20, 40):
        for threshold in (0.0, 0.25, 0.5, 0.75, 1.0, 9.0):
            with moved(threshold):
                found_in = [outcomes(name, (5,) * num_families, range(few)) for name in worlds]
            cells = (" / ".join(f"{100 * found[c]:.0f}" for c in COLUMNS[:3]) for found in found_in)
            print(f"| {num_families} | {threshold} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{time.time() - start:.0f} s")


@contextmanager
def moved(threshold: float) -> Iterator[None]:
    kept = recommend.HIDDEN_FROM
    recommend.HIDDEN_FROM = threshold
    try:
        yield
    finally:
        recommend.HIDDEN_FROM = kept


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

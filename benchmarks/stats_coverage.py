"""How well intervals and verdicts keep their promise: the full study behind tests/evaluate/test_stats.py.

Run from the root of the project: python -m benchmarks.stats_coverage [RUNS]
"""

import sys
import time

from tests.evaluate.simulation import coverage, false_alarms
from tests.evaluate.worlds import CELLS


def main(num_runs: int) -> None:
    start = time.time()
    print(f"Coverage of 95 % intervals of a difference, {num_runs} runs a cell")
    print("| families x questions | effect 0 | 0.1 | 0.3 | 0.6 |")
    print("|---|---|---|---|---|")
    for name, sizes in CELLS.items():
        cells = [
            coverage(sizes, effect=e, num_runs=num_runs, seed=11) for e in (0.0, 0.1, 0.3, 0.6)
        ]
        print(f"| {name} | " + " | ".join(f"{100 * cell:.1f}" for cell in cells) + " |", flush=True)
    print(f"\nThe same for scores between 0 and 1, effect 0.3, {num_runs} runs a cell")
    for name, sizes in CELLS.items():
        share = coverage(sizes, effect=0.3, num_runs=num_runs, seed=13, graded=True)
        print(f"{name}: {100 * share:.1f} %", flush=True)
    print(f"\nRuns with any verdict although five arms are equal, {num_runs // 5} runs a cell")
    for name, sizes in CELLS.items():
        share = false_alarms(sizes, num_arms=5, effect=0.3, num_runs=num_runs // 5, seed=11)
        print(f"{name}: {100 * share:.1f} %", flush=True)
    print(f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)

"""Peak memory as it was foreseen before a training, against what the process then took, on four sizes on a CPU.

    python -m benchmarks.planner_cpu                 (ten minutes on two quiet cores; four sizes, lora, qlora and full)
    python -m benchmarks.planner_cpu --quick         (the smallest size, lora)
    python -m benchmarks.planner_cpu --sizes "81 M" --methods lora full

Each case runs in a fresh process. Rows have one length, so that the largest batch, which is foreseen, is also the usual one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import training_speed

SIZES = {
    "5 M": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "vocab_size": 8_192},
    "27 M": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6, "vocab_size": 16_384},
    "81 M": training_speed.SHAPE,
    "230 M": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 16, "vocab_size": 32_064},
}  # fmt: skip
METHODS = ("lora", "qlora", "full")
NUM_ROWS, ROW_WORDS = 32, 180  # four steps: in the first ones half of an adapter cannot move yet


def main() -> None:
    options = read_options()
    if options.folder:
        print(json.dumps(train(options.folder, options.method)))
        return
    sizes = {name: SIZES[name] for name in (["5 M"] if options.quick else options.sizes)}
    methods = METHODS[:1] if options.quick else options.methods
    print(f"{'size':8} {'method':8} {'foreseen GB':>12} {'measured GB':>12} {'error':>8}")
    for size, shape in sizes.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            training_speed.build(folder / "model", shape)
            for method in methods:
                found = start(folder, method)
                foreseen, measured = found["foreseen_memory_bytes"], found["peak_memory_bytes"]
                error = foreseen / measured - 1
                print(
                    f"{size:8} {method:8} {foreseen / 1e9:12.2f} {measured / 1e9:12.2f} {error:8.1%}",
                    flush=True,
                )


def start(folder: Path, method: str) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.planner_cpu",
        "--folder",
        str(folder),
        "--method",
        method,
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
    return found


def train(folder: Path, method: str) -> dict[str, Any]:
    from pericia import trainers
    from pericia.config import TrainConfig
    from pericia.types import Dataset, Example, Message

    def example(number: int) -> Example:
        words = [training_speed.WORDS[(number + i) % 11] for i in range(ROW_WORDS)]
        question, answer = " ".join(words[: ROW_WORDS // 2]), " ".join(words[ROW_WORDS // 2 :])
        return Example(
            (Message("user", question), Message("assistant", answer)), str(number), number
        )

    rows = tuple(example(number) for number in range(NUM_ROWS))
    rate = 2e-5 if method == "full" else 2e-3
    settings = TrainConfig(method=method, epochs=1, learning_rate=rate)  # type: ignore[arg-type]
    trainer = trainers.load("local")
    base = str(folder / "model")
    preparation = trainer.prepare(Dataset(rows, rows[:8], "memory"), base, settings)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        recorded: Any = trainer.train(preparation, base, settings, Path(out))
    return {key: recorded[key] for key in ("foreseen_memory_bytes", "peak_memory_bytes")}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--method", choices=METHODS, default="lora", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

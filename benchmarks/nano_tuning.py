"""What LoRA or QLoRA on a world's examples gives the bundled model.

    python -m benchmarks.nano_tuning [--world W2] [--seeds 12 13 14] [--methods lora qlora] [--epochs N] [--batch-size N]

Prints for each seed and method the exact answers of `prompt` and `fine_tuned` on the world's test questions, and the
seconds of the training.
"""

import argparse
import tempfile
import time
from pathlib import Path

from pericia.config import TrainConfig
from pericia.dataset import make_dataset
from pericia.examples import read_examples
from pericia.lab.worlds import write_world
from pericia.models import load
from pericia.prompts import INSTRUCTION, closed_book_prompt
from pericia.train import train

EPOCHS, BATCH = 4, 2  # many small steps: in batches of 8 the same takes 12 epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", default="W2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[12, 13, 14])
    parser.add_argument("--methods", nargs="+", default=["lora", "qlora"])
    parser.add_argument("--batch-size", type=int, default=BATCH)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    for seed in options.seeds:
        for method in options.methods:
            settings = TrainConfig(
                method=method, epochs=options.epochs, batch_size=options.batch_size
            )
            with tempfile.TemporaryDirectory() as folder:
                measure(options.world, seed, settings, Path(folder))


def measure(name: str, seed: int, settings: TrainConfig, folder: Path) -> None:
    """Train on a world's examples and print what its test questions get."""
    world = write_world(name, seed, folder)
    examples, _ = read_examples(folder / "examples.jsonl")
    dataset = make_dataset(examples, validation_share=settings.validation_share, seed=settings.seed)
    workspace = folder / ".pericia"
    begin = time.perf_counter()
    adapter = train(
        dataset,
        base="pericia-nano",
        kind="fine_tuned",
        settings=settings,
        instruction=INSTRUCTION,
        folder=workspace,
    )
    took = time.perf_counter() - begin
    model = load("pericia-nano")
    count = len(world.content.test)
    shares = []
    for path in (None, workspace / adapter.path):
        replies = [
            model.generate(closed_book_prompt(task.question), max_new_tokens=64, adapter=path).text
            for task in world.content.test
        ]
        right = sum(
            reply == task.answer for reply, task in zip(replies, world.content.test, strict=True)
        )
        shares.append(f"{right / count:.0%}")
    print(
        f"{name} seed {seed} {settings.method}: {len(dataset.train)} examples, trained in {took:.0f} s; "
        f"exact of {count}: prompt {shares[0]}, fine_tuned {shares[1]}",
        flush=True,
    )


if __name__ == "__main__":
    main()

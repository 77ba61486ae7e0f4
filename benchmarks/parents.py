"""What a training in full learns at its automatic rate, and what going on from a parent costs the parent.

    python -m benchmarks.parents                   (three minutes on a quiet core)

The example's documents are parted in two. On the first half an adapter and the whole model learn at their automatic rates.
On the second half the adapter is gone on with at several multiples of the rate; printed are the losses a label of held-out
rows of both halves, with the base's, so that what is learnt stands beside what is lost.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from peft import PeftModel

from benchmarks.quantisation_repair import EXAMPLES, load_base, row_losses
from pericia import bases, trainers
from pericia.config import TrainConfig
from pericia.dataset import closed_book, make_dataset
from pericia.examples import read_examples
from pericia.prompts import INSTRUCTION
from pericia.types import Preparation


def prepare(half: int, settings: TrainConfig) -> Preparation:
    """Return the examples of every second document, their validation split included."""
    examples, _ = read_examples(EXAMPLES)
    sources = sorted({example.source for example in examples})
    mine = [example for example in examples if sources.index(example.source) % 2 == half]
    dataset = make_dataset(mine, validation_share=0.3, seed=settings.seed)
    book = closed_book(dataset, INSTRUCTION)
    return trainers.load().prepare(book, bases.BUNDLED, settings)


def loss(rows: Preparation, adapter: Path | None) -> float:
    model = load_base("fp32")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    sums, counts = row_losses(model, rows.validation_rows)
    return float(np.sum(sums) / np.sum(counts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--multiples", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    settings = TrainConfig(epochs=options.epochs)
    halves = [prepare(half, settings) for half in (0, 1)]
    print(f"{'trained':34} {'rate':>8} {'first half':>11} {'second half':>12}")

    def show(name: str, rate: float, adapter: Path | None) -> None:
        found = [loss(half, adapter) for half in halves]
        print(f"{name:34} {rate:8.1e} {found[0]:11.3f} {found[1]:12.3f}", flush=True)

    show("nothing", 0.0, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for method in ("lora", "full"):
            chosen = settings.model_copy(update={"method": method})
            rows = prepare(0, chosen)
            trainers.load().train(rows, bases.BUNDLED, chosen, folder / method)
            show(f"{method} on the first half", rows.learning_rate, folder / method)
        for multiple in options.multiples:
            chosen = settings.model_copy(update={"learning_rate_multiplier": multiple})
            rows = prepare(1, chosen)
            child = folder / f"child-{multiple}"
            trainers.load().train(rows, bases.BUNDLED, chosen, child, parent=folder / "lora")
            show(f"then lora on the second, x {multiple:g}", rows.learning_rate, child)


if __name__ == "__main__":
    main()

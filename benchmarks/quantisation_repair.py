"""What 4 bits cost the bundled model, and how much of it LoRA repairs: losses on held-out rows, with intervals.

    python -m benchmarks.quantisation_repair                (ten minutes on two quiet cores)
    python -m benchmarks.quantisation_repair --quick        (an epoch)
    python -m benchmarks.quantisation_repair --bases        (no training: what 4 bits cost; a minute)

The base in fp32, NF4, NF4 with double quantisation and FP4; then LoRA on the fp32 base and QLoRA on the NF4 one, the same
rows, seeds, batches and steps, in turn (A B A B for the times). Repaired is 1 - (QLoRA - LoRA) / (NF4 - fp32) of the losses
a token; its interval is a bootstrap over rows. Where 4 bits cost nothing that can be told from 0, no share is stated.
LoRA trained on fp32 and put on the NF4 base shows what is not repaired.
"""

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bitsandbytes import functional
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from pericia import bases, trainers
from pericia.config import TrainConfig
from pericia.dataset import closed_book, make_dataset
from pericia.examples import read_examples
from pericia.prompts import INSTRUCTION
from pericia.trainers.local.base import guard
from pericia.types import LabelledRow, Preparation

EXAMPLES = Path(__file__).parent.parent / "examples" / "ostermill" / "examples.jsonl"
KINDS: dict[str, dict[str, Any] | None] = {
    "fp32": None,
    "NF4": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": False},
    "NF4 + DQ": {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "FP4": {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False},
}
RESAMPLES = 10_000


def load_base(kind: str, folder: Path = bases.BUNDLED_FOLDER) -> Any:
    """Return the model with its linear layers stored in one of `KINDS`, computing in fp32."""
    options = KINDS[kind]
    quantised = None
    if options is not None:
        quantised = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, **options
        )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map={"": "cpu"}, quantization_config=quantised
    )
    guard(model)
    return model.eval()


@torch.inference_mode()
def row_losses(
    model: Any, rows: Sequence[LabelledRow], *, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed loss and the number of labels of each row; of all its tokens, if `whole`."""
    sums, counts = [], []
    for row in rows:
        ids = torch.tensor([row.ids])
        labels = ids.clone()
        if not whole:
            labels[0, ~torch.tensor(row.mask)] = -100
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")
        sums.append(float(loss))
        counts.append(int((labels[0, 1:] != -100).sum()))
    return np.array(sums), np.array(counts)


def interval(values: np.ndarray, form: str = ".1%") -> str:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"[{low:{form}}, {high:{form}}]"


def resampled(number: int) -> np.ndarray:
    """Return rows drawn with replacement, (RESAMPLES, number): the same for every comparison, so it is paired."""
    return np.random.default_rng(0).integers(0, number, (RESAMPLES, number))


def rounding_errors(model: Any) -> dict[tuple[str, str], float]:
    """Return by layer name and kind what NF4 and FP4 change of the weights, as a share of their deviation."""
    found: dict[tuple[str, str], list[float]] = {}
    for name, layer in model.named_modules():
        if not isinstance(layer, torch.nn.Linear) or layer is model.get_output_embeddings():
            continue
        weight = layer.weight.data
        for kind in ("nf4", "fp4"):
            packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type=kind)
            error = (functional.dequantize_4bit(packed, state) - weight).square().mean().sqrt()
            found.setdefault((name.rpartition(".")[2], kind), []).append(
                float(error / weight.std())
            )
    return {key: float(np.mean(values)) for key, values in found.items()}


def compare_bases(rows: Sequence[LabelledRow]) -> None:
    """Print the loss of the base in each kind on whole rows and on answers, and what the kinds differ by."""
    for (layer, kind), error in rounding_errors(load_base("fp32")).items():
        print(f"  {layer:14} {kind}  changes the weights by {error:.4f} of their deviation")
    draws = resampled(len(rows))
    for whole in (True, False):
        sums: dict[str, np.ndarray] = {}
        counts = np.zeros(0)
        for kind in KINDS:
            sums[kind], counts = row_losses(load_base(kind), rows, whole=whole)
        print(f"Loss a token of {'whole rows' if whole else 'answers'}, the base alone")
        for kind, values in sums.items():
            print(f"  {kind:10} {values.sum() / counts.sum():.4f}")
        for a, b in (("NF4", "FP4"), ("NF4 + DQ", "FP4"), ("NF4 + DQ", "fp32"), ("FP4", "fp32")):
            part = sums[a] - sums[b]
            spread = part[draws].sum(1) / counts[draws].sum(1)
            print(f"  {a} - {b}: {part.sum() / counts.sum():+.4f} {interval(spread, '+.4f')}")


def prepare(quick: bool) -> tuple[Preparation, TrainConfig]:
    examples, _ = read_examples(EXAMPLES)
    settings = TrainConfig(epochs=1 if quick else "auto", validation_share=0.3)
    dataset = make_dataset(examples, validation_share=0.3, seed=settings.seed)
    book = closed_book(dataset, INSTRUCTION)
    return trainers.load("local").prepare(book, bases.BUNDLED, settings), settings


def tune(preparation: Preparation, settings: TrainConfig, folder: Path) -> Any:
    return trainers.load("local").train(preparation, bases.BUNDLED, settings, folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--bases", action="store_true")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    preparation, settings = prepare(options.quick)
    held_out = preparation.validation_rows
    print(f"{len(preparation.rows)} rows to learn from, {len(held_out)} held out")
    compare_bases((*preparation.rows, *held_out))
    if options.bases:
        return
    losses: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds: dict[str, list[float]] = {"lora": [], "qlora": []}
        for number in range(options.repeats):
            for method in ("lora", "qlora"):
                chosen = settings.model_copy(update={"method": method})
                recorded = tune(preparation, chosen, folder / f"{method}-{number}")
                seconds[method].append(sum(recorded["step_s"]))
        for label, kind, adapter in (
            ("fp32", "fp32", None),
            ("NF4 + DQ", "NF4 + DQ", None),
            ("LoRA", "fp32", "lora-0"),
            ("QLoRA", "NF4 + DQ", "qlora-0"),
            ("LoRA put on NF4 + DQ", "NF4 + DQ", "lora-0"),
        ):
            model = load_base(kind)
            if adapter:
                model = PeftModel.from_pretrained(model, folder / adapter).eval()
            losses[label], counts = row_losses(model, held_out)
    print("Loss a label of held-out rows")
    for label, sums in losses.items():
        print(f"  {label:22} {sums.sum() / counts.sum():.4f}")
    draws = resampled(len(held_out))
    cost = (losses["NF4 + DQ"] - losses["fp32"])[draws].sum(1) / counts[draws].sum(1)

    def repaired(chosen: np.ndarray) -> np.ndarray:
        at = {label: sums[chosen].sum(-1) for label, sums in losses.items()}
        return 1 - (at["QLoRA"] - at["LoRA"]) / (at["NF4 + DQ"] - at["fp32"])

    print(f"4 bits cost a label of held-out rows: {cost.mean():+.4f} {interval(cost, '+.4f')}")
    if np.percentile(cost, 2.5) > 0:
        point = float(repaired(np.arange(len(held_out))))
        print(f"Quantisation error repaired by LoRA: {point:.1%} {interval(repaired(draws))}")
    else:
        gap = (losses["QLoRA"] - losses["LoRA"])[draws].sum(1) / counts[draws].sum(1)
        print(
            f"QLoRA - LoRA: {gap.mean():+.4f} {interval(gap, '+.4f')}; there is no cost to repair a share of"
        )
    ratio = np.median(seconds["qlora"]) / np.median(seconds["lora"])
    print(f"Time of QLoRA's steps over LoRA's, equal batch: {ratio:.2f}")


if __name__ == "__main__":
    main()

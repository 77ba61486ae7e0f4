"""What must hold before the first step and after the last; a run in which it does not has failed, whatever its loss."""

from collections.abc import Mapping, Sequence
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement
from peft import PeftModel

from pericia.config import TrainConfig
from pericia.errors import JobError, PreflightError
from pericia.trainers.local.base import load_weights, takes_bf16
from pericia.trainers.local.rows import IGNORED
from pericia.types import LabelledRow, Preparation

_PARITY = 1e-5
_LOOKED_AT = 2**16  # elements of a matrix
_TRAINING = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")
_LOOKED_AT_TOGETHER = 8  # rows; any batch shows what batching does to labels
_FEW_STEPS = 10  # the first may warm up at a rate of 0, and the next can move lora_B only, since it starts at zero


def check_versions() -> None:
    """Raise PreflightError if a library that trains is none of the versions that Pericia's own requirements name."""
    for line in requires("pericia") or ():
        wanted = Requirement(line)
        if wanted.name not in _TRAINING:
            continue
        there = version(wanted.name)
        if not wanted.specifier.contains(there, prereleases=True):
            raise PreflightError(
                f"{wanted.name} {there} is installed; Pericia trains with {wanted.name} {wanted.specifier}.",
                hint=f"Run: pip install '{wanted}'",
            )


def check_labels(trainer: Any, rows: Sequence[LabelledRow]) -> None:
    """Raise PreflightError if the batches, as they are made, count other tokens in the loss than `rows` show.

    A first token is no label: nothing stands before it to foretell it from.
    """
    for start in range(0, len(rows), _LOOKED_AT_TOGETHER):
        part = rows[start : start + _LOOKED_AT_TOGETHER]
        places = range(start, start + len(part))
        batch = trainer.data_collator([trainer.train_dataset[place] for place in places])
        counted = int((batch["labels"][:, 1:] != IGNORED).sum())
        wanted = sum(sum(row.mask[1:]) for row in part)
        if counted != wanted:
            raise PreflightError(
                f"The batch of the examples '{part[0].example.id}' to '{part[-1].example.id}' counts {counted} tokens "
                f"in the loss, and its rows show {wanted}.",
                hint="Try train.packing: off; and report this, with your settings.",
            )


def check_losses(history: Sequence[Mapping[str, Any]], preparation: Preparation) -> None:
    """Raise JobError if a step learnt nothing, or if nothing was evaluated."""
    for entry in history:
        loss = entry.get("loss", 1.0)
        if loss == 0.0 or entry.get("grad_norm", 1.0) == 0.0 or loss != loss:
            raise JobError(
                f"Step {entry['step']} has loss {loss} and gradient norm {entry.get('grad_norm')}: "
                "nothing was learnt there.",
                hint="Look at the data with: pericia check; and lower train.learning_rate if it is nan.",
            )
    if not any("eval_loss" in entry for entry in history):
        raise JobError(
            f"None of the {len(preparation.validation_rows)} validation rows was evaluated.",
            hint="Report this, with your settings.",
        )


def weights_before(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what `check_weights` compares with: the first matrices of an adapter, or part of each matrix that learns."""
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    chosen = {n: p for n, p in learning.items() if "lora_A" in n} or {
        n: p for n, p in learning.items() if p.ndim == 2 and "embed" not in n and "head" not in n
    }
    return {n: p.detach().flatten()[:_LOOKED_AT].clone() for n, p in chosen.items()}


def check_weights(
    model: torch.nn.Module, before: Mapping[str, torch.Tensor], num_steps: int
) -> None:
    """Raise JobError if part of what should learn has not moved since `before`, `num_steps` optimiser steps ago."""
    taken, hint = "", "Raise train.learning_rate."
    if num_steps < _FEW_STEPS:
        taken = f" after {num_steps} optimiser step{'s' if num_steps > 1 else ''}"
        hint = "Take more steps: raise train.epochs, or lower train.batch_size."
    weights = dict(model.named_parameters())
    still = [
        n for n, p in weights.items() if "lora_B" in n and ".ref." not in n and not bool(p.any())
    ]
    if still:
        raise JobError(
            f"{len(still)} adapter matrices are still zero{taken}, the first is {still[0]}.",
            hint=hint,
        )
    moved = [
        float((weights[n].detach().flatten()[:_LOOKED_AT] != first).float().mean())
        for n, first in before.items()
    ]
    if moved and min(moved) < 0.5:
        lost = "" if taken else ": steps are lost to rounding"
        raise JobError(f"Only {min(moved):.0%} of a matrix has moved{taken}{lost}.", hint=hint)


def logits_of(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the model's logits in fp32, (1, tokens, vocabulary); the model stays in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return model(input_ids=ids).logits.float().cpu()


def check_reload(
    base_folder: Path,
    settings: TrainConfig,
    preparation: Preparation,
    folder: Path,
    probe: torch.Tensor,
    reference: torch.Tensor,
) -> None:
    """Raise JobError if the adapter as written gives other logits than `reference`, on a fresh base."""
    fresh = load_weights(base_folder, settings, preparation.num_parameters)
    difference = float(
        (logits_of(PeftModel.from_pretrained(fresh, folder), probe) - reference).abs().max()
    )
    if difference > _PARITY and not takes_bf16(preparation.num_parameters):
        raise JobError(
            f"The adapter as written gives other answers than the one trained: logits differ by {difference:.2g}.",
            hint="Report this, with your settings.",
        )

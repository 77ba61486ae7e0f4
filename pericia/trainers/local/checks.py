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
from pericia.said import said
from pericia.trainers.local.base import load_weights, takes_bf16
from pericia.trainers.local.rows import IGNORED
from pericia.types import LabelledRow, Preparation

_PARITY = 1e-5
_BF16_STEP = 2**-8  # between a number and the next, as a share of it
_ROSE = 1.001
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
                said(
                    "%(name)s %(there)s is installed; Pericia trains with %(name)s %(specifier)s.",
                    name=wanted.name,
                    there=there,
                    specifier=wanted.specifier,
                ),
                hint=said("Run: pip install '%(wanted)s'", wanted=wanted),
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
                said(
                    "The batch of the examples '%(first)s' to '%(last)s' counts %(counted)s tokens in the loss, and its rows show %(wanted)s.",
                    first=part[0].example.id,
                    last=part[-1].example.id,
                    counted=counted,
                    wanted=wanted,
                ),
                hint=said("Try train.packing: off; and report this, with your settings."),
            )


def check_losses(
    history: Sequence[Mapping[str, Any]], preparation: Preparation, rate: float
) -> None:
    """Raise JobError if a step learnt nothing at the learning rate `rate`, or if nothing was evaluated."""
    for entry in history:
        loss = entry.get("loss", 1.0)
        if loss == 0.0 or entry.get("grad_norm", 1.0) == 0.0 or loss != loss:
            raise JobError(
                said(
                    "Step %(step)s has loss %(loss)s and gradient norm %(norm)s: nothing was learnt there.",
                    step=entry["step"],
                    loss=loss,
                    norm=entry.get("grad_norm"),
                ),
                hint=said(
                    "Look at the data with: pericia check; and lower train.learning_rate if it is nan (it was %(rate)s).",
                    rate=f"{rate:.2g}",
                ),
            )
    if not any("eval_loss" in entry for entry in history):
        raise JobError(
            said(
                "None of the %(num_validation_rows)s validation rows was evaluated.",
                num_validation_rows=len(preparation.validation_rows),
            ),
            hint=said("Report this, with your settings."),
        )


def weights_before(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what `check_weights` compares with: the first matrices of an adapter, or part of each matrix that learns."""
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    chosen = {n: p for n, p in learning.items() if "lora_A" in n} or {
        n: p for n, p in learning.items() if p.ndim == 2 and "embed" not in n and "head" not in n
    }
    return {n: p.detach().flatten()[:_LOOKED_AT].clone() for n, p in chosen.items()}


def check_weights(
    model: torch.nn.Module, before: Mapping[str, torch.Tensor], state: Any, rate: float
) -> None:
    """Raise JobError if part of what should learn has not moved since `before`, and say which setting is at fault.

    `model` has the weights of the best step of `state`, the state of transformers' trainer; `rate` is the height of the
    learning rate.
    """
    fault = _unmoved(model, before)
    if not fault:
        return
    taken, kept = state.global_step, state.best_global_step or state.global_step
    height = said("train.learning_rate (it was %(rate)s)", rate=f"{rate:.2g}")
    losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    if taken < _FEW_STEPS:
        text = said(
            "Only %(taken)s optimiser steps were taken: %(fault)s.", taken=taken, fault=fault
        )
        hint = said(
            "Take more: raise train.epochs, or lower train.batch_size. Else raise %(height)s.",
            height=height,
        )
    elif kept < _FEW_STEPS and losses[-1] > _ROSE * min(losses):
        text = said(
            "The validation loss only rose after step %(kept)s of %(taken)s, and by then %(fault)s.",
            kept=kept,
            taken=taken,
            fault=fault,
        )
        hint = said(
            "Give more examples that are like those held out; or lower %(height)s.", height=height
        )
    else:
        text = said(
            "Steps are lost to rounding: after %(taken)s of them %(fault)s.",
            taken=taken,
            fault=fault,
        )
        hint = said("Raise %(height)s.", height=height)
    raise JobError(text, hint=hint)


def _unmoved(model: torch.nn.Module, before: Mapping[str, torch.Tensor]) -> str:
    """Return what has not moved since `before`, "" if all has."""
    weights = dict(model.named_parameters())
    still = [
        n for n, p in weights.items() if "lora_B" in n and ".ref." not in n and not bool(p.any())
    ]
    if still:
        return said(
            "%(n)s adapter matrices are still zero, the first is %(first)s",
            n=len(still),
            first=still[0],
        )
    moved = [
        float((weights[n].detach().flatten()[:_LOOKED_AT] != first).float().mean())
        for n, first in before.items()
    ]
    part = f"{min(moved, default=1):.0%}"
    some = said("only %(part)s of a matrix has moved", part=part)
    return some if moved and min(moved) < 0.5 else ""


def check_resumed(first_step: int | None, resumed_step: int) -> None:
    """Raise JobError if the first step of this process does not follow the one that it went on from, 0 for none."""
    if first_step not in (None, resumed_step + 1):
        raise JobError(
            said(
                "Training was to go on from step %(resumed_step)s, and its first step was %(first_step)s.",
                resumed_step=resumed_step,
                first_step=first_step,
            ),
            hint=said("Report this, with your settings."),
        )


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
    """Raise JobError if the adapter as written gives other logits than `reference`, on a fresh base.

    In bf16 the same weights may round otherwise: then the difference must be small beside what training changed.
    """
    fresh = PeftModel.from_pretrained(
        load_weights(base_folder, settings, preparation.num_parameters), folder
    )
    difference = _furthest(logits_of(fresh, probe), reference)
    allowed = _PARITY
    if takes_bf16(preparation.num_parameters) and difference > allowed:
        with fresh.disable_adapter():
            changed = _furthest(logits_of(fresh, probe), reference)
        allowed = max(changed / 10, float(reference.abs().max()) * _BF16_STEP)
    if difference > allowed:
        raise JobError(
            said(
                "The adapter as written gives other answers than the one trained: logits differ by %(difference)s.",
                difference=f"{difference:.2g}",
            ),
            hint=said("Report this, with your settings."),
        )


def _furthest(logits: torch.Tensor, reference: torch.Tensor) -> float:
    return float((logits - reference).abs().max())

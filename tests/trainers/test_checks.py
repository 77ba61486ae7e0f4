"""What must hold after the last step: each fault, planted, fails the run."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import JobError
from pericia.machine import Machine
from pericia.trainers import Trainer
from pericia.trainers.local import base, checks
from pericia.trainers.local.adapter import attach, save
from pericia.types import Dataset, Preparation

SETTINGS = TrainConfig(rank=4)
LOSS = {"step": 1, "loss": 2.0, "grad_norm": 1.0}


@pytest.fixture
def preparation(trainer: Trainer, book: Dataset, tiny_model: Path) -> Preparation:
    return trainer.prepare(book, str(tiny_model), SETTINGS)


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ([{**LOSS, "loss": 0.0}], "Step 1 has loss 0.0"),
        ([{**LOSS, "grad_norm": 0.0}], "gradient norm 0.0"),
        ([{**LOSS, "loss": float("nan")}], "loss nan"),
        ([LOSS], "None of the 4 validation rows was evaluated"),
    ],
)
def test_a_step_that_learnt_nothing_fails_the_run(
    history: list[dict[str, float]], fault: str, preparation: Preparation
) -> None:
    checks.check_losses([LOSS, {"eval_loss": 1.0}], preparation, 2e-4)
    with pytest.raises(JobError, match=fault):
        checks.check_losses(history, preparation, 2e-4)


def tiny_adapter() -> torch.nn.Module:
    model: Any = torch.nn.Sequential(torch.nn.Linear(8, 8))
    return get_peft_model(model, LoraConfig(r=2, target_modules=["0"]))


def state(best_step: int, num_steps: int, *losses: float) -> SimpleNamespace:
    """Return what transformers' trainer knows after its last step."""
    history = [{"eval_loss": loss} for loss in losses]
    return SimpleNamespace(
        best_global_step=best_step, global_step=num_steps, log_history=[LOSS, *history]
    )


@pytest.mark.parametrize(
    ("ended", "fault", "hint"),
    [
        (state(4, 4, 2.0, 1.9), "Only 4 optimiser steps were taken: 1 adapter matr", "Take more"),
        (state(2, 50, 2.0, 1.9, 2.5), "only rose after step 2 of 50", r"or lower .*0\.0024"),
        (state(2, 50, 2.0, 1.9, 1.9), "rounding: after 50 of them", r"^Raise .*was 0\.0024\)"),
        (state(40, 50, 2.0, 1.9), "rounding: after 50 of them 1 adapter", "^Raise"),
    ],
)
def test_what_did_not_move_is_told_with_its_reason(
    ended: SimpleNamespace, fault: str, hint: str
) -> None:
    model = tiny_adapter()
    before = checks.weights_before(model)
    with pytest.raises(JobError, match=fault) as caught:
        checks.check_weights(model, before, ended, 2.4e-3)
    assert re.search(hint, caught.value.hint)


def test_an_adapter_of_which_half_stands_still_has_failed() -> None:
    model = tiny_adapter()
    before = checks.weights_before(model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(1.0)
    with pytest.raises(JobError, match="only 0% of a matrix has moved"):
        checks.check_weights(model, before, state(40, 50, 2.0), 1e-3)


def test_a_run_that_starts_over_instead_of_going_on_has_failed() -> None:
    checks.check_resumed(6, 5)
    checks.check_resumed(1, 0)
    checks.check_resumed(None, 40)  # it had ended before
    with pytest.raises(JobError, match="go on from step 5, and its first step was 1"):
        checks.check_resumed(1, 5)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is dep:FutureWarning")
@pytest.mark.parametrize("narrow", [False, True])
def test_an_adapter_that_is_not_what_was_trained_has_failed(
    narrow: bool,
    preparation: Preparation,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if narrow:
        monkeypatch.setattr(bases, "BF16_PARAMETERS", 0)
        machine = Machine("cpu", 2, 2**33, has_bf16=True)
        monkeypatch.setattr(base, "look_at_machine", lambda: machine)
    model = base.load_weights(tiny_model, SETTINGS, preparation.num_parameters)
    assert model.dtype == (torch.bfloat16 if narrow else torch.float32)
    torch.manual_seed(0)
    model = attach(model, SETTINGS, preparation, tiny_model, None)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn_like(parameter.data, dtype=torch.float32) / 20
    probe = torch.tensor([preparation.rows[0].ids])
    reference = checks.logits_of(model, probe)
    written = tmp_path / "adapter"
    save(model, written, str(tiny_model))

    def check() -> None:
        checks.check_reload(tiny_model, SETTINGS, preparation, written, probe, reference)

    check()
    weights = load_file(written / "adapter_model.safetensors")
    lost = {n: torch.zeros_like(t) if "layers.1" in n else t for n, t in weights.items()}
    save_file(lost, written / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(JobError, match="gives other answers than the one trained"):
        check()

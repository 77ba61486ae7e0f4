"""4-bit training on a CPU: an evaluation in between must not spoil the gradients (FINE_TUNING, "evaluation breaks training")."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes import functional
from peft import get_peft_model

from pericia.config import TrainConfig
from pericia.trainers import Trainer
from pericia.trainers.local import base as base_model
from pericia.trainers.local.adapter import lora_config
from pericia.types import Dataset, Preparation
from tests.tiny_model import build_tiny_model

BNB: Any = functional  # it is not typed
SETTINGS = TrainConfig(method="qlora", rank=8, learning_rate=4e-3, epochs=4, dropout=0.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("quantised") / "model", hidden=128, layers=4)


@pytest.fixture(scope="module")
def preparation(trainer: Trainer, book: Dataset, base: Path) -> Preparation:
    return trainer.prepare(book, str(base), SETTINGS)


def gradients(model: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    model.train()
    model.zero_grad()
    model(input_ids=ids, labels=ids).loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


def change_by_evaluation(base: Path, targets: tuple[str, ...]) -> tuple[float, int]:
    """Return the largest relative change of a gradient, and the number of layers repacked."""
    torch.manual_seed(0)
    model = base_model.load_weights(base, SETTINGS, 1_000_000)
    model = get_peft_model(model, lora_config(SETTINGS, targets))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    ids = torch.arange(5, 37)[None]
    before = gradients(model, ids)
    model.eval()
    with torch.no_grad():
        model(input_ids=ids)
    after = gradients(model, ids)
    changes = [float((b - a).norm() / b.norm()) for b, a in zip(before, after, strict=True)]
    states = (getattr(p, "quant_state", None) for p in model.parameters())
    packed = [s for s in states if s is not None and getattr(s, "packing_format_for_cpu", False)]
    return max(changes), len(packed)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is dep:FutureWarning")
def test_the_guard_keeps_gradients_through_an_evaluation(
    base: Path, preparation: Preparation
) -> None:
    change, num_packed = change_by_evaluation(base, preparation.target_modules)
    assert change < 1e-6
    assert num_packed == 0


@pytest.mark.skipif(not BNB.has_avx512bf16(), reason="only these CPUs repack")
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is dep:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*gemv_4bit:UserWarning")
def test_without_the_guard_gradients_are_lost(
    base: Path, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this fails, bitsandbytes has mended it and the guard can go."""
    monkeypatch.setattr(base_model, "guard", lambda model: None)
    change, num_packed = change_by_evaluation(base, preparation.target_modules)
    assert change > 0.1
    assert num_packed == 16


def test_a_quantised_run_learns_and_reloads(
    trainer: Trainer, base: Path, preparation: Preparation, tmp_path: Path
) -> None:
    recorded: Any = trainer.train(preparation, str(base), SETTINGS, tmp_path)
    first, *_, last = (entry["loss"] for entry in recorded["validation_losses"])
    assert last < first
    assert (tmp_path / "adapter_model.safetensors").exists()

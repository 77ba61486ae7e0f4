"""The quick forward pass of adapters gives what PEFT's gives."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from pericia.trainers.local.lora import _kept, quicken, restore

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is dep:FutureWarning")
TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
IDS = torch.arange(5, 37)[None]


def adapted(folder: Path, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS, task_type="CAUSAL_LM")
    for name, value in options.items():
        setattr(config, name, value)
    model: Any = get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.train()


def loss_and_gradients(model: Any) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
    loss.backward()
    return float(loss.detach()), [p.grad.clone() for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("scaled", [False, True])
def test_loss_and_gradients_are_those_of_peft(tiny_model: Path, scaled: bool) -> None:
    model = adapted(tiny_model, use_rslora=scaled)
    loss, gradients = loss_and_gradients(model)
    assert quicken(model) == 8
    quick_loss, quick_gradients = loss_and_gradients(model)
    assert quick_loss == pytest.approx(loss, abs=1e-5)
    for one, other in zip(gradients, quick_gradients, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    restore(model)
    assert loss_and_gradients(model)[0] == loss


def test_in_bf16_it_is_as_near_to_fp32_as_peft_is(tiny_model: Path) -> None:
    _, exact = loss_and_gradients(adapted(tiny_model))

    def error(gradients: list[torch.Tensor]) -> float:
        pairs = zip(exact, gradients, strict=True)
        return float(sum((a - b).square().sum() for a, b in pairs))

    model = adapted(tiny_model, torch.bfloat16)
    theirs = error(loss_and_gradients(model)[1])
    quicken(model)
    assert error(loss_and_gradients(model)[1]) < 1.5 * theirs


def test_adapters_can_be_switched_off_and_dora_keeps_its_own_pass(tiny_model: Path) -> None:
    model = adapted(tiny_model)
    quicken(model)
    with model.disable_adapter(), torch.no_grad():
        off = model(input_ids=IDS).logits
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        torch.testing.assert_close(off, base(input_ids=IDS).logits)
    assert quicken(adapted(tiny_model, use_dora=True)) == 0


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_dropout_drops_the_share_that_it_should(p: float) -> None:
    torch.manual_seed(0)
    kept = _kept(torch.zeros(1000, 999), p)
    assert float(kept.mean()) == pytest.approx(1 - p, abs=0.003)
    assert set(kept.flatten().tolist()) == {0.0, 1.0}
    columns = kept.mean(dim=0)
    assert float(columns.std()) < 2 * (p * (1 - p) / 1000) ** 0.5


def test_dropout_is_off_in_evaluation_and_scaled_in_training(tiny_model: Path) -> None:
    model = adapted(tiny_model, lora_dropout=0.5)
    quicken(model)
    model.eval()
    with torch.no_grad():
        still = [model(input_ids=IDS).logits for _ in range(2)]
    assert torch.equal(*still)
    layer: Any = next(m for n, m in model.named_modules() if n.endswith("layers.0.mlp.down_proj"))
    x = torch.ones(1, 4000, 128)
    with torch.no_grad():
        layer.eval()
        expected = layer(x).mean(dim=1)
        layer.train()
        torch.testing.assert_close(layer(x).mean(dim=1), expected, atol=0.02, rtol=0.02)

"""The dry run against real training steps under the same counter, and against the design's measured table."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from pericia.shapes import read_shape
from pericia.trainers.memory import count_linears, peak_of_two_steps, predict_peak_bytes

TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
MIB = 2**20
SMALL: dict[str, Any] = {
    "model_type": "phi3",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 2048,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def predict(tokens: int, checkpointing: bool, **other: bool) -> int:
    config = read_shape("phi-3-mini").config
    return predict_peak_bytes(
        config,
        adapter=True,
        rank=16,
        targets=TARGETS,
        context_tokens=tokens,
        micro_batch=1,
        checkpointing=checkpointing,
        bf16=True,
        **other,
    )


@pytest.mark.parametrize(
    ("tokens", "checkpointing", "tiled_head", "mebibytes"),
    [(1024, False, True, 13_378), (2048, True, True, 8_570), (1024, True, False, 8_157)],
)
def test_phi_3_mini_takes_what_the_table_says(
    tokens: int, checkpointing: bool, tiled_head: bool, mebibytes: int
) -> None:
    peak = predict(tokens, checkpointing, tiled_head=tiled_head)
    assert peak / MIB == pytest.approx(mebibytes, rel=0.003)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's old name
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", [True, False])
def test_the_prediction_is_what_a_real_step_takes(checkpointing: bool, adapter: bool) -> None:
    built = AutoConfig.for_model(**SMALL)
    model: Any = AutoModelForCausalLM.from_config(built, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if adapter:
        lora = LoraConfig(r=16, target_modules=list(TARGETS), task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    real = peak_of_two_steps(model, 256, 2, checkpointing, True)
    predicted = predict_peak_bytes(
        SMALL,
        adapter=adapter,
        rank=16,
        targets=TARGETS,
        context_tokens=256,
        micro_batch=2,
        checkpointing=checkpointing,
        bf16=False,
    )
    assert predicted == pytest.approx(real, rel=0.05)


def test_layers_are_counted_without_the_head() -> None:
    rows, others = count_linears(SMALL)
    assert {row[0] for row in rows} == set(TARGETS)
    assert others == 2 * 2048 * 256 + 9 * 256


def test_scaled_rotary_embeddings_do_not_stop_it() -> None:
    factors = [1.0] * 32
    rope = {"rope_type": "longrope", "rope_theta": 10000.0}
    rope |= {"short_factor": factors, "long_factor": factors}
    config = SMALL | {"rope_parameters": rope, "original_max_position_embeddings": 1024}
    peak = predict_peak_bytes(
        config,
        adapter=True,
        rank=8,
        targets=TARGETS,
        context_tokens=64,
        micro_batch=1,
        checkpointing=True,
        bf16=True,
    )
    assert peak > 0

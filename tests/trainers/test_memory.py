"""The dry run against real training steps under the same counter, and against the design's measured table."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from pericia.config import TrainConfig
from pericia.errors import PreflightError
from pericia.shapes import read_shape
from pericia.trainers.local.memory import (
    NF4_BITS,
    foresee_run,
    peak_of_two_steps,
    predict_peak_bytes,
)
from pericia.trainers.local.shape import count_linears

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


def predict(tokens: int, checkpointing: bool, *, quantised: bool = False) -> int:
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
        quantised=quantised,
    )


@pytest.mark.parametrize(
    ("tokens", "checkpointing", "plain"),
    [
        (1024, True, 8_070),
        pytest.param(1024, False, 13_378, marks=pytest.mark.slow),
        pytest.param(2048, True, 8_570, marks=pytest.mark.slow),
    ],
)
def test_phi_3_mini_takes_less_than_with_peft_and_trl_as_they_are(
    tokens: int, checkpointing: bool, plain: int
) -> None:
    """The design's table has what the libraries' own steps take, above 7,384 MiB of weights."""
    peak = predict(tokens, checkpointing) / MIB
    assert 7_384 + 400 < peak < plain


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tokens", "checkpointing", "mebibytes"),
    [(1024, False, 12_734), (2048, True, 8_348)],
)
def test_phi_3_mini_takes_what_was_recorded(
    tokens: int, checkpointing: bool, mebibytes: int
) -> None:
    assert predict(tokens, checkpointing) / MIB == pytest.approx(mebibytes, rel=0.003)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's old name
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", [True, False])
def test_the_prediction_is_what_a_real_step_takes(checkpointing: bool, adapter: bool) -> None:
    built = AutoConfig.for_model(**SMALL)
    model: Any = AutoModelForCausalLM.from_config(built, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if adapter:
        lora = LoraConfig(r=16, target_modules=list(TARGETS), task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    real = peak_of_two_steps(model, (300, 200, 12), checkpointing, 100)
    predicted = predict_peak_bytes(
        SMALL,
        adapter=adapter,
        rank=16,
        targets=TARGETS,
        context_tokens=0,
        micro_batch=0,
        checkpointing=checkpointing,
        bf16=False,
        lengths=(300, 200, 12),
        num_labels=100,
    )
    assert predicted == pytest.approx(real, rel=0.05)


def test_four_bits_take_the_difference_of_the_weights() -> None:
    whole, packed = predict(256, True), predict(256, True, quantised=True)
    linear, largest = 3_623_878_656, 2 * 3072 * 16_384
    most = linear * (2 - NF4_BITS / 8)
    assert most - 1.1 * largest < whole - packed < most  # one layer at a time is unpacked


def test_a_training_that_fits_no_memory_is_refused_and_one_that_nearly_does_recomputes() -> None:
    preparation: Any = SimpleNamespace(
        rows=(SimpleNamespace(mask=(True, False)),),
        validation_rows=(),
        target_modules=TARGETS,
        num_parameters=1_000_000,
    )

    def go(free_bytes: int, most_bytes: int = 0) -> tuple[int, bool]:
        return foresee_run(
            SMALL,
            TrainConfig(),
            preparation,
            lengths=(512, 512),
            accumulates=False,
            free_bytes=free_bytes,
            most_bytes=most_bytes or free_bytes,
        )

    plain, recomputed = go(10**12)
    assert not recomputed
    less, recomputed = go(plain * 3 // 4)
    assert recomputed
    assert less < plain * 3 // 4
    with pytest.raises(PreflightError, match="GB at its worst moment"):
        go(less // 2)
    _, recomputed = go(less // 2, most_bytes=2 * less)  # what others hold may be given back
    assert recomputed


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

import dataclasses
import json
from pathlib import Path

import pytest

from pericia import foresee
from pericia.errors import InputError, NotFoundError
from pericia.foresee import GB, NF4_BITS, cards_for, rule_of_thumb_bytes
from pericia.plan import Plan, plan
from pericia.shapes import largest_linear, read_shape
from pericia.trainers.local.memory import predict_peak_bytes

TINY = {
    "model_type": "phi3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 512,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps(TINY), encoding="utf-8")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("method", "gigabytes", "cards"), [("full", 840, 36), ("lora", 154, 8), ("qlora", 45.5, 2)]
)
def test_the_usual_arithmetic_for_70_billion_parameters(
    method: str, gigabytes: float, cards: int
) -> None:
    num_bytes = rule_of_thumb_bytes(70 * GB, method)  # type: ignore[arg-type]
    assert num_bytes == gigabytes * GB
    assert cards_for(num_bytes, 24 * GB) == cards


def test_full_training_of_65_billion_takes_780_gb_and_qlora_less_than_48() -> None:
    assert rule_of_thumb_bytes(65 * GB, "full") == 780 * GB
    assert rule_of_thumb_bytes(65 * GB, "qlora") < 48 * GB


def test_bits_of_nf4_with_double_quantisation() -> None:
    assert NF4_BITS == 4.126953125
    shape = read_shape("phi-3-mini")
    assert shape.num_parameters * 2 == 7_642_159_104
    nf4 = shape.num_linear * NF4_BITS / 8 + shape.num_other * 2
    assert nf4 / GB == pytest.approx(2.264, abs=0.001)


def peak_of_70b(config: object, *, adapter: bool, quantised: bool = False, **other: object) -> int:
    """Return what the dry run of Llama-3-70B says at 1,024 tokens with checkpointing (20 s; the slow test runs it)."""
    shape = read_shape("llama-3-70b")
    if not adapter:
        return (
            18 * shape.num_parameters
        )  # weights, gradient, moments; and a copy of the weights in bf16
    packed = round(shape.num_linear * (NF4_BITS / 8 - 2)) + 2 * largest_linear(shape)
    return 145_543_423_236 + (packed if quantised else 0)


def test_70b_on_two_cards_says_both_that_states_fit_and_that_running_needs_offload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(foresee._DRY_RUN, "peak", "tests.test_plan:peak_of_70b")
    result = plan("llama-3-70b", method="qlora", gpu_memory_gb=24)
    assert not result.fits
    assert result.cards.states_only == 2
    assert result.cards.offload_ram_bytes / GB == pytest.approx(128, abs=3)
    assert "states only: 2 cards of 24 GB for 42.8 GB" in result.lines
    assert any(line.startswith("to run: 2 cards + offload, 128 GB of RAM") for line in result.lines)
    assert any("a card of 80 GB" in change for change in result.changes)


def test_70b_in_full_takes_36_cards_by_the_usual_rule_and_48_as_it_is_trained_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(foresee._DRY_RUN, "peak", "tests.test_plan:peak_of_70b")
    result = plan("llama-3-70b", method="full", gpu_memory_gb=24)
    assert result.states_bytes == 16 * result.num_parameters
    assert result.cards.states_only == 48
    rule = "usual rule of 12 bytes a parameter, states only: 36 cards for 847 GB"
    assert rule in result.lines
    assert any("Method lora" in change for change in result.changes)


@pytest.mark.slow
@pytest.mark.parametrize("quantised", [False, True])
def test_the_dry_run_of_70b_says_the_recorded_number(quantised: bool) -> None:
    shape = read_shape("llama-3-70b")
    peak = predict_peak_bytes(
        shape.config,
        adapter=True,
        rank=16,
        targets=shape.target_names,
        context_tokens=1024,
        micro_batch=1,
        checkpointing=True,
        bf16=True,
        quantised=quantised,
    )
    recorded = peak_of_70b(None, adapter=True, quantised=quantised)
    assert peak == pytest.approx(recorded, rel=0.001)


def test_qlora_of_phi_3_mini_is_the_bf16_prediction_with_packed_weights() -> None:
    result = plan("phi-3-mini", method="qlora", gpu_memory_gb=2.5)
    assert result.checkpointing
    tensors = (
        result.needed_bytes - result.memory.process_bytes - result.memory.margin_bytes
    ) / 2**20
    assert tensors == pytest.approx(2_885, rel=0.005)  # 3,040 by the libraries' own steps
    assert result.num_trainable == 25_165_824
    assert result.adapter_file_bytes == 4 * 25_165_824
    assert not result.fits


def test_a_small_model_fits_without_checkpointing_and_names_every_card(tiny: str) -> None:
    result = plan(tiny, gpu_memory_gb=24, context_tokens=128)
    assert (result.fits, result.checkpointing, result.changes) == (True, False, ())
    assert (result.cards.states_only, result.cards.to_run) == (1, 1)
    assert len(result.fitting_cards) == 10


def test_the_json_holds_numbers_and_sentences(tiny: str) -> None:
    result = plan(tiny, gpu_memory_gb=24, context_tokens=128)
    data = json.loads(json.dumps(dataclasses.asdict(result)))
    assert data["method"] == "lora"
    assert data["memory"]["weights_bytes"] == 2 * data["num_parameters"]
    assert set(data) == {field.name for field in dataclasses.fields(Plan)}


def test_what_to_change_when_nothing_fits(tiny: str) -> None:
    result = plan(tiny, method="full", gpu_memory_gb=1, context_tokens=512, micro_batch=4)
    assert not result.fits
    said = " ".join(result.changes)
    for change in ("micro-batch 1", "method lora", "method qlora", "256 tokens", "a smaller model"):
        assert change in said.lower()


def test_without_a_card_the_budget_is_this_computer_and_time_can_be_measured(tiny: str) -> None:
    result = plan(tiny, context_tokens=64, measure_time=True, num_tokens=1_000_000)
    assert result.budget_bytes > 0
    assert result.duration is not None
    assert result.duration.tokens_per_s > 0
    assert result.duration.hours is not None
    assert any(line.startswith("time here: about") for line in result.lines)


def test_a_longer_context_never_takes_less(tiny: str) -> None:
    needed = [plan(tiny, gpu_memory_gb=24, context_tokens=n).needed_bytes for n in (64, 128, 256)]
    assert needed == sorted(needed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lra"}, "Unknown method 'lra'"),
        ({"gpu_memory_gb": 0}, "no card"),
        ({"gpu_memory_gb": -3}, "no card"),
        ({"context_tokens": 0}, "context_tokens is 0"),
        ({"rank": 0}, "rank is 0"),
        ({"context_tokens": 100_000}, "was made for 512"),
        ({"targets": ("q_proj",), "context_tokens": 64}, "nothing would be trained"),
    ],
)
def test_bad_input_is_named(tiny: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(tiny, **options)  # type: ignore[arg-type]


def test_an_unknown_name_is_no_traceback() -> None:
    with pytest.raises(NotFoundError, match="no-such/model"):
        plan("no-such/model", gpu_memory_gb=24)

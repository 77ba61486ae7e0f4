"""Packed rows give the loss and the gradients of padded ones, in every architecture, or packing is off."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pericia import trainers
from pericia.config import TrainConfig
from pericia.dataset import closed_book, make_dataset
from pericia.errors import PreflightError
from pericia.trainers.local import packing
from pericia.trainers.local.packing import can_pack, collate, pack, unpack
from pericia.trainers.local.rows import IGNORED
from tests.gearboxes import gearbox_examples

ROWS = [
    {"input_ids": list(range(5, 5 + n)), "labels": [IGNORED] * 3 + list(range(8, 5 + n))}
    for n in (12, 30, 7, 21)
]
KINDS: dict[str, dict[str, Any]] = {
    "phi3": {"sliding_window": 16},
    "phi3 without a window": {"model_type": "phi3"},
    "llama": {},
    "mistral": {"sliding_window": 8},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
}


def build(kind: str) -> Any:
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "model_type": kind,
        "vocab_size": 64,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "initializer_range": 0.2,
    } | KINDS[kind]
    config = AutoConfig.for_model(**values)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")  # type: ignore[no-untyped-call]


def padded() -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in ROWS)

    def fill(key: str, value: int) -> torch.Tensor:
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in ROWS])

    ids = fill("input_ids", 0)
    return {"input_ids": ids, "labels": fill("labels", IGNORED), "attention_mask": (ids > 0).long()}


def loss_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    loss = model(**batch, use_cache=False).loss
    loss.backward()
    return float(loss.detach()), [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_and_padded_rows_have_the_same_loss_and_gradients(kind: str) -> None:
    model = build(kind)
    assert can_pack(model, [row["input_ids"] for row in ROWS])
    loss, gradients = loss_and_gradients(model, padded())
    pack(model)
    packed_loss, packed_gradients = loss_and_gradients(model, collate(ROWS))
    unpack(model)
    assert packed_loss == pytest.approx(loss, abs=2e-6)
    for one, other in zip(gradients, packed_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-4)
    assert loss_and_gradients(model, padded())[0] == loss


def test_a_model_that_mixes_rows_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Any = packing._attend_row_by_row

    def mix(*args: Any, cu_seq_lens_q: torch.Tensor, **kwargs: Any) -> Any:
        return right(*args, cu_seq_lens_q=cu_seq_lens_q[[0, -1]], **kwargs)

    monkeypatch.setattr(packing, "_attend_row_by_row", mix)
    model = build("llama")
    assert not can_pack(model, [row["input_ids"] for row in ROWS])
    assert model.config._attn_implementation == "sdpa"


def test_unsafe_packing_that_is_asked_for_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pericia.trainers.local.trainer.can_pack", lambda *_: False)
    trainer = trainers.load("local")
    book = closed_book(make_dataset(gearbox_examples(), validation_share=0.1, seed=1), "Answer.")
    settings = TrainConfig(packing="on")
    preparation = trainer.prepare(book, str(tiny_model), settings)
    with pytest.raises(PreflightError, match="keep packed rows apart") as caught:
        trainer.train(preparation, str(tiny_model), settings, tmp_path)
    assert caught.value.param == "train.packing"


def test_the_first_label_of_each_row_is_dropped() -> None:
    batch = collate([{"input_ids": [1, 2], "labels": [1, 2]}, {"input_ids": [3], "labels": [3]}])
    assert batch["labels"].tolist() == [[IGNORED, 2, IGNORED]]
    assert batch["position_ids"].tolist() == [[0, 1, 0]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 2, 3]

"""Local models: greedy answers, streamed as returned, adapters switched in place, every bad folder refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pericia import models
from pericia.bases import stop_ids
from pericia.errors import InputError, ModelError, NotFoundError
from pericia.models import Model
from pericia.prompts import closed_book_prompt
from pericia.types import Prompt

PROMPT = closed_book_prompt("How hot is kiln 3?")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return models.load(str(tiny_model))


def test_an_answer_is_what_transformers_generates(model: Model, tiny_model: Path) -> None:
    pieces: list[str] = []
    generation = model.generate(PROMPT, max_new_tokens=24, on_text=pieces.append)
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    chat = [{"role": m.role, "content": m.content} for m in PROMPT.messages]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    reference: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    out = reference.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)
    expected = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).strip()
    assert generation.text == expected
    assert "".join(pieces) == generation.text
    assert generation.usage.tokens_in == len(ids) == model.count_tokens(PROMPT.messages)
    assert generation.usage.tokens_out == len(out[0]) - len(ids)
    assert generation.usage.first_token_ms is not None
    assert generation.usage.first_token_ms <= generation.usage.latency_ms
    assert generation.finish_reason == "length"


def test_both_end_markers_stop_an_answer(tiny_model: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)
    markers = tokenizer.convert_tokens_to_ids(["<|end|>", "<|endoftext|>"])
    assert stop_ids(tiny_model) == frozenset(markers)


def test_an_answer_that_ends_in_a_marker_has_no_marker(model: Model) -> None:
    generation = model.generate(PROMPT, max_new_tokens=1)
    first = model._tokenizer.encode(generation.text)[0]  # type: ignore[attr-defined]
    decoder = model._decoder  # type: ignore[attr-defined]
    decoder.stop_ids |= {first}
    stopped = model.generate(PROMPT, max_new_tokens=5)
    decoder.stop_ids -= {first}
    assert (stopped.text, stopped.finish_reason, stopped.usage.tokens_out) == ("", "stop", 1)


def test_a_prompt_too_long_is_refused(model: Model) -> None:
    long = Prompt(closed_book_prompt("kiln " * 2000).messages, "kiln")
    with pytest.raises(InputError, match="1024"):
        model.generate(long, max_new_tokens=8)
    with pytest.raises(InputError, match="does not fit"):
        model.generate(PROMPT, max_new_tokens=1024)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_incomplete_folder_is_no_model(missing: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(NotFoundError, match=missing):
        models.load(str(folder))


@pytest.mark.parametrize("name", ["no/such/folder/here", "./absent", "acme/absent-model"])
def test_an_absent_model_is_named(name: str) -> None:
    with pytest.raises(NotFoundError, match=name):
        models.load(name)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b"\x00\x01"),
        ("model.safetensors", None),
        ("config.json", b"{"),
        ("tokenizer.json", b"[]"),
        ("generation_config.json", b"3"),
    ],
)
def test_a_damaged_file_is_a_model_error(
    file: str, content: bytes | None, tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / file
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ModelError) as caught:
        models.load(str(folder))
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_pickled_weights_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(NotFoundError) as caught:
        models.load(str(folder))
    assert "safetensors" in caught.value.hint


def test_a_model_without_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="chat template"):
        models.load(str(folder))


def test_a_folder_that_is_no_adapter_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"adapter_config\.json"):
        model.generate(PROMPT, max_new_tokens=4, adapter=tmp_path)

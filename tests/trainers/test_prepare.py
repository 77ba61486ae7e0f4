"""What a training would be, seen before it: layers and parameters by the shapes, turns that are not learnt, odd tokens."""

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pericia.config import TrainConfig
from pericia.errors import PreflightError
from pericia.preflight import check_preparation, show_row
from pericia.shapes import read_shape
from pericia.trainers import Trainer
from pericia.trainers.local import checks
from pericia.types import Dataset, Example, Message, Preparation, ToolCall

LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CHAT = (
    Message("user", "How hot is kiln 3?"),
    Message("assistant", "The kiln runs at 900 degrees."),
)


def prepare(trainer: Trainer, base: Path, settings: TrainConfig, *examples: Example) -> Preparation:
    rows = examples or (Example(CHAT, "e1", 1),)
    other = Example((Message("user", "What?"), Message("assistant", "ISO 220.")), "v", 9)
    return trainer.prepare(Dataset(rows, (other,), "d"), str(base), settings)


@pytest.fixture(scope="module")
def phi3_mini(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's files under the config of Phi-3-mini: its 3.8 B parameters stay on the meta device."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("phi3") / "mini")
    config = dict(read_shape("phi-3-mini").config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, 25_165_824),
        ({"rank": 256}, 402_653_184),
        ({"rank": 64, "target_modules": ("qkv_proj", "o_proj")}, 37_748_736),
    ],
)
def test_phi_3_mini_trains_as_many_parameters_as_its_shapes_say(
    trainer: Trainer, phi3_mini: Path, changes: dict[str, object], number: int
) -> None:
    preparation = prepare(trainer, phi3_mini, TrainConfig(**changes))  # type: ignore[arg-type]
    assert preparation.num_trainable == preparation.num_expected == number
    assert preparation.num_parameters == 3_821_079_552
    check_preparation(preparation, truncated_share=0.05)


def test_names_of_llama_on_phi_3_are_refused_with_both_numbers(
    trainer: Trainer, phi3_mini: Path
) -> None:
    preparation = prepare(trainer, phi3_mini, TrainConfig(target_modules=LLAMA))
    assert len(preparation.hit_modules) == 64
    with pytest.raises(PreflightError, match=r"8,912,896 .*25,165,824") as caught:
        check_preparation(preparation, truncated_share=0.05)
    assert "qkv_proj" in caught.value.hint
    nothing = prepare(trainer, phi3_mini, TrainConfig(target_modules=("q_proj",)))
    with pytest.raises(PreflightError, match="q_proj 0 of 0"):
        check_preparation(nothing, truncated_share=0.05)


def test_a_library_of_another_version_is_refused_with_the_mend(
    trainer: Trainer, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "version", lambda name: "2.0.0" if name == "trl" else version(name))
    with pytest.raises(
        PreflightError, match=r"trl 2\.0\.0 is installed; .* trl <2,>=1\.16"
    ) as caught:
        prepare(trainer, tiny_model, TrainConfig())
    assert caught.value.hint.startswith("Run: pip install 'trl")


def test_a_turn_of_weight_0_is_read_and_not_learnt(trainer: Trainer, tiny_model: Path) -> None:
    silent = replace(CHAT[1], content="It is cold.", trains=False)
    example = Example((CHAT[0], silent, *CHAT), "e1", 1)
    preparation = prepare(trainer, tiny_model, TrainConfig(), example)
    (row,) = preparation.rows
    labels = [token for token, counts in zip(row.ids, row.mask, strict=True) if counts]
    assert preparation.decode(labels) == "The kiln runs at 900 degrees.<|end|>\n<|endoftext|>"
    assert "It is cold." in show_row(row, preparation).partition("⟦")[0]
    check_preparation(preparation, truncated_share=0.05)


def test_a_template_that_drops_tools_is_said(trainer: Trainer, tiny_model: Path) -> None:
    call = Message("assistant", "", tool_calls=(ToolCall("c", "look", '{"kiln": 3}'),))
    example = Example(
        (CHAT[0], call, Message("tool", "900", tool_call_id="c"), CHAT[1]), "e1", 1,
        tools=({"type": "function", "function": {"name": "look"}},),
    )  # fmt: skip
    preparation = prepare(trainer, tiny_model, TrainConfig(), example)
    with pytest.raises(PreflightError):  # Phi-3's template has no place for tools
        check_preparation(preparation, truncated_share=0.05)


@pytest.mark.parametrize("left_by", ["zeros", "mean"])
def test_tokens_that_were_added_and_never_trained_are_found(
    left_by: str, trainer: Trainer, tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"]
    end = 4  # <|end|>
    table[end] = torch.zeros_like(table[end]) if left_by == "zeros" else table.mean(dim=0)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    preparation = prepare(trainer, folder, TrainConfig())
    assert preparation.untrained_tokens == ("<|end|>",)
    with pytest.raises(PreflightError, match="never trained"):
        check_preparation(preparation, truncated_share=0.05)
    check_preparation(prepare(trainer, folder, TrainConfig(method="full")), truncated_share=0.05)
    assert prepare(trainer, tiny_model, TrainConfig()).untrained_tokens == ()


def test_an_end_marker_given_as_a_number_is_found(
    trainer: Trainer, tiny_model: Path, tmp_path: Path
) -> None:
    """A recipe of Microsoft's cookbook wrote the id of the end marker as text."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(
        template.replace("<|end|>", "32007")
        .replace("{{ eos_token }}", "")
        .replace("eos_token", "''"),
        encoding="utf-8",
    )
    with pytest.raises(PreflightError, match="end marker"):
        check_preparation(prepare(trainer, folder, TrainConfig()), truncated_share=0.05)

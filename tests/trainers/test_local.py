"""Training on the spot: loss falls, the same job gives the same bytes, a killed one ends as if it had not been."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trl.trainer.sft_trainer import SFTTrainer

from pericia import models
from pericia.config import TrainConfig
from pericia.errors import EnoughError, JobError, ModelError, NotFoundError, PreflightError
from pericia.preflight import check_preparation
from pericia.prompts import closed_book_prompt
from pericia.trainers import Trainer
from pericia.trainers.local import adapter, steps
from pericia.trainers.local import trainer as local
from pericia.types import Dataset, TrainEvent
from tests.gearboxes import OILS
from tests.trainers.training import run

SETTINGS = TrainConfig(rank=8, learning_rate=4e-3, epochs=8, batch_size=8)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def trained(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Mapping[str, Any], list[TrainEvent]]:
    folder = tmp_path_factory.mktemp("trained")
    events: list[TrainEvent] = []
    recorded = run(trainer, book, tiny_model, SETTINGS, folder, on_event=events.append)
    return folder, recorded, events


def test_preparation_shows_what_will_be_trained(
    trainer: Trainer, book: Dataset, tiny_model: Path
) -> None:
    preparation = trainer.prepare(book, str(tiny_model), SETTINGS)
    assert len(preparation.rows) + len(preparation.validation_rows) == 40
    assert len(preparation.hit_modules) == 4 * 2
    for row in preparation.rows:
        labels = [t for t, counts in zip(row.ids, row.mask, strict=True) if counts]
        assert preparation.decode(labels) == f"{row.example.answer}<|end|>\n<|endoftext|>"
    layer = 8 * ((64 + 128) + (64 + 64) + (64 + 256) + (128 + 64))
    assert preparation.num_trainable == 2 * layer


def test_loss_falls_and_is_reported(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
) -> None:
    _, recorded, events = trained
    before, *_, after = (entry["loss"] for entry in recorded["validation_losses"])
    assert after < before / 2
    best = min(recorded["validation_losses"][1:], key=lambda entry: entry["loss"])
    assert recorded["best_step"] == best["step"]
    assert events[-1].step == events[-1].num_steps == 8 * 5
    assert sum(event.loss is not None for event in events) == 40
    assert json.dumps(recorded)


def test_the_adapter_answers_and_leaves_the_base_as_it_was(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]], tiny_model: Path
) -> None:
    folder = trained[0]
    model = models.load(str(tiny_model))
    prompt = closed_book_prompt("Which oil does gearbox 2 take?", "Answer.")
    base = model.generate(prompt, max_new_tokens=8)
    tuned = model.generate(prompt, max_new_tokens=8, adapter=folder)
    other = shutil.copytree(folder, folder.parent / "other")
    assert model.generate(prompt, max_new_tokens=8, adapter=other).text == tuned.text
    assert model.generate(prompt, max_new_tokens=8).text == base.text != tuned.text
    assert tuned.text in OILS
    assert tuned.finish_reason == "stop"


def test_the_adapter_folder_is_portable(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]], tiny_model: Path
) -> None:
    folder = trained[0]
    text = (folder / "adapter_config.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert config["target_modules"] == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]
    assert str(tiny_model.parent) not in text
    names = {path.name for path in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "checkpoints"}
    key = "base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight"
    assert weights(folder)[key].shape == (8, 64)


def test_the_same_job_gives_the_same_bytes(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    run(trainer, book, tiny_model, SETTINGS, tmp_path)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


class KilledError(Exception):
    """Stands for kill -9: nothing catches it."""


@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.slow), 12])
def test_a_killed_job_resumes_to_the_same_bytes(
    step: int,
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    def kill(event: TrainEvent) -> None:
        if event.step == step:
            raise KilledError

    with pytest.raises(KilledError):
        run(trainer, book, tiny_model, SETTINGS, tmp_path, on_event=kill)
    half = tmp_path / "checkpoints" / "checkpoint-999"  # a kill in the middle of a save
    half.mkdir()
    (half / "adapter_model.safetensors").write_bytes(b"half")
    steps: list[int] = []
    recorded = run(
        trainer,
        book,
        tiny_model,
        SETTINGS,
        tmp_path,
        on_event=lambda e: steps.append(e.step) if e.loss else None,
    )
    assert not half.exists()
    assert recorded["resumed"] == (step > 5)
    assert steps[0] == (step // 5) * 5 + 1
    assert recorded["losses"] == trained[1]["losses"]
    name = "adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


def test_a_job_that_is_told_to_end_saves_the_step_in_hand(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    def pause(event: TrainEvent) -> None:
        if event.step == 7:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(trainer, book, tiny_model, SETTINGS, tmp_path, on_event=pause)
    steps: list[int] = []
    run(
        trainer,
        book,
        tiny_model,
        SETTINGS,
        tmp_path,
        on_event=lambda e: steps.append(e.step) if e.loss else None,
    )
    assert steps == list(range(8, 41))
    name = "adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


def test_checkpoints_of_another_job_are_not_resumed(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(trained[0] / "checkpoints", tmp_path / "checkpoints")
    other = SETTINGS.model_copy(update={"epochs": 2})
    assert not run(trainer, book, tiny_model, other, tmp_path)["resumed"]


def test_training_goes_on_from_a_parent(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    recorded = run(trainer, book, tiny_model, settings, tmp_path, parent=trained[0])
    last = trained[1]["validation_losses"][-1]["loss"]
    assert recorded["validation_losses"][0]["loss"] == pytest.approx(last, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "fault", "mend"),
    [
        (
            {"epochs": 3},
            r"rounding: after 15 of them",
            r"Raise train\.learning_rate \(it was 1e-30\)",
        ),
        (
            {"epochs": 1},
            r"Only 5 optimiser steps",
            r"raise train\.epochs, or lower train\.batch_size",
        ),
    ],
)
def test_a_training_that_moved_nothing_has_failed_and_says_what_helps(
    changes: dict[str, float],
    fault: str,
    mend: str,
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(JobError, match=fault) as caught:
        run(
            trainer,
            book,
            tiny_model,
            SETTINGS.model_copy(update={"learning_rate": 1e-30, **changes}),
            tmp_path,
        )
    assert re.search(mend, caught.value.hint)


def test_too_few_steps_are_refused_before_the_first(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 20, "epochs": 1})
    with pytest.raises(PreflightError, match=r"36 training rows make 2 optimiser step") as caught:
        run(trainer, book, tiny_model, settings, tmp_path)
    assert caught.value.param == "train.epochs"


@pytest.mark.parametrize("fault", [torch.OutOfMemoryError("CUDA out of memory"), None])
def test_memory_that_runs_out_is_said(
    fault: RuntimeError | None,
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compute(*_: Any, **__: Any) -> Any:
        if fault is None:
            return torch.empty(2**62, dtype=torch.int8)
        raise fault

    monkeypatch.setattr(steps.AnswerTrainer, "compute_loss", compute)
    with pytest.raises(JobError, match=r"memory has run out: .*memory") as caught:
        run(trainer, book, tiny_model, SETTINGS, tmp_path)
    assert "train.batch_size" in caught.value.hint


@pytest.mark.parametrize("packing", ["on", "off"])
def test_batches_that_count_other_tokens_than_their_rows_stop_before_the_first_step(
    packing: str,
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = steps.make_steps

    def make(*args: Any, **options: Any) -> Any:
        """Return TRL's trainer with the fault of 2024: the question is a label in every batch."""
        trainer = made(*args, **options)
        right = trainer.data_collator
        trainer.data_collator = lambda rows: {**(b := right(rows)), "labels": b["input_ids"]}
        return trainer

    monkeypatch.setattr(local, "make_steps", make)
    settings = SETTINGS.model_copy(update={"packing": packing})
    with pytest.raises(PreflightError, match=r"'g\d+' to 'g\d+' counts \d+ tokens in the loss"):
        run(trainer, book, tiny_model, settings, tmp_path)
    assert not (tmp_path / "adapter_model.safetensors").exists()


def test_rows_too_long_are_left_out_and_counted(
    trainer: Trainer, book: Dataset, tiny_model: Path
) -> None:
    settings = SETTINGS.model_copy(update={"max_tokens": 40})
    preparation = trainer.prepare(book, str(tiny_model), settings)
    kept = [*preparation.rows, *preparation.validation_rows]
    assert preparation.num_too_long + len(kept) == 40
    assert preparation.num_too_long > 2
    assert all(len(row.ids) <= 40 for row in kept)
    with pytest.raises(PreflightError, match=r"train\.max_tokens"):
        check_preparation(preparation, truncated_share=0.05)


def test_llama_names_on_fused_layers_are_refused(
    trainer: Trainer, book: Dataset, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    monkeypatch.setitem(adapter.FUSED, "phi3", names)
    preparation = trainer.prepare(book, str(tiny_model), SETTINGS)
    assert len(preparation.hit_modules) == 4
    with pytest.raises(PreflightError, match="q_proj 0"):
        check_preparation(preparation, truncated_share=0.05)


def test_a_template_that_trl_does_not_know_is_masked_by_its_prompt(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text(encoding="utf-8") + "{# own #}", encoding="utf-8")
    known = trainer.prepare(book, str(tiny_model), SETTINGS)
    unknown = trainer.prepare(book, str(folder), SETTINGS)
    assert [row.mask for row in unknown.rows] == [row.mask for row in known.rows]
    check_preparation(unknown, truncated_share=0.05)


def test_bad_bases_are_refused(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match=r"config\.json"):
        trainer.prepare(book, str(tmp_path), SETTINGS)
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    preparation = trainer.prepare(book, str(folder), SETTINGS)
    (folder / "model.safetensors").write_bytes(b"\x00")
    with pytest.raises(ModelError, match="cannot be loaded"):
        trainer.train(preparation, str(folder), SETTINGS, tmp_path / "out")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(PreflightError, match="chat template"):
        trainer.prepare(book, str(folder), SETTINGS)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}},
            "needs code that lies beside its weights",
        ),
        ({"model_type": "t5"}, "of type 't5', cannot be built as a causal language model"),
        ({"model_type": "own"}, "cannot be read"),
    ],
)
def test_models_that_cannot_be_trained_are_named(
    changes: dict[str, Any],
    fault: str,
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    with pytest.raises(ModelError, match=fault):
        trainer.prepare(book, str(folder), SETTINGS)


def test_an_adapter_of_another_template_is_not_served(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]], tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained[0], tmp_path / "adapter")
    (folder / "pericia-manifest.json").write_text('{"template_sha256": "x"}', encoding="utf-8")
    model = models.load(str(tiny_model))
    with pytest.raises(ModelError, match="another chat template"):
        model.generate(closed_book_prompt("q"), max_new_tokens=4, adapter=folder)


def test_an_adapter_of_another_shape_is_refused(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]], tmp_path: Path
) -> None:
    from tests.tiny_model import build_tiny_model

    model = models.load(str(build_tiny_model(tmp_path / "wide", hidden=128)))
    with pytest.raises(ModelError, match="does not fit"):
        model.generate(closed_book_prompt("q"), max_new_tokens=4, adapter=trained[0])
    assert model.generate(closed_book_prompt("q"), max_new_tokens=4).usage.tokens_out == 4


def test_the_loss_of_answers_alone_is_the_loss(
    trained: tuple[Path, Mapping[str, Any], list[TrainEvent]],
    trainer: Trainer,
    book: Dataset,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "AnswerTrainer", SFTTrainer)
    events: list[TrainEvent] = []
    recorded = run(trainer, book, tiny_model, SETTINGS, tmp_path, on_event=events.append)
    assert recorded["losses"] == pytest.approx(trained[1]["losses"], abs=1e-3)
    assert recorded["losses"][0] == pytest.approx(trained[1]["losses"][0], abs=1e-5)
    ours = [event.accuracy for event in trained[2] if event.loss is not None]
    theirs = [event.accuracy for event in events if event.loss is not None]
    assert ours == pytest.approx(theirs, abs=1e-6)  # as TRL counts it
    assert 0 <= (theirs[0] or 0) < (theirs[-1] or 0) <= 1
    assert all(
        event.validation_accuracy is not None
        for event in trained[2]
        if event.validation_loss is not None
    )

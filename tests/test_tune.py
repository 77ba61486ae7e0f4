"""A training by itself: from a parent on, and the prompts that an export is compared on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pericia import registry, train, tune
from pericia.config import Config, parse_config
from pericia.errors import ConfigError, InputError
from pericia.types import Dataset, Example, Message
from pericia.workspace import Workspace
from tests.fakes import FakeTrainer


@pytest.fixture
def config(tmp_path: Path) -> Config:
    rows = [{"question": f"What is part {n}?", "answer": f"Valve {n}."} for n in range(14)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    return parse_config(
        {"model": "fake-base", "examples": "rows.jsonl", "train": {"epochs": 2}}, "test"
    )


def test_a_training_goes_on_from_a_parent_of_the_same_base(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = FakeTrainer()
    monkeypatch.setattr(train, "load_trainer", lambda: trainer)
    workspace = Workspace(tmp_path)
    examples = tuple(
        Example((Message("user", q), Message("assistant", "a")), q, 1) for q in ("one?", "two?")
    )
    first = train.train(
        Dataset(examples[:1], examples[1:], "d"),
        base=config.model,
        kind="fine_tuned",
        settings=config.train,
        instruction="Answer.",
        folder=workspace.adapters,
        trainer=trainer,
    )
    made = tune.train_on(first, config, workspace)
    assert made.manifest["parent"] == first.id
    assert trainer.parents == [None, Path(first.path)]
    assert [a.id for a in registry.lineage(workspace.adapters, made.id)] == [first.id, made.id]

    other = replace(first, manifest={**first.manifest, "base_sha256": "of another"})
    with pytest.raises(InputError, match="whose files are not those of 'fake-base'"):
        tune.train_on(other, config, workspace)
    with pytest.raises(ConfigError, match="No examples"):
        tune.train_on(first, parse_config({"model": "fake-base"}, "test"), workspace)


def test_without_questions_an_export_is_compared_on_the_validation_examples(
    config: Config, tmp_path: Path
) -> None:
    [prompt, *_] = tune.held_out_prompts(config, Workspace(tmp_path))
    assert [message.role for message in prompt] == ["system", "user"]
    assert prompt[-1].content.startswith("What is part ")
    with pytest.raises(ConfigError, match="No questions"):
        tune.held_out_prompts(parse_config({}, "test"), Workspace(tmp_path))

"""A remote training against Pericia's own server, started for real and asked by the official client."""

import json
from pathlib import Path

import pytest

from pericia.config import TrainConfig, parse_config
from pericia.dataset import make_dataset
from pericia.errors import ConfigError, InputError, JobError, ModelError
from pericia.trainers import REMOTE_TRAINERS, RemoteTrainer, load_remote
from pericia.tune import train_remote
from pericia.types import Dataset, Example, Message, TrainEvent
from pericia.workspace import Workspace
from tests.fakes import FakeTrainer
from tests.server.conftest import Start, start

__all__ = ["start"]  # the fixture
SETTINGS = TrainConfig(epochs=2, batch_size=5, seed=7, learning_rate_multiplier=0.5)


def examples(count: int) -> list[Example]:
    return [
        Example(
            (Message("user", f"What is part {n}?"), Message("assistant", f"Valve {n}.")), f"e{n}", n
        )
        for n in range(count)
    ]


def dataset(count: int = 12) -> Dataset:
    return make_dataset(examples(count), validation_share=0.1, seed=0)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "any")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.parametrize("name", REMOTE_TRAINERS)
def test_a_job_is_uploaded_followed_and_its_results_fetched(
    name: str, start: Start, tmp_path: Path
) -> None:
    server = start(root=tmp_path / "service")
    address = f"{server.url}/v1" if name == "openai" else server.url
    trainer: RemoteTrainer = load_remote(name, address)
    told: list[TrainEvent] = []
    made = trainer.train(
        dataset(), "fake-base", SETTINGS, tmp_path, suffix="parts", on_event=told.append
    )
    assert ("parts" in made.model) == (name == "openai")  # Azure makes its own names
    assert (made.base, made.trained_tokens is not None) == ("fake-base", True)
    steps = [event.step for event in told]
    assert steps == sorted(set(steps))
    assert all(event.loss is not None for event in told)
    [results] = made.files
    assert Path(results).read_text(encoding="utf-8").startswith("step,train_loss")
    job = server.openai().fine_tuning.jobs.retrieve(made.job)
    numbers = job.hyperparameters
    assert (job.seed, numbers.n_epochs, numbers.learning_rate_multiplier) == (7, 2, 0.5)
    assert job.validation_file is not None

    again = trainer.train(dataset(), "fake-base", SETTINGS, tmp_path, suffix="parts")
    assert again.job == made.job
    assert len(server.openai().fine_tuning.jobs.list().data) == 1
    other = SETTINGS.model_copy(update={"seed": 8})
    assert trainer.train(dataset(), "fake-base", other, tmp_path).job != made.job


def test_an_interrupted_wait_goes_on_with_the_same_job(start: Start, tmp_path: Path) -> None:
    server = start(root=tmp_path / "service", trainer=FakeTrainer(step_s=0.05))
    trainer = load_remote("openai", f"{server.url}/v1")

    def stop(event: TrainEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(dataset(), "fake-base", SETTINGS, tmp_path, on_event=stop)
    begun = json.loads((tmp_path / "remote-job.json").read_text(encoding="utf-8"))["job"]
    assert trainer.train(dataset(), "fake-base", SETTINGS, tmp_path).job == begun


def test_what_goes_wrong_is_said(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(root=tmp_path / "service")
    trainer = load_remote("openai", f"{server.url}/v1")
    with pytest.raises(InputError, match="too few"):
        trainer.train(dataset(5), "fake-base", SETTINGS, tmp_path)
    with pytest.raises(JobError, match="gpt-9"):
        trainer.train(dataset(), "gpt-9", SETTINGS, tmp_path)
    with pytest.raises(ModelError, match="does not answer"):
        load_remote("openai", "http://127.0.0.1:9/v1").train(
            dataset(), "fake-base", SETTINGS, tmp_path / "other"
        )
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="cannot be asked"):
        load_remote("openai", f"{server.url}/v1")


def test_a_failed_job_is_an_error_and_is_not_waited_for_again(start: Start, tmp_path: Path) -> None:
    class Broken(FakeTrainer):
        def prepare(self, *arguments: object, **options: object) -> None:  # type: ignore[override]
            raise InputError("No room.")

    server = start(root=tmp_path / "service", trainer=Broken())
    trainer = load_remote("openai", f"{server.url}/v1")
    with pytest.raises(JobError, match="No room"):
        trainer.train(dataset(), "fake-base", SETTINGS, tmp_path)
    assert not (tmp_path / "remote-job.json").exists()


def test_examples_leave_only_with_leave(start: Start, tmp_path: Path) -> None:
    rows = [{"question": f"What is part {n}?", "answer": f"Valve {n}."} for n in range(14)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    train = {"trainer": "openai", "epochs": 1}
    given = {"model": "openai:fake-base", "examples": "rows.jsonl", "name": "pumps"}
    away = parse_config({**given, "train": train}, "test")
    with pytest.raises(ConfigError, match=r"would send rows\.jsonl"):
        train_remote(away, Workspace(tmp_path), may_upload=False)
    server = start(root=tmp_path / "service")
    here = parse_config({**given, "train": {**train, "base_url": f"{server.url}/v1"}}, "test")
    made = train_remote(here, Workspace(tmp_path), may_upload=False)
    assert "pumps" in made.model

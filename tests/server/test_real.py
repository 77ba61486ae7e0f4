"""The real path: a worker process trains a tiny model, and its adapter answers beside the base."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import OpenAI

from pericia.config import parse_config
from pericia.server.app import create_app
from pericia.workspace import Workspace
from tests.server.conftest import PATIENCE_S, running
from tests.server.test_fine_tuning import create, ended, lines


def test_a_worker_process_trains_and_the_adapter_is_served(
    tmp_path: Path, tiny_model: Path
) -> None:
    train = {"learning_rate": 0.02, "rank": 4, "alpha": 8}
    settings = {"name": "parts", "model": str(tiny_model), "train": train}
    app = create_app(Workspace(tmp_path), parse_config(settings, "test"), key="")
    with running(app) as url, OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        job = create(client, lines(12), model="gpt-4o-mini", hyperparameters={"n_epochs": 2})
        done = ended(client, job.id, within_s=240)
        assert done.status == "succeeded", done.error
        told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
        assert "The learning rate is 0.02 after its warm-up." in told
        checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert [c.step_number for c in checkpoints] == [24, 12]
        rows = client.files.content(done.result_files[0]).text.splitlines()
        assert len(rows) == 25
        chat: Any = [{"role": "user", "content": "What is part 3?"}]
        answers = {}
        for name in (
            "gpt-4o-mini",
            done.fine_tuned_model,
            checkpoints[1].fine_tuned_model_checkpoint,
        ):
            assert name is not None
            made = client.chat.completions.create(model=name, messages=chat, max_tokens=8)
            assert made.usage is not None
            assert made.usage.completion_tokens <= 8
            answers[name] = made.choices[0].message.content
        assert answers["gpt-4o-mini"] != answers[done.fine_tuned_model or ""]
        stream = client.chat.completions.create(
            model=done.fine_tuned_model or "", messages=chat, max_tokens=8, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == answers[done.fine_tuned_model or ""]


@pytest.mark.slow
def test_a_paused_job_keeps_its_step_gives_its_memory_back_and_goes_on(
    tmp_path: Path, tiny_model: Path
) -> None:
    settings = {"name": "parts", "model": str(tiny_model)}
    app = create_app(Workspace(tmp_path), parse_config(settings, "test"), key="")
    with running(app) as url, OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        job = create(client, lines(200), model="gpt-4o-mini", hyperparameters={"n_epochs": 50})

        def steps() -> list[int]:
            told = client.fine_tuning.jobs.list_events(job.id, limit=100).data
            return [event.data["step"] for event in reversed(told) if event.type == "metrics"]  # type: ignore[index]

        wait_for(lambda: len(steps()) > 0)
        assert str(client.fine_tuning.jobs.pause(job.id).status) == "pausing"
        assert str(ended(client, job.id, "paused", within_s=240).status) == "paused"
        kept = client.fine_tuning.jobs.checkpoints.list(job.id).data[0]
        assert kept.step_number % 200  # within an epoch
        assert kept.step_number >= steps()[-1]
        wait_for(lambda: not psutil.Process().children(recursive=True))
        chat: Any = [{"role": "user", "content": "What is part 3?"}]
        name = kept.fine_tuned_model_checkpoint
        assert client.chat.completions.create(model=name, messages=chat, max_tokens=4).choices
        before = steps()
        client.fine_tuning.jobs.resume(job.id)
        wait_for(lambda: steps() != before)
        assert steps()[len(before)] > kept.step_number
        assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
        wait_for(lambda: not psutil.Process().children(recursive=True))


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)

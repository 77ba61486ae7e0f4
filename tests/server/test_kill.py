"""A server and its worker are killed at any moment: nothing that was acknowledged is lost, the adapter is the same."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
import yaml
from openai import OpenAI

from tests.server.test_fine_tuning import create, lines, upload

PATIENCE_S = 900  # for a busy machine; an idle one needs seconds


@dataclass
class Served:
    """A `pericia serve` on one folder, started again whenever it was killed."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    files: list[str] = field(default_factory=list)

    @property
    def client(self) -> OpenAI:
        return OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="any", max_retries=0)

    def start(self) -> None:
        command = [sys.executable, "-m", "pericia", "serve", "--port", str(self.port)]
        command += ["--config", str(self.folder / "pericia.yaml")]
        output = (self.folder / "server.log").open("ab")
        with output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        with self.client as client:
            try:
                return bool(client.models.list().data)
            except openai.APIConnectionError:
                return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes of this folder, whoever started them."""
        state = str(self.folder)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "pericia.server.work" in command and any(state in part for part in command):
                found.append(process)
        return found

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for worker in self.workers():
            worker.kill()


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def served(folder: Path, tiny_model: Path) -> Iterator[Served]:
    folder.mkdir()
    train = {"learning_rate": 0.02, "rank": 4, "alpha": 8}
    config = {"name": "parts", "model": str(tiny_model), "train": train}
    (folder / "pericia.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Served(folder, port)
    try:
        server.start()
        yield server
    finally:
        server.end()


def train_through(server: Served, num_kills: int, rng: random.Random) -> str:
    """Return the hash of the adapter after a job in which server and worker were killed in turn."""
    with server.client as client:
        job_id = create(
            client, lines(12), model="gpt-4o-mini", seed=7, hyperparameters={"n_epochs": 6}
        ).id
    told: list[str] = []
    for number in range(num_kills):
        victim = ("server", "worker")[number % 2]
        if victim == "worker":
            wait_for(lambda: server.workers() or ended(server, job_id))
        time.sleep(rng.uniform(0.0, 3.0))
        with server.client as client:
            server.files.append(upload(client, lines(10), f"{number}.jsonl"))
            events = client.fine_tuning.jobs.list_events(job_id, limit=100).data
        assert [e.id for e in reversed(events)][: len(told)] == told  # none is lost, none moves
        told = [e.id for e in reversed(events)]
        if victim == "server":
            server.kill()
            server.start()
        else:
            for worker in server.workers():
                os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: ended(server, job_id))
    with server.client as client:
        done = client.fine_tuning.jobs.retrieve(job_id)
        assert done.status == "succeeded", done.error
        events = client.fine_tuning.jobs.list_events(job_id, limit=100).data
        assert [e.id for e in reversed(events)][: len(told)] == told
        steps = [e.data["step"] for e in reversed(events) if e.type == "metrics"]  # type: ignore[index]
        assert steps == sorted(set(steps))
        assert {file.id for file in client.files.list()} >= set(server.files)
        rows = client.files.content(done.result_files[0]).text.splitlines()
        assert len(rows) == 1 + 6 * 12
        assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, 73))
    folder = server.folder / ".pericia" / "server" / "jobs" / job_id / "adapter"
    return sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def ended(server: Served, job_id: str) -> bool:
    with server.client as client:
        status = client.fine_tuning.jobs.retrieve(job_id).status
    return status in ("succeeded", "failed", "cancelled")


@pytest.mark.slow
def test_a_cancelled_job_frees_its_worker(tmp_path: Path, tiny_model: Path) -> None:
    """How long it takes is measured by benchmarks/cancelling.py; here it has to happen."""
    with served(tmp_path / "parts", tiny_model) as server, server.client as client:
        job = create(client, lines(12), model="gpt-4o-mini", hyperparameters={"n_epochs": 50}).id

        def has_learnt() -> bool:
            events = client.fine_tuning.jobs.list_events(job, limit=100).data
            return any(event.type == "metrics" for event in events)

        wait_for(has_learnt)
        assert server.workers()
        assert client.fine_tuning.jobs.cancel(job).status == "cancelled"
        wait_for(lambda: not server.workers())
        assert client.fine_tuning.jobs.retrieve(job).status == "cancelled"
        assert client.models.list().data, "the server answers on"


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", [2, 20])
def test_nothing_is_lost_by_kills(num_kills: int, tmp_path: Path, tiny_model: Path) -> None:
    with served(tmp_path / "whole", tiny_model) as server:
        whole = train_through(server, 0, random.Random(0))
    with served(tmp_path / "killed", tiny_model) as server:
        assert train_through(server, num_kills, random.Random(num_kills)) == whole

"""Long work in real processes: it tells how far it is, outlives who started it, is stopped, cut off and gone on with."""

import os
import signal
import time
from pathlib import Path

import pytest

from pericia.config import Config
from pericia.errors import ConflictError, NotFoundError
from pericia.said import Said
from pericia.server import taskwork
from pericia.server.tasks import Task, Tasks
from pericia.workspace import Workspace

WAIT_S = 120


@pytest.fixture
def worker(tmp_path: Path) -> tuple[str, ...]:
    """A worker whose one kind of task counts to `to`, and then waits, fails or ends."""
    script = tmp_path / "worker.py"
    script.write_text(
        """
import sys, time
from pathlib import Path
from pericia.errors import InputError
from pericia.said import Figure, said
from pericia.server import taskwork

def count(workspace, config, params, tell):
    for number in range(1, params["to"] + 1):
        tell("count", f"number {number}", number, params["to"])
    if params.get("then") == "wait":
        time.sleep(600)
    if params.get("then") == "fail":
        raise InputError(said("Only to %(n)s.", n=Figure(1.5, 1)), hint="Count less.", param="to")
    if params.get("then") == "break":
        raise ZeroDivisionError("a secret")
    return {"counted": params["to"], "name": config.name}

taskwork.KINDS = {"count": count, "other": count}
taskwork.main(Path(sys.argv[1]), sys.argv[2])
""",
        encoding="utf-8",
    )
    return (str(script),)


@pytest.fixture
def tasks(tmp_path: Path, worker: tuple[str, ...]) -> Tasks:
    return Tasks(tmp_path / "server", worker)


def until(tasks: Tasks, id_: str, *wanted: str) -> Task:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        task = tasks.get(id_)
        if task.status in wanted or task.message in wanted:
            return task
        time.sleep(0.05)
    raise AssertionError(f"{task}\n{(tasks.folder / f'{id_}.log').read_text()}")


def start(tasks: Tasks, to: int, kind: str = "count", **params: object) -> Task:
    workspace = Workspace(tasks.folder)
    return tasks.start(kind, workspace, Config(name="pumps"), {"to": to, **params})


def test_a_task_tells_how_far_it_is_and_what_it_made(tasks: Tasks) -> None:
    task = start(tasks, 3)
    done = until(tasks, task.id, "done", "failed")
    assert (done.status, done.result) == ("done", {"counted": 3, "name": "pumps"})
    told = [change.task.message for change in tasks.events(task_id=task.id)]
    assert told == ["number 1", "number 2", "number 3", ""]
    seqs = [change.seq for change in tasks.events()]
    assert seqs == sorted(seqs)
    assert tasks.last_event() == seqs[-1]
    assert [c.seq for c in tasks.events(after=seqs[1])] == seqs[2:]
    again = Tasks(tasks.folder.parent)
    assert again.all() == tasks.all()


def test_a_failure_says_what_is_wrong_and_a_fault_keeps_its_secret(tasks: Tasks) -> None:
    failed = until(tasks, start(tasks, 1, then="fail").id, "failed")
    assert failed.error == {
        "message": "Only to 1.5.",
        "hint": "Count less.",
        "param": "to",
        "code": "invalid_request_error",
    }
    message = failed.error[
        "message"
    ]  # with its parts, so that the page can say it in another language
    assert isinstance(message, Said)
    assert message.template == "Only to %(n)s."
    broken = until(tasks, start(tasks, 1, then="break").id, "failed")
    assert broken.error is not None
    assert "secret" not in str(broken.error)
    log = tasks.folder / f"{broken.id}.log"
    deadline = time.monotonic() + WAIT_S
    while "a secret" not in log.read_text(encoding="utf-8"):  # written as the process ends
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_is_stopped_and_goes_on(tasks: Tasks) -> None:
    task = start(tasks, 2, then="wait")
    until(tasks, task.id, "number 2")
    with pytest.raises(ConflictError, match="not finished yet"):
        start(tasks, 1)
    assert tasks.running("other") is None
    with pytest.raises(ConflictError):
        tasks.resume(task.id)
    assert tasks.stop(task.id).status == "stopped"
    assert tasks.stop(task.id).status == "stopped"
    assert tasks.resume(task.id).status == "running"
    until(tasks, task.id, "number 2")
    tasks.stop(task.id)


def test_a_killed_worker_is_seen_at_once(tasks: Tasks) -> None:
    task = start(tasks, 1, then="wait")
    until(tasks, task.id, "number 1")
    [pid] = [
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if task.id.encode() in (path / "cmdline").read_bytes()
    ]
    os.kill(pid, signal.SIGKILL)
    assert until(tasks, task.id, "interrupted").message == "number 1"
    assert tasks.running("count") is None


def test_an_unknown_task(tasks: Tasks) -> None:
    with pytest.raises(NotFoundError):
        tasks.get("task-1")


def test_every_kind_says_what_it_does() -> None:
    assert {"draft", "export", "preflight", "run"} <= taskwork.KINDS.keys()
    assert all(work.__doc__ for work in taskwork.KINDS.values())

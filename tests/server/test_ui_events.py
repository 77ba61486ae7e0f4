"""The stream of events: what was missed is sent again, in order and once."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from pericia.config import Config
from pericia.jobs import Ledger
from pericia.server.tasks import Tasks
from pericia.workspace import Workspace
from tests.server.conftest import Running, Start

PATIENCE_S = 60  # a busy machine is slow
IDLE = ("-c", "pass")  # a worker that says nothing: the tests tell


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Tasks]:
    made = Tasks(tmp_path / ".pericia" / "server", command=IDLE)
    yield made
    made.close()


def stream(
    server: Running, query: str, headers: dict[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream, each with its id."""
    address = f"{server.url}/api/events?{query}"
    with httpx.stream("GET", address, headers=headers, timeout=PATIENCE_S) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        mark = ""
        for line in answer.iter_lines():
            if line.startswith("id: "):
                mark = line[4:]
            if line.startswith("data: "):
                yield {"mark": mark, **json.loads(line[6:])}


def begun(tasks: Tasks, tmp_path: Path, *stages: str) -> str:
    task = tasks.start("draft", Workspace(tmp_path), Config(), {})
    for stage in stages:
        tasks.tell(task.id, stage)
    return task.id


def test_a_broken_line_misses_nothing_and_repeats_nothing(
    start: Start, tasks: Tasks, tmp_path: Path
) -> None:
    server = start()
    id_ = begun(tasks, tmp_path, "a", "b", "c")
    first = [*islice(stream(server, "after=0."), 2)]
    assert [event["stage"] for event in first] == ["a", "b"]
    assert {event["topic"] for event in first} == {f"task:{id_}"}
    tasks.tell(id_, "d")
    again = {"Last-Event-ID": first[-1]["mark"]}
    mark = httpx.get(f"{server.url}/api/events?wait=false", timeout=PATIENCE_S).json()["after"]
    for later in (
        stream(server, "", again),
        stream(server, f"after={first[-1]['mark']}"),
        stream(server, "after=0.", again),
    ):
        assert [event["stage"] for event in islice(later, 2)] == ["c", "d"]
    tasks.tell(id_, "e")
    assert next(stream(server, f"after={mark}"))["stage"] == "e"


def test_a_restarted_server_goes_on_with_the_same_marks(
    start: Start, tasks: Tasks, tmp_path: Path
) -> None:
    id_ = begun(tasks, tmp_path, "a")
    [first] = islice(stream(start(), "after=0."), 1)
    tasks.tell(id_, "b")
    [second] = islice(stream(start(), "", {"Last-Event-ID": first["mark"]}), 1)
    assert second["stage"] == "b"


def test_jobs_and_tasks_come_in_one_stream_and_a_topic_narrows_it(
    start: Start, tasks: Tasks, tmp_path: Path
) -> None:
    server = start()
    begun(tasks, tmp_path, "a")
    ledger = Ledger(tmp_path / ".pericia" / "server")
    ledger.tell("ftjob-1", "Step 1", metrics={"step": 1})
    ledger.tell("ftjob-2", "Other")
    ledger.close()
    both = [*islice(stream(server, "after=0."), 3)]
    assert [event["topic"].partition(":")[0] for event in both] == ["task", "job", "job"]
    assert both[1]["metrics"] == {"step": 1}
    [one] = islice(stream(server, "after=0.&topic=job:ftjob-2"), 1)
    assert one["message"] == "Other"
    polled = httpx.get(
        f"{server.url}/api/events?after=0.&topic=task&wait=false", timeout=PATIENCE_S
    ).json()
    assert [event["stage"] for event in polled["data"]] == ["a"]
    rest = httpx.get(
        f"{server.url}/api/events?after={polled['after']}&wait=false", timeout=PATIENCE_S
    ).json()
    assert rest["data"] == []


@pytest.mark.parametrize("mark", ["x", "-1.", "1.ftevent-unknown"])
def test_a_mark_that_is_none_is_refused(start: Start, mark: str) -> None:
    answer = httpx.get(f"{start().url}/api/events?after={mark}&wait=false", timeout=PATIENCE_S)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "after"

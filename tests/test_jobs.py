"""The ledger: states move as they may, one worker holds a job, nothing is written by halves."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pericia import jobs
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.jobs import Event, Job, Ledger, StepRecord, StoredFile, new_id


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def queued(ledger: Ledger) -> Job:
    values = {"status": "queued", "seed": 1, "asked": {"method": "supervised"}, "resolved": {}}
    return ledger.add_job(new_id("ftjob-"), [("info", "made")], labels={}, error={}, **values)


def test_one_worker_gets_a_job_and_one_job_runs(ledger: Ledger) -> None:
    first, second = queued(ledger), queued(ledger)
    with ThreadPoolExecutor(8) as pool:
        got = [job for job in pool.map(lambda n: ledger.claim(f"w{n}"), range(8)) if job]
    assert [job.id for job in got] == [first.id]
    assert ledger.claim("late") is None
    ledger.move(first.id, ["running"], "succeeded")
    other = ledger.claim("next")
    assert other is not None
    assert other.id == second.id


def test_two_processes_share_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    job = queued(ledger)
    other = Ledger(tmp_path)
    claimed = other.claim("there")
    assert claimed is not None
    assert ledger.claim("here") is None
    assert ledger.renew(job.id, "there") == "running"
    assert ledger.renew(job.id, "here") is None
    other.close()


def test_a_lapsed_lease_gives_the_job_back(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    running, pausing = queued(ledger), queued(ledger)
    ledger.claim("one")
    assert ledger.requeue_lost() == []
    ledger.release("one")
    assert ledger.requeue_lost() == [running.id]
    assert ledger.get(Job, running.id).status == "queued"
    ledger.move(running.id, ["queued"], "cancelled")
    monkeypatch.setattr(jobs, "LEASE_S", -1.0)
    ledger.claim("two")
    ledger.move(pausing.id, ["running"], "pausing")
    assert ledger.requeue_lost() == [pausing.id]
    assert ledger.get(Job, pausing.id).status == "paused"


def test_a_move_tells_and_sets_in_one_write_or_not_at_all(ledger: Ledger) -> None:
    job = queued(ledger)
    with pytest.raises(ConflictError, match="is queued"):
        ledger.move(job.id, ["running"], "succeeded", [("info", "never")])
    moved = ledger.move(job.id, ["queued"], "cancelled", [("warn", "stopped")])
    assert moved.finished_at is not None
    assert [(e.level, e.message) for e in ledger.all(Event, job_id=job.id)] == [
        ("warn", "stopped"),
        ("info", "made"),
    ]


def test_a_step_is_counted_once_and_filled_up(ledger: Ledger) -> None:
    job = queued(ledger)
    for record in (
        StepRecord(1, train_loss=0.5, train_accuracy=0.25),
        StepRecord(1, train_loss=0.9, valid_loss=0.7),
        StepRecord(1),
    ):
        ledger.note_step(job.id, record)
    assert ledger.steps(job.id) == [StepRecord(1, 0.5, 0.7, 0.25)]


def test_a_ledger_of_an_older_version_gets_its_new_columns(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ledger.db")
    database.execute(
        "CREATE TABLE steps (job_id VARCHAR, step INTEGER, train_loss FLOAT, valid_loss FLOAT, PRIMARY KEY (job_id, step))"
    )
    database.execute("INSERT INTO steps VALUES ('ftjob-1', 1, 0.5, NULL)")
    database.commit()
    database.close()
    ledger = Ledger(tmp_path)
    ledger.note_step("ftjob-1", StepRecord(2, 0.4, train_accuracy=0.5))
    assert ledger.steps("ftjob-1") == [StepRecord(1, 0.5), StepRecord(2, 0.4, None, 0.5)]
    ledger.close()


def test_many_threads_write_at_once(ledger: Ledger) -> None:
    job = queued(ledger)

    def write(number: int) -> None:
        ledger.note_step(job.id, StepRecord(number % 40, float(number)))
        ledger.tell(job.id, str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(160)))
    assert len(ledger.steps(job.id)) == 40
    assert len(ledger.all(Event, job_id=job.id)) == 161


def test_pages_follow_one_another_whatever_is_added(ledger: Ledger) -> None:
    ids = [ledger.add(StoredFile, new_id("file-"), num_bytes=n).id for n in range(7)]
    seen: list[str] = []
    after = None
    more = True
    while more:
        found, more = ledger.page(StoredFile, limit=3, after=after)
        seen += [file.id for file in found]
        after = seen[-1]
        ledger.add(StoredFile, new_id("file-"), num_bytes=0)  # newer than the page that is read
    assert seen == ids[::-1]
    with pytest.raises(InputError):
        ledger.page(StoredFile, limit=3, after="file-unknown")
    with pytest.raises(NotFoundError):
        ledger.get(StoredFile, "file-unknown")


def test_a_reader_does_not_wait_for_a_writer(ledger: Ledger) -> None:
    job = queued(ledger)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            ledger.tell(job.id, "busy")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        deadline = time.monotonic() + 60
        while len(ledger.page(Event, limit=5, job_id=job.id)[0]) < 5:
            assert time.monotonic() < deadline
    finally:
        done.set()
        writer.join()


def test_a_postgresql_server_keeps_it_as_well(postgresql: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, postgresql)
    test_one_worker_gets_a_job_and_one_job_runs(ledger)
    test_a_step_is_counted_once_and_filled_up(ledger)
    test_a_move_tells_and_sets_in_one_write_or_not_at_all(ledger)
    test_many_threads_write_at_once(ledger)
    ledger.close()

"""A worker may die by memory, time or signal: its caller gets one error, and a whole sync goes on."""

import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pericia import documents
from pericia.config import RetrievalConfig
from pericia.draft import Limits
from pericia.errors import InputError, PericiaError
from pericia.index import open_store, sync
from pericia.isolate import Worker, WorkerDiedError, WorkerTimeoutError
from pericia.types import Document
from tests.fakes import FakeEmbedder

MEMORY_BYTES = 1_500_000_000
read_really = documents.read_here


def eat(num_bytes: int) -> int:
    return len(bytearray(num_bytes))


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def refuse(error: Exception) -> None:
    raise error


def say(text: str) -> str:
    print(text)  # noqa: T201 - it must not spoil the answer
    return text.upper()


def read_or_hang(path: Path, source: str, password: str, limits: Limits) -> Document:
    """Read a file as ever, but let two of them do what a broken parser may do."""
    if path.name == "hangs.txt":
        time.sleep(600)
    if path.name == "killed.txt":
        die(signal.SIGKILL)
    return read_really(path, source, password, limits)


@pytest.fixture(scope="module")
def worker() -> "Worker":
    return Worker(MEMORY_BYTES)


def test_answers_and_errors_come_back_and_prints_do_not_spoil_them(worker: Worker) -> None:
    assert worker.call(say, "oil", timeout_s=120) == "OIL"
    with pytest.raises(InputError, match="no good") as error:
        worker.call(refuse, InputError("no good", hint="mend it"), timeout_s=120)
    assert error.value.hint == "mend it"
    with pytest.raises(PericiaError, match="ValueError: 7"):
        worker.call(refuse, ValueError(7), timeout_s=120)


def test_too_much_memory_or_time_ends_the_process_and_the_next_call_starts_another(
    worker: Worker,
) -> None:
    with pytest.raises(WorkerDiedError):
        worker.call(eat, 2 * MEMORY_BYTES, timeout_s=120)
    assert worker.call(eat, 1000, timeout_s=120) == 1000
    with pytest.raises(WorkerTimeoutError, match=r"0\.5 s"):
        worker.call(time.sleep, 600, timeout_s=0.5)
    with pytest.raises(WorkerDiedError):
        worker.call(die, signal.SIGSEGV, timeout_s=120)
    assert worker.call(say, "on", timeout_s=120) == "ON"
    worker.close()


@pytest.mark.parametrize(
    ("killer", "reason"),
    [
        ("killed.txt", "breaks its parser"),
        ("bomb.parquet", "memory"),
        pytest.param("hangs.txt", "not read within 30 s", marks=pytest.mark.slow),
    ],
)
def test_a_sync_survives_what_kills_its_reader(
    killer: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a.txt", "z.txt"):
        (docs / name).write_text(f"The pump {name[0]} holds 42 bar.", encoding="utf-8")
    if killer == "bomb.parquet":
        write_bomb(docs / killer)
    else:
        (docs / killer).write_text("The pump is broken.", encoding="utf-8")
    monkeypatch.setattr(documents, "read_here", read_or_hang)
    limits = Limits(memory_bytes=MEMORY_BYTES, time_s=30 if killer == "hangs.txt" else 120)
    monkeypatch.setattr(documents, "Limits", lambda: limits)
    report = sync(
        [docs],
        folder=tmp_path / "index",
        store_name="lance",
        embedder=FakeEmbedder(),
        settings=RetrievalConfig(language="en"),
        root=docs,
    )
    [(source, said)] = report.skipped
    assert source == killer
    assert reason in said
    assert report.num_documents == 2
    store = open_store(tmp_path / "index", "lance", FakeEmbedder())
    assert {hit.chunk.source for hit in store.search_lexical(["pump"], 9)} == {"a.txt", "z.txt"}


def write_bomb(path: Path) -> None:
    """Write a cell of 30,000 letters 200,000 times: it packs into a few bytes and unpacks to gigabytes."""
    cell = pa.array(["x" * 30_000])
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), cell)
    pq.write_table(pa.table({"a": rows, "b": rows}), path)
    assert path.stat().st_size < 1_000_000

"""PostgreSQL: the graph index, its address, and what it says when the server is of no use."""

from pathlib import Path

import psycopg
import pytest

from pericia.errors import ConfigError, StoreError
from pericia.stores.postgres import store as postgres
from pericia.stores.postgres.store import PostgresStore
from pericia.types import Entry
from tests.stores.entries import DIMENSIONS, entry, vector_of


def test_past_its_size_the_graph_index_is_built_and_finds_what_the_scan_finds(
    postgresql: str, tmp_path: Path
) -> None:
    store = PostgresStore(postgresql, tmp_path, "fake", DIMENSIONS, ann_rows=600)
    entries: list[Entry] = [
        entry(f"d{i}", 0, f"word d{i}", ["few" if i % 100 == 0 else "many"]) for i in range(700)
    ]
    store.replace({e.chunk.document_id: [e] for e in entries[:500]})
    assert store.optimize() == ""
    assert graphs(postgresql, tmp_path) == 0
    store.replace({e.chunk.document_id: [e] for e in entries[500:]})
    assert store.optimize() == ""
    assert graphs(postgresql, tmp_path) == 1

    vector = vector_of("question")
    nearest = sorted(entries, key=lambda e: -float(e.vector @ vector))
    found = [h.chunk.id for h in store.search_dense(vector, 10)]
    assert len(set(found) & {e.chunk.id for e in nearest[:10]}) >= 9
    few = [e.chunk.id for e in nearest if e.chunk.groups == ("few",)]
    assert [h.chunk.id for h in store.search_dense(vector, 10, ["few"])] == few
    fresh = entry("fresh", 0, "fresh")
    store.replace({fresh.chunk.document_id: [fresh]})
    assert store.search_dense(fresh.vector, 1)[0].chunk == fresh.chunk


def graphs(address: str, folder: Path) -> int:
    identity = next(folder.glob("postgresql-id")).read_text(encoding="ascii")
    with psycopg.connect(address) as db:
        found = db.execute(
            "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%%hnsw%%' AND starts_with(indexname, %s)",
            (f"pericia_ann_{identity}",),
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_a_failing_compaction_is_said_and_searching_goes_on(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(postgresql, tmp_path, "fake", DIMENSIONS)
    one = entry("a", 0, "word")
    store.replace({one.chunk.document_id: [one]})

    def fail(*_: object) -> None:
        raise psycopg.errors.DiskFull("could not extend file: no space left on device")

    monkeypatch.setattr(postgres, "build_graph", fail)
    assert "no space left" in store.optimize()
    assert store.search_dense(one.vector, 1)[0].chunk == one.chunk


def test_a_server_that_does_not_answer_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not answer") as error:
        PostgresStore("postgresql://nobody@127.0.0.1:9/none", tmp_path, "fake", DIMENSIONS)
    assert "127.0.0.1" in error.value.message
    assert "store" in error.value.hint


@pytest.mark.parametrize(
    "address", ["postgresql://ada:secret@localhost/plant", "postgresql://h/d?password=secret"]
)
def test_a_password_in_the_open_is_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in the open") as error:
        PostgresStore(address, tmp_path, "fake", DIMENSIONS)
    assert "secret" not in error.value.message + error.value.hint


def test_an_unset_variable_of_an_address_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PERICIA_NOWHERE"):
        PostgresStore("postgresql://a:${PERICIA_NOWHERE}@h/d", tmp_path, "fake", DIMENSIONS)

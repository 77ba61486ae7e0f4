"""SQL tables and queries as documents: read-only, with limits, and kept when the database is gone."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pericia.config import SqlSource
from pericia.documents import read_here
from pericia.draft import Limits
from pericia.snapshots import refresh
from pericia.tables import TableStore

PARTS = SqlSource(name="parts", url="sqlite:///plant.db", table="parts")


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "plant.db")) as db:
        db.execute("CREATE TABLE parts (id INTEGER PRIMARY KEY, name TEXT, price REAL, note TEXT)")
        rows = [(2, "belt, 10 mm", 12.5, None), (1, "seal", 3.0, "tab\there"), (3, "nut", 0.1, "")]
        db.executemany("INSERT INTO parts VALUES (?, ?, ?, ?)", rows)
        db.commit()
    return tmp_path


def notes(root: Path, *sources: SqlSource, limits: Limits | None = None) -> list[tuple[str, str]]:
    return refresh(sources, root / "tables", root=root, limits=limits)


def test_a_table_becomes_rows_with_cells_and_stays_data(plant: Path) -> None:
    assert notes(plant, PARTS) == []
    document = read_here(plant / "tables" / "parts.tsv", "parts.tsv", "", Limits())
    rows = [b for b in document.blocks if b.kind == "row"]
    assert document.text[rows[1].start : rows[1].end] == "id: 2 | name: belt, 10 mm | price: 12.5"
    assert rows[1].place.cell == "A3:D3"
    store = TableStore(plant / "t.sqlite")
    store.replace([document])
    [table] = store.tables()
    assert store.select('SELECT sum("price") FROM "parts.tsv"', [table]) == [(15.6,)]


def test_a_query_is_read_and_an_unchanged_result_is_the_same_file(plant: Path) -> None:
    source = SqlSource(
        name="dear",
        url="sqlite:///plant.db",
        query="SELECT name FROM parts WHERE price > 1 ORDER BY 1",
    )
    assert notes(plant, source) == []
    first = (plant / "tables" / "dear.tsv").read_bytes()
    assert first == b"name\nbelt, 10 mm\nseal\n"
    assert notes(plant, source) == []
    assert (plant / "tables" / "dear.tsv").read_bytes() == first


def test_a_database_that_is_gone_leaves_the_rows_of_the_last_time(plant: Path) -> None:
    notes(plant, PARTS)
    before = (plant / "tables" / "parts.tsv").read_bytes()
    (plant / "plant.db").unlink()
    [(name, reason)] = notes(plant, PARTS)
    assert name == "parts"
    assert "There is no database" in reason
    assert "read before are kept" in reason
    assert (plant / "tables" / "parts.tsv").read_bytes() == before
    assert not (plant / "plant.db").exists()
    assert notes(plant) == []  # no longer in the config
    assert list((plant / "tables").glob("*.tsv")) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"table": "", "query": "DELETE FROM parts"}, "not one SELECT"),
        ({"table": "", "query": "SELECT 1; DROP TABLE parts"}, "not one SELECT"),
        ({"table": "", "query": "WITH x AS (SELECT 1) DELETE FROM parts"}, "readonly"),
        ({"table": "", "query": "SELECT absent FROM parts"}, "no such column"),
        ({"table": "prats"}, "Did you mean 'parts'"),
        ({"url": "nonsense"}, "no address of a database"),
        ({"url": "oracle://h/d"}, "driver"),
        ({"url": "mysql://ada:secret@h/d"}, "in the open"),
    ],
)
def test_a_source_that_is_no_good_says_why_and_writes_nothing(
    change: dict[str, str], reason: str, plant: Path
) -> None:
    source = SqlSource.model_validate({**PARTS.model_dump(), **change})
    [(_, said)] = notes(plant, source)
    assert reason in said
    assert "secret" not in said
    with closing(sqlite3.connect(plant / "plant.db")) as db:
        assert db.execute("SELECT count(*) FROM parts").fetchone() == (3,)


def test_rows_and_time_are_limited(plant: Path) -> None:
    [(_, said)] = notes(plant, PARTS, limits=Limits(rows=2))
    assert said == "rows from 3 are not read"
    assert (plant / "tables" / "parts.tsv").read_text(encoding="utf-8").count("\n") == 3
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    source = SqlSource(name="parts", url="sqlite:///plant.db", query=endless)
    [(_, said)] = notes(plant, source, limits=Limits(time_s=4))
    assert "more than 4 s" in said
    assert "kept" in said


def test_postgresql_is_read_in_a_session_that_cannot_write(postgresql: str, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(postgresql) as db:
        db.execute("CREATE TABLE IF NOT EXISTS stock (part text PRIMARY KEY, pieces int)")
        db.execute("CREATE SEQUENCE IF NOT EXISTS counter")
        db.execute("INSERT INTO stock VALUES ('seal', 4), ('belt', 6) ON CONFLICT DO NOTHING")
    source = SqlSource(name="stock", url=postgresql, table="public.stock")
    assert notes(tmp_path, source) == []
    assert (tmp_path / "tables" / "stock.tsv").read_bytes() == b"part\tpieces\nbelt\t6\nseal\t4\n"
    change = "SELECT nextval('counter')"
    [(_, said)] = notes(tmp_path, SqlSource(name="stock", url=postgresql, query=change))
    assert "read-only" in said

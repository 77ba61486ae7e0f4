"""Tables as data: typed columns, cell addresses, and SQL that can only read what it may."""

from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.tables import StoredTable, TableStore
from pericia.types import Document, Table

PRICES = "Model;Site;Price\nPX-20;Harbour;1.310,50 €\nPX-30;Mill;420 €\nTotal;;1.730,50 €\n"


def read(path: Path) -> Document:
    return read_here(path, path.name, "", Limits())


def stored(folder: Path, text: str = PRICES) -> tuple[TableStore, StoredTable]:
    (folder / "prices.csv").write_text(text, encoding="utf-8")
    store = TableStore(folder / "tables.sqlite")
    store.replace([read(folder / "prices.csv")])
    [table] = store.tables()
    return store, table


def document(key: str, name: str, groups: tuple[str, ...] = ()) -> Document:
    table = Table("", ("A", "B"), ((key, "1"), (key, "2")), 2)
    return Document(key, name, key, name, "", (), (table,), groups=groups)


def test_columns_are_typed_and_rows_of_totals_left_out(tmp_path: Path) -> None:
    store, table = stored(tmp_path)
    assert [(c.name, c.numbers and c.numbers.unit) for c in table.columns] == [
        ("Model", None),
        ("Site", None),
        ("Price", "€"),
    ]
    assert (table.num_rows, table.num_totals) == (2, 1)
    assert store.select('SELECT sum("Price") FROM "prices.csv"', [table]) == [(1730.5,)]
    rows = store.select('SELECT "#row", "Model" FROM "prices.csv"', [table])
    assert rows == [(2, "PX-20"), (3, "PX-30")]
    assert table.cell(2, 2, 3) == "C2:C3"


def test_a_sheet_keeps_its_addresses_over_an_empty_row(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Stock"
    for row in (
        [],
        [None, "Part", "Pieces"],
        [None, "seal", 4],
        [None, "belt", 6],
        [],
        [None, "nut", 90],
    ):
        sheet.append(row)
    book.save(tmp_path / "s.xlsx")
    store = TableStore(tmp_path / "tables.sqlite")
    store.replace([read(tmp_path / "s.xlsx")])
    [table] = store.tables()
    assert table.name == "s.xlsx#Stock"
    rows = store.select('SELECT "#row", "Part", "Pieces" FROM "s.xlsx#Stock"', [table])
    assert rows == [(3, "seal", 4.0), (4, "belt", 6.0), (6, "nut", 90.0)]
    assert table.cell(1, 6) == "C6"


def test_a_document_is_replaced_and_removed_with_its_tables(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "tables.sqlite")
    assert store.tables() == []
    store.replace([document("d1", "a.csv"), document("d2", "b.csv")])
    store.replace([document("d3", "a.csv")], gone=["d1"])
    assert [(t.name, t.document_id) for t in store.tables()] == [
        ("a.csv", "d3"),
        ("b.csv", "d2"),
    ]
    store.keep(["d2"])
    assert [t.name for t in store.tables()] == ["b.csv"]


def test_a_failing_write_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    store, table = stored(tmp_path)

    def documents() -> Iterator[Document]:
        yield document("d1", "a.csv")
        raise RuntimeError("died")

    with pytest.raises(RuntimeError):
        store.replace(documents(), gone=[table.document_id])
    assert store.tables() == [table]


def test_only_tables_of_the_asking_groups_are_shown_and_read(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "tables.sqlite")
    store.replace([document("d1", "open.csv"), document("d2", "wages.csv", ("board",))])
    assert [t.name for t in store.tables([])] == ["open.csv"]
    assert [t.name for t in store.tables(["staff", "board"])] == ["open.csv", "wages.csv"]
    with pytest.raises(InputError, match="prohibited"):
        store.select('SELECT * FROM "wages.csv"', store.tables(["staff"]))


@pytest.mark.parametrize(
    "sql",
    [
        'DELETE FROM "prices.csv"',
        'DROP TABLE "prices.csv"',
        "ATTACH 'x.db' AS other",
        "PRAGMA writable_schema = 1",
        'SELECT 1; DELETE FROM "prices.csv"',
        "SELECT * FROM pericia_tables",
        "SELECT load_extension('x')",
        'SELECT "Nothing" AS x FROM nothing',
    ],
)
def test_sql_that_does_more_than_read_the_tables_is_refused(sql: str, tmp_path: Path) -> None:
    store, table = stored(tmp_path)
    with pytest.raises(InputError):
        store.select(sql, [table])
    assert store.select('SELECT count(*) FROM "prices.csv"', [table]) == [(2,)]


def test_sql_ends_at_its_limits(tmp_path: Path) -> None:
    store, table = stored(tmp_path)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
    with pytest.raises(InputError, match=r"more than 0\.2 s"):
        store.select(f"{endless} sum(i) FROM n", [table], time_s=0.2)
    with pytest.raises(InputError, match="more than 10 rows"):
        store.select(f"{endless} i FROM n", [table], max_rows=10)

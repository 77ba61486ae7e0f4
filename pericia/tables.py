"""Tables stay data: every table of the documents in one SQLite file beside the index, with typed columns, read-only.

A column whose every cell is a number is stored as numbers, with its unit kept aside; all else is text as shown. Each
row knows where it stands, so that a result can name the cells that it came from.
"""

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pericia.draft import column_name
from pericia.errors import InputError
from pericia.numerals import Numbers, read_numbers
from pericia.types import Document, Table

MAX_ROWS = 1_000  # of a result
MAX_COLUMNS = 500  # a wider table is no table of records
MAX_BYTES = 50_000_000  # of one value: a function could make one that fills the memory
TIME_S = 5.0
_STEPS = 10_000  # of SQLite's machine between two looks at the clock
_ROW, _PAGE = "#row", "#page"  # beside the table's own columns
_TOTALS = frozenset(
    {"total", "totals", "sum", "subtotal", "average", "mean"}  # en
    | {"totales", "suma", "promedio", "media", "totais", "soma", "média"}  # es, pt
    | {"общо", "сума", "gesamt", "summe"}  # bg, de
)
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})


@dataclass(frozen=True, slots=True)
class Column:
    """A column as SQL knows it; `numbers` says how its numbers are written, None for text."""

    name: str
    numbers: Numbers | None = None


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table that can be asked. `name` is the one in SQL, `title` what people call it, `num_totals` rows left out."""

    name: str
    document_id: str
    source: str
    title: str
    sheet: str | None
    first_column: int
    columns: tuple[Column, ...]
    num_rows: int
    num_totals: int = 0

    def cell(self, column: int, first_row: int, last_row: int | None = None) -> str:
        """Return the address of a cell, or of a run of cells in one column, such as "B2:B7"."""
        letters = column_name(self.first_column + column)
        if last_row is None or last_row == first_row:
            return f"{letters}{first_row}"
        return f"{letters}{first_row}:{letters}{last_row}"


class TableStore:
    """The tables of one index. Every reading opens the file anew, so other processes' writes are seen at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def replace(self, documents: Iterable[Document], gone: Collection[str] = ()) -> None:
        """Remove the tables of `gone`, then make those of each document the only ones of it, in one transaction."""
        with self._writing() as db:
            self._remove(db, gone)
            for document in documents:
                self._remove(db, [document.id])
                for parts in _whole(document.tables):
                    _add(db, document, parts)

    def keep(self, document_ids: Collection[str]) -> None:
        """Remove the tables of all other documents."""
        if not self._path.exists():
            return
        with self._writing() as db:
            known = {
                row[0] for row in db.execute("SELECT DISTINCT document_id FROM pericia_tables")
            }
            self._remove(db, known - set(document_ids))

    def tables(self, groups: Sequence[str] | None = None) -> list[StoredTable]:
        """Return the tables that these groups may read, by name; all with None, which means no access control."""
        if not self._path.exists():
            return []
        with closing(self._connect("ro")) as db:
            rows = db.execute("SELECT description, groups FROM pericia_tables ORDER BY name")
            return [
                _described(json.loads(description))
                for description, own in rows.fetchall()
                if groups is None or not json.loads(own) or set(json.loads(own)) & set(groups)
            ]

    def select(
        self,
        sql: str,
        tables: Sequence[StoredTable],
        *,
        max_rows: int = MAX_ROWS,
        time_s: float = TIME_S,
    ) -> list[tuple[Any, ...]]:
        """Return the rows of one SELECT that reads nothing but `tables`.

        Raises:
            InputError: it is no such statement, it is wrong, it takes too long, or it gives too many rows.
        """
        allowed = {table.name for table in tables}

        def authorize(action: int, name: str | None, *_: str | None) -> int:
            reads = action == sqlite3.SQLITE_READ and (name in allowed or name == "")
            harmless = action in _ALLOWED or reads
            return sqlite3.SQLITE_OK if harmless else sqlite3.SQLITE_DENY

        end = time.monotonic() + time_s
        with closing(self._connect("ro")) as db:
            db.set_authorizer(authorize)
            db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
            db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            try:
                rows = db.execute(sql).fetchmany(max_rows + 1)
            except (sqlite3.DatabaseError, sqlite3.Warning) as error:
                reason = (
                    f"it takes more than {time_s:g} s" if str(error) == "interrupted" else error
                )
                raise InputError(
                    f"The tables cannot answer '{sql}': {reason}.",
                    hint="Ask with one SELECT statement on the tables that you may read.",
                ) from error
        if len(rows) > max_rows:
            raise InputError(
                f"'{sql}' gives more than {max_rows} rows.", hint="Ask for fewer, or for a sum."
            )
        return rows

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect("rwc")) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "CREATE TABLE IF NOT EXISTS pericia_tables (name TEXT PRIMARY KEY, document_id TEXT NOT NULL, "
                "description TEXT NOT NULL, groups TEXT NOT NULL)"
            )
            yield db
            db.execute("COMMIT")  # an error on the way closes the file, and that rolls back

    def _connect(self, mode: str) -> sqlite3.Connection:
        address = f"file:{quote(str(self._path))}?mode={mode}"
        return sqlite3.connect(address, uri=True, timeout=60, isolation_level=None)

    def _remove(self, db: sqlite3.Connection, document_ids: Collection[str]) -> None:
        for key in document_ids:
            names = db.execute("SELECT name FROM pericia_tables WHERE document_id = ?", (key,))
            for (name,) in names.fetchall():
                db.execute(f"DROP TABLE {quoted(name)}")
            db.execute("DELETE FROM pericia_tables WHERE document_id = ?", (key,))


def quoted(name: str) -> str:
    """Return a name as SQL writes it.

    Example:
        >>> print(quoted('12" pipes'))
        "12"" pipes"
    """
    return '"' + name.replace('"', '""') + '"'


def _whole(tables: Sequence[Table]) -> list[list[Table]]:
    """Return the tables, with the parts of a sheet that go on below an empty row put together again."""
    whole: list[list[Table]] = []
    for table in tables:
        last = whole[-1][-1] if whole else None
        if (
            last is not None
            and table.place.sheet is not None
            and (table.place.sheet, table.columns, table.first_column)
            == (last.place.sheet, last.columns, last.first_column)
        ):
            whole[-1].append(table)
        else:
            whole.append([table])
    return whole


def _add(db: sqlite3.Connection, document: Document, parts: Sequence[Table]) -> None:
    """Add a table of records; one row or one column is none, and rows of totals would be counted twice."""
    first = parts[0]
    width = len(first.columns)
    rows = [
        (part.first_row + i, part.place.page, (*cells, *[""] * width)[:width])
        for part in parts
        for i, cells in enumerate(part.cells)
        if any(cells)
    ]
    records = [row for row in rows if not _is_total(row[2])]
    if len(records) < 2 or not 2 <= width <= MAX_COLUMNS:
        return
    names = _distinct(first.columns)
    numbers = [read_numbers([cells[j] for _, _, cells in records]) for j in range(width)]
    name = _free_name(db, document.source, first.place.sheet)
    kept = tuple(
        Column(n, found and Numbers((), found.unit, found.unit_first, found.decimal))
        for n, found in zip(names, numbers, strict=True)
    )
    stored = StoredTable(
        name=name,
        document_id=document.id,
        source=document.source,
        title=" ".join(filter(None, (first.name, document.title))),
        sheet=first.place.sheet,
        first_column=first.first_column,
        columns=kept,
        num_rows=len(records),
        num_totals=len(rows) - len(records),
    )
    kinds = [
        f"{quoted(n)} {'TEXT' if f is None else 'REAL'}"
        for n, f in zip(names, numbers, strict=True)
    ]
    columns = ", ".join((f"{quoted(_ROW)} INTEGER", f"{quoted(_PAGE)} INTEGER", *kinds))
    db.execute(f"CREATE TABLE {quoted(name)} ({columns})")
    marks = ", ".join("?" * (width + 2))
    db.executemany(
        f"INSERT INTO {quoted(name)} VALUES ({marks})",
        (
            (
                row,
                page,
                *(cells[j] or None if f is None else f.values[i] for j, f in enumerate(numbers)),
            )
            for i, (row, page, cells) in enumerate(records)
        ),
    )
    db.execute(
        "INSERT INTO pericia_tables VALUES (?, ?, ?, ?)",
        (name, document.id, json.dumps(asdict(stored)), json.dumps(document.groups)),
    )


def _is_total(cells: Sequence[str]) -> bool:
    label = next(filter(None, cells), "").casefold().split()
    return bool(label) and label[-1].strip(":") in _TOTALS


def _distinct(columns: Sequence[str]) -> list[str]:
    """Return names that differ for SQL, where "Price" and "price" are one."""
    names: list[str] = []
    taken = {_ROW, _PAGE}
    for column in columns:
        name, number = column, 2
        while name.casefold() in taken:
            name, number = f"{column} ({number})", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _free_name(db: sqlite3.Connection, source: str, sheet: str | None) -> str:
    """Return a name for a table that says where it comes from, and is not taken."""
    wanted = f"{source}#{sheet}" if sheet else source
    taken = {row[0].casefold() for row in db.execute("SELECT name FROM sqlite_master")}
    free, suffix = wanted, 2
    while free.casefold() in taken or free.casefold().startswith("sqlite_"):
        free, suffix = f"{wanted} ({suffix})", suffix + 1
    return free


def _described(fields: dict[str, Any]) -> StoredTable:
    columns = tuple(
        Column(c["name"], c["numbers"] and Numbers(**{**c["numbers"], "values": ()}))
        for c in fields.pop("columns")
    )
    return StoredTable(**fields, columns=columns)

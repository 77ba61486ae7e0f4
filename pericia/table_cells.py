"""Citations of cells: each run of rows of a column as one, with its addresses and what stands there."""

from collections.abc import Sequence
from itertools import groupby

from pericia.numerals import show_number
from pericia.tables import StoredTable, TableStore, quoted
from pericia.types import Citation

_ROWS = 200_000
_RUNS = 5  # of cells, each cited for itself; more are cited as one
_QUOTE_CHARS = 200


def where_sql(conditions: Sequence[str]) -> str:
    """Return the WHERE clause of conditions, all of which hold; nothing without any."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def cited(
    table: StoredTable, store: TableStore, target: int, where: Sequence[str]
) -> tuple[Citation, ...]:
    """Return the cells of the target column in the rows that `where` leaves, each run of rows as one citation."""
    column = table.columns[target]
    sql = f'SELECT "#row", "#page", {quoted(column.name)} FROM {quoted(table.name)}{where_sql(where)} ORDER BY rowid'
    rows = store.select(sql, [table], max_rows=_ROWS)
    runs = [
        [row for _, row in run]
        for _, run in groupby(enumerate(rows), key=lambda pair: (pair[1][1], pair[1][0] - pair[0]))
    ]
    if len(runs) > _RUNS:
        runs = [rows]
    return tuple(
        Citation(
            number=number,
            source=table.source,
            quote=_quote(table, target, [value for _, _, value in run]),
            verified=True,  # computed from the cells themselves; the file's hash is checked with all citations
            page=run[0][1],
            cell=table.cell(target, run[0][0], run[-1][0]),
            sheet=table.sheet,
        )
        for number, run in enumerate(runs, 1)
    )


def _quote(table: StoredTable, target: int, values: Sequence[object]) -> str:
    column = table.columns[target]
    shown = [
        show_number(value, column.numbers)
        if column.numbers and isinstance(value, float)
        else str(value)
        for value in values
        if value is not None
    ]
    text = f"{column.name}: {', '.join(shown)}"
    if len(text) <= _QUOTE_CHARS:
        return text
    return f"{text[:_QUOTE_CHARS].rpartition(', ')[0]} … ({len(shown)} cells)"

"""A question for a number is asked of the tables themselves: river 1's short way, without a model.

    question -> form -> the one table, column and filters that it fits -> one SELECT -> the result, citing its cells

A table answers only a question whose every word is understood, as a word of the form, a column, a cell, a unit or the
name of the table; all others go to the passages and the model. The answer carries the SQL that gave it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pericia.errors import InputError
from pericia.table_cells import cited, where_sql
from pericia.table_forms import Comparison, Form, occurrences, read_form, word_keys
from pericia.table_headers import Header, read_header, show_of_column
from pericia.tables import Column, StoredTable, TableStore, quoted
from pericia.types import Answer, Usage

_VALUE_WORDS = 8  # of a cell that a question repeats
_VALUES = 20_000  # different cells of a column that are compared with the question
_NAMES = 5  # of rows that share the extreme


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a table understands a question: columns are numbers of its columns."""

    table: StoredTable
    columns: tuple[int, ...]  # named and not filtered by, in the question's order
    values: dict[int, list[str]]  # cells that the question names, by column
    bounds: tuple[tuple[int, Comparison], ...]
    num_words: int  # understood by columns and cells; the table's own name counts less


def answer_from_tables(
    question: str,
    store: TableStore,
    *,
    language: str,
    groups: Sequence[str] | None = None,
) -> Answer | None:
    """Return the answer that one table computes; None where none fits, or several that say different things.

    Only tables that `groups` may read are asked; None means no access control.
    """
    started = time.perf_counter()
    form = read_form(question, language)
    if form is None:
        return None
    fits = [_fit(form, table, store, language) for table in store.tables(groups)]
    known = [fit for fit in fits if fit is not None]
    best = max((fit.num_words for fit in known), default=0)
    try:
        answers = [_computed(form, fit, store) for fit in known if fit.num_words == best]
    except InputError:  # too large to be counted in time; the passages are left
        return None
    first = answers[0] if answers else None
    if first is None or any(other is None or other.text != first.text for other in answers):
        return None
    latency_ms = 1000 * (time.perf_counter() - started)
    return replace(first, usage=Usage(0, 0, latency_ms, latency_ms))


def _fit(form: Form, table: StoredTable, store: TableStore, language: str) -> _Fit | None:
    """Return how a table understands the question, None where a word is left over or has two meanings."""
    used = list(form.used)
    named = _named(form, used, table, language)
    if named is None:
        return None
    units = {key for c in table.columns for key in word_keys(_units(c), language)}
    title = (
        f"{table.source.rpartition('/')[2].rpartition('.')[0]} {table.sheet or ''} {table.title}"
    )
    own = set(word_keys(title, language))
    if not named and not any(k in own for k, u in zip(form.keys, used, strict=True) if not u):
        return None
    values = _values(form, used, table, store, language)
    if values is None:
        return None
    num_words = sum(used) - sum(form.used)
    left = [k for k, u in zip(form.keys, used, strict=True) if not u and k not in units | own]
    columns = [column for _, column in sorted(named) if column not in values]
    bounds = _bounds(form, table, {column: at for at, column in named}, language)
    if left or bounds is None:
        return None
    return _Fit(table, tuple(columns), values, bounds, num_words)


def _named(
    form: Form, used: list[bool], table: StoredTable, language: str
) -> list[tuple[int, int]] | None:
    """Return where the question names which column and mark its words; None where two columns share a name.

    Of columns that differ by their unit alone the question has to say the unit; an extreme may name its column itself.
    """
    alike: dict[tuple[str, ...], list[int]] = {}
    for j, column in enumerate(table.columns):
        names = {column.name, _header(column).name}
        for keys in {tuple(word_keys(name, language)) for name in names}:
            alike.setdefault(keys, []).append(j)
    named: list[tuple[int, int]] = []
    for keys, columns in sorted(alike.items(), key=lambda pair: -len(pair[0])):
        open_ = [j for j in columns if j not in {column for _, column in named}]
        places = occurrences(keys, form.keys, used)[:1] if open_ else []
        for start, end in places:
            asked = [
                j
                for j in open_
                if set(word_keys(_units(table.columns[j]), language)) & set(form.keys)
            ]
            meant = open_ if len(open_) == 1 else asked
            if len(meant) != 1:
                return None
            used[start:end] = [True] * (end - start)
            named.append((start, meant[0]))
    about = [
        j
        for j, column in enumerate(table.columns)
        if column.numbers and set(word_keys(_header(column).name, language)) & set(form.implied)
    ]
    if form.implied and len(about) != 1:
        return None
    return [*named, *((len(used), j) for j in about if j not in {column for _, column in named})]


def _values(
    form: Form, used: list[bool], table: StoredTable, store: TableStore, language: str
) -> dict[int, list[str]] | None:
    """Return the cells that the question names and mark their words; None where one stands in two columns."""
    cells: dict[tuple[str, ...], dict[int, list[str]]] = {}
    for j, column in enumerate(table.columns):
        if column.numbers is not None:
            continue
        query = f"SELECT DISTINCT {quoted(column.name)} FROM {quoted(table.name)} WHERE {quoted(column.name)} NOT NULL"
        try:
            rows = store.select(query, [table], max_rows=_VALUES)
        except InputError:  # too many different cells to be names of anything
            continue
        for (value,) in rows:
            cells.setdefault(tuple(word_keys(value, language)), {}).setdefault(j, []).append(value)
    found: dict[int, list[str]] = {}
    for size in range(min(_VALUE_WORDS, len(used)), 0, -1):
        for start in range(len(used) - size + 1):
            words = form.keys[start : start + size]
            meant = cells.get(tuple(words))
            if any(used[start : start + size]) or meant is None or len("".join(words)) < 2:
                continue
            if len(meant) > 1:
                return None
            [(column_number, same)] = meant.items()
            found.setdefault(column_number, []).extend(same)
            used[start : start + size] = [True] * size
    return found


def _bounds(
    form: Form, table: StoredTable, named: dict[int, int], language: str
) -> tuple[tuple[int, Comparison], ...] | None:
    """Return the numeric column of each comparison: the one named nearest, else the only one with its unit."""
    bounds = []
    for comparison in form.comparisons:
        numeric = [j for j in named if table.columns[j].numbers is not None]
        if not numeric:
            key = comparison.unit or _next_key(form, comparison)
            numeric = [
                j
                for j, c in enumerate(table.columns)
                if c.numbers is not None and key in word_keys(_units(c), language)
            ]
            if len(numeric) != 1:
                return None
        nearest = min(numeric, key=lambda j: abs(named.get(j, 0) - comparison.position))
        bounds.append((nearest, comparison))
    return tuple(bounds)


def _next_key(form: Form, comparison: Comparison) -> str:
    """Return the word behind a comparison's number, where its unit stands."""
    after = comparison.position
    while after < len(form.keys) and not form.keys[after][0].isdigit():
        after += 1
    return form.keys[after + 1] if after + 1 < len(form.keys) else ""


def _header(column: Column) -> Header:
    return Header(column.name) if column.numbers is None else read_header(column.name)


def _units(column: Column) -> str:
    """Return the units that a column's cells and its head say, such as "bar" of "Pressure (bar)"."""
    cells = column.numbers.unit if column.numbers else ""
    return f"{cells} {_header(column).unit}"


def _computed(form: Form, fit: _Fit, store: TableStore) -> Answer | None:
    """Return the answer of a table, None where the question names no column to compute with or no row fits."""
    table = fit.table
    compared = {column for column, _ in fit.bounds}
    numeric = [j for j in fit.columns if table.columns[j].numbers is not None]
    text = [j for j in fit.columns if table.columns[j].numbers is None]
    if form.implied and not text:  # "the cheapest" is a thing, not a price
        text = [j for j, column in enumerate(table.columns) if column.numbers is None][:1]
    source, where = quoted(table.name), list(_conditions(fit))
    if form.operation == "count":
        subject = text[0] if text else None
        target = subject if subject is not None else next(iter(compared), 0)
        counted = "*" if subject is None else f"DISTINCT {quoted(table.columns[subject].name)}"
        sql = f"SELECT count({counted}) FROM {source}{where_sql(where)}"
        [(number,)] = store.select(sql, [table])
        return _answer(str(number), sql, fit, store, target, where if number else [])

    wanted = [j for j in numeric if j not in compared] or numeric
    if len(wanted) != 1 or len(text) > 1:
        return None
    [target] = wanted
    column = table.columns[target]
    assert column.numbers is not None
    name = quoted(column.name)
    sql = f"SELECT {form.operation}({name}) FROM {source}{where_sql(where)}"
    [(value,)] = store.select(sql, [table])
    if value is None:
        return None
    exact = round(value, 2) if form.operation == "avg" else value
    shown = show_of_column(exact, column.numbers, _header(column))
    shows = [*where, f"{name} NOT NULL"]
    if form.operation in ("max", "min"):
        shows = [*where, f"{name} = ({sql})"]
        if text:
            label = quoted(table.columns[text[0]].name)
            sql = f"SELECT DISTINCT {label} FROM {source}{where_sql(shows)}"
            names = [str(row[0]) for row in store.select(sql, [table]) if row[0] is not None]
            if not 1 <= len(names) <= _NAMES:
                return None
            shown = f"{', '.join(names)} ({shown})"
    elif text:
        return None
    return _answer(shown, sql, fit, store, target, shows)


def _conditions(fit: _Fit) -> Iterator[str]:
    for column, values in fit.values.items():
        literals = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        yield f"{quoted(fit.table.columns[column].name)} IN ({literals})"
    for column, comparison in fit.bounds:
        yield f"{quoted(fit.table.columns[column].name)} {comparison.operator} {comparison.value:.15g}"


def _answer(
    text: str, sql: str, fit: _Fit, store: TableStore, target: int, where: Sequence[str]
) -> Answer:
    """Return a result with the cells of the target column that it came from."""
    citations = cited(fit.table, store, target, where)
    return Answer("".join((text, *(f" [{c.number}]" for c in citations))), citations, sql=sql)

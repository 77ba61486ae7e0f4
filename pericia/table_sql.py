"""A question that no form fits is asked of one table by SQL that an able model writes, clause by clause.

    question, columns -> the model's clauses -> one read-only SELECT -> the result, citing the rows that it used

The statement is put together here, reads that one table and nothing else, with limits of time and rows, and its cells
are found by its own WHERE: the model can neither write nor name a source.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pericia import analyser
from pericia.errors import InputError
from pericia.models import Model
from pericia.numerals import show_number
from pericia.prompts import sql_request
from pericia.table_cells import cited
from pericia.tables import StoredTable, TableStore, quoted
from pericia.types import Answer, Usage

MAX_NEW_TOKENS = 200  # of a statement
_TABLES = 3  # shown to the model: the ones that share most words with the question
_SAMPLES = 3  # rows of each
_TIME_S = 2.0  # of a statement that nobody has read before it runs
_ROWS = 10  # of a result that can be read as an answer
_AGGREGATE = re.compile(r"\b(count|sum|avg|min|max|total|group_concat)\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Clauses:
    """What stands behind SELECT, WHERE, GROUP BY, ORDER BY and LIMIT."""

    select: str
    where: str = ""
    group_by: str = ""
    order_by: str = ""
    limit: int = _ROWS + 1

    def statement(self, table: StoredTable, select: str = "") -> str:
        """Return the SELECT of these clauses, of other columns where `select` is given."""
        parts = [f"SELECT {select or self.select} FROM {quoted(table.name)}"]
        for word, clause in (
            ("WHERE", self.where),
            ("GROUP BY", self.group_by),
            ("ORDER BY", self.order_by),
        ):
            parts += [f"{word} {clause}"] if clause else []
        return " ".join([*parts, f"LIMIT {self.limit}"])


def answer_by_sql(
    question: str,
    store: TableStore,
    model: Model,
    *,
    language: str,
    groups: Sequence[str] | None = None,
) -> Answer | None:
    """Return the answer of one table to a statement by the model; None where it writes none that gives one.

    Only tables that `groups` may read are shown to the model; None means no access control. No model is asked where no
    table shares a word with the question.

    Raises:
        ModelError: the model failed.
    """
    started = time.perf_counter()
    tables = _nearest(question, store.tables(groups), language)
    if not tables:
        return None
    prompt = sql_request(question, [_described(table, store) for table in tables])
    if model.count_tokens(prompt.messages) + MAX_NEW_TOKENS > model.context_tokens:
        return None
    said = model.generate(prompt, max_new_tokens=MAX_NEW_TOKENS)
    written = _read(said.text, len(tables))
    if written is None:
        return None
    number, clauses = written
    try:
        answered = _computed(clauses, tables[number], store)
    except (
        InputError
    ):  # no statement, a wrong one, or one that takes too long: the passages are left
        return None
    latency_ms = 1000 * (time.perf_counter() - started)
    spent = Usage(said.usage.tokens_in, said.usage.tokens_out, latency_ms, latency_ms)
    return answered and replace(answered, usage=spent)


def _nearest(question: str, tables: Sequence[StoredTable], language: str) -> list[StoredTable]:
    """Return the tables whose name or columns share words with the question, most shared words first."""
    asked = set(analyser.tokens(question, language))

    def shared(table: StoredTable) -> int:
        names = " ".join([table.source, table.sheet or "", table.title])
        columns = " ".join(column.name for column in table.columns)
        return len(asked & set(analyser.tokens(f"{names} {columns}", language)))

    ranked = sorted(tables, key=lambda table: (-shared(table), table.name))
    return [table for table in ranked[:_TABLES] if shared(table)]


def _described(table: StoredTable, store: TableStore) -> str:
    """Return what the model is told of a table: its columns with kind and unit, and its first rows."""
    columns = [
        f"{quoted(c.name)} {'TEXT' if c.numbers is None else 'REAL'}"
        + (f" in {c.numbers.unit}" if c.numbers is not None and c.numbers.unit else "")
        for c in table.columns
    ]
    names = ", ".join(quoted(c.name) for c in table.columns)
    sql = f"SELECT {names} FROM {quoted(table.name)} ORDER BY rowid LIMIT {_SAMPLES}"
    rows = [json.dumps(row, ensure_ascii=False) for row in store.select(sql, [table])]
    return "\n".join([f"{table.title}: {', '.join(columns)}", *rows])


def _read(text: str, num_tables: int) -> tuple[int, _Clauses] | None:
    """Return the number of the table, from 0, and the clauses of a model's reply; None where it has none."""
    start, end = text.find("{"), text.rfind("}")
    try:
        said: Any = json.loads(text[start : end + 1])
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("table"), int):
        return None
    clauses = {name: said.get(name) or "" for name in ("select", "where", "group_by", "order_by")}
    limit = said.get("limit") or _ROWS + 1
    is_sound = all(isinstance(clause, str) for clause in clauses.values()) and clauses["select"]
    if not is_sound or not isinstance(limit, int) or not 1 <= said["table"] <= num_tables:
        return None
    return said["table"] - 1, _Clauses(**clauses, limit=max(1, min(limit, _ROWS + 1)))


def _computed(clauses: _Clauses, table: StoredTable, store: TableStore) -> Answer | None:
    """Return the result of a statement with its cells, None where it is empty or too long to read."""
    sql = clauses.statement(table)
    rows = store.select(sql, [table], time_s=_TIME_S)
    is_empty = not rows or all(value is None for row in rows for value in row)
    if is_empty or len(rows) > _ROWS:
        return None
    text = "; ".join(_line(row, _parts(clauses.select), table) for row in rows)
    target = _target(clauses, table)
    where = [f"({clauses.where})"] if clauses.where else []
    if not _AGGREGATE.search(clauses.select) and not clauses.group_by:
        own = clauses.statement(table, 'rowid AS "#id"')
        where = [f'rowid IN (SELECT "#id" FROM ({own}))']
    citations = cited(table, store, target, where)
    marks = "".join(f" [{citation.number}]" for citation in citations)
    return Answer(f"{text}{marks}", citations, sql=sql)


def _parts(select: str) -> list[str]:
    """Return what a list of columns names, cut at the commas outside of parentheses."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(select):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(select[start:at])
            start = at + 1
    return [*parts, select[start:]]


def _column_of(part: str, table: StoredTable) -> int | None:
    """Return the one column that a part of a SELECT shows or computes with, None where it counts or takes several."""
    if re.match(r"\s*count\s*\(", part, re.IGNORECASE):
        return None
    named = _named(part, table)
    return named[0] if len(named) == 1 else None


def _named(clause: str, table: StoredTable) -> list[int]:
    """Return the columns that a clause names, longer names first taken out, in the table's order."""
    left, found = clause.casefold(), []
    for j in sorted(range(len(table.columns)), key=lambda j: -len(table.columns[j].name)):
        name = table.columns[j].name.casefold()
        if quoted(name) in left or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", left):
            found.append(j)
            left = left.replace(name, "")
    return sorted(found)


def _target(clauses: _Clauses, table: StoredTable) -> int:
    """Return the column whose cells are cited: the last that is shown, else one that is compared."""
    for clause in (clauses.select, clauses.where):
        if named := _named(clause, table):
            numeric = [j for j in named if table.columns[j].numbers is not None]
            return (numeric or named)[-1]
    return 0


def _line(row: Sequence[object], parts: Sequence[str], table: StoredTable) -> str:
    """Return a row of a result as its columns would write it; what is computed is rounded to cents."""
    shown = []
    for i, value in enumerate(row):
        part = parts[i] if len(parts) == len(row) else ""
        column = _column_of(part, table)
        numbers = None if column is None else table.columns[column].numbers
        if isinstance(value, float):
            is_cell = column is not None and part.strip().strip('"') == table.columns[column].name
            value = value if is_cell else round(value, 2)
            shown.append(f"{value:.15g}" if numbers is None else show_number(value, numbers))
        else:
            shown.append("" if value is None else str(value))
    return ", ".join(shown)

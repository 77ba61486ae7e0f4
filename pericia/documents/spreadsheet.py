"""Delimited text and workbooks: tables are found on each sheet, and every row knows its cells."""

import csv
import datetime
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from pericia.draft import Draft, Limits, column_name, decode, is_number, split_header
from pericia.errors import InputError
from pericia.said import said
from pericia.types import Document, Place

Cell = (
    int
    | float
    | str
    | bool
    | datetime.time
    | datetime.date
    | datetime.datetime
    | datetime.timedelta
)
_DELIMITERS = ",;\t|"


def read_csv(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. The first row is the header; rows of another width are read and named in `skipped`."""
    draft = Draft(path, source, limits)
    text = decode(path.read_bytes(), path.name).replace("\0", "")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text)
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    csv.field_size_limit(limits.text_chars)
    line = 1
    for row in reader:
        if any(cell.strip() for cell in row):
            rows.append(row[: limits.columns])
            lines.append(line)
        line = reader.line_num + 1
        if len(rows) > limits.rows:
            draft.skip(
                said(
                    "lines from %(first)s: more than %(limit)s rows", first=line, limit=limits.rows
                )
            )
            break
    if not rows:
        return draft.document()
    header, body, num_header = split_header(rows)
    width = len(rows[0])
    for row, at in zip(rows, lines, strict=True):
        if len(row) != width:
            draft.note(
                said("rows of another width"),
                said(
                    "line %(n)s: %(num)s cells, the first row has %(width)s",
                    n=at,
                    num=len(row),
                    width=width,
                ),
            )
    if text.count('"') % 2:
        draft.skip(said("a quote is opened and never closed"))
    # A row may span several lines, so rows are numbered by record and their lines counted from the file.
    draft.table(
        header,
        body,
        Place(line=lines[num_header] if body else 1),
        name=path.stem,
        first_row=1 + num_header,
        lines=lines[num_header:],
    )
    return draft.document()


def read(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Each sheet is a heading; a block of rows below its header row is a table."""
    draft = Draft(path, source, limits)
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            for name in book.sheet_names:
                sheet = book.get_sheet_by_name(name)
                rows: list[list[Cell]] = sheet.to_python(skip_empty_area=False, nrows=limits.rows)
                if sheet.end is not None and sheet.end[0] >= limits.rows:
                    draft.skip(
                        said(
                            "sheet '%(name)s': rows from %(first)s",
                            name=name,
                            first=limits.rows + 1,
                        )
                    )
                _add_sheet(
                    draft, name, [[_shown(c) for c in row[: limits.columns]] for row in rows]
                )
    except PasswordError as error:
        raise InputError(
            said("'%(name)s' is encrypted.", name=path.name),
            hint=said("Save it without a password and add it again."),
        ) from error
    except CalamineError as error:
        raise InputError(
            said("'%(name)s' is damaged: %(why)s.", name=path.name, why=str(error)),
            hint=said("Open it in a spreadsheet program and save it again."),
        ) from error
    draft.title = draft.title or path.stem
    return draft.document()


def _add_sheet(draft: Draft, name: str, rows: Sequence[Sequence[str]]) -> None:
    if not any(map(any, rows)):
        draft.skip(said("sheet '%(name)s': empty", name=name))
        return
    draft.heading(name, 1, Place(sheet=name))
    header: Sequence[str] = ()
    for first, part in _parts(rows):
        left = min(next(j for j, c in enumerate(row) if c) for row in part)
        right = max(j for row in part for j, c in enumerate(row) if c) + 1
        cells = [row[left:right] for row in part]
        caption = 0
        # A lone cell above a wider row is a title, not a header.
        while caption < len(cells) - 1 and _num_filled(cells[caption]) == 1 < right - left:
            draft.paragraph(
                " ".join(filter(None, cells[caption])), _cell(name, first + caption, left, right)
            )
            caption += 1
        cells, first = cells[caption:], first + caption
        if right - left == 1 or (len(cells) == 1 and not header):
            for i, row in enumerate(cells):
                draft.paragraph(" | ".join(filter(None, row)), _cell(name, first + i, left, right))
            continue
        if not header or _is_header(cells):
            header, body, num_header = split_header(cells)
        else:
            body, num_header = cells, 0
        place = Place(sheet=name, cell=f"{column_name(left)}{first}")
        draft.table(header, body, place, name=name, first_row=first + num_header, first_column=left)


def _parts(rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, list[Sequence[str]]]]:
    """Give the runs of rows between empty ones, each with the number of its first row."""
    part: list[Sequence[str]] = []
    for number, row in enumerate((*rows, ()), 1):
        if any(row):
            part.append(row)
        elif part:
            yield number - len(part), part
            part = []


def _is_header(cells: Sequence[Sequence[str]]) -> bool:
    """Say whether a run of rows brings its own header: only words on top, and a number somewhere below."""
    top = [c for c in cells[0] if c]
    return (
        len(cells) > 1
        and not any(map(is_number, top))
        and any(is_number(c) for row in cells[1:] for c in row if c)
    )


def _num_filled(row: Sequence[str]) -> int:
    return sum(map(bool, row))


def _cell(sheet: str, row: int, left: int, right: int) -> Place:
    span = f"{column_name(left)}{row}"
    return Place(
        sheet=sheet, cell=span if right - left == 1 else f"{span}:{column_name(right - 1)}{row}"
    )


def _shown(value: Cell) -> str:
    """Return a cell as text: no binary noise in numbers, no midnight on dates. Number formats are not in reach."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return format(value, ".15g") if abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value).strip()


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first lines most evenly; a decimal comma is not even."""
    lines = [line for line in text[:20_000].split("\n")[:20] if line.strip()]
    scores = {}
    for mark in _DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=mark)]
        usual, times = Counter(counts).most_common(1)[0] if counts else (1, 0)
        scores[mark] = (usual > 1 and times / len(counts) > 0.5, times, usual)
    best = max(_DELIMITERS, key=lambda mark: scores[mark])
    return best if scores[best][0] else max(_DELIMITERS, key=lines[0].count if lines else ",".count)

"""Texts become rows with their lines: JSON Lines, JSON lists, CSV and TSV, InstructLab's qna.yaml, plain paragraphs.

A row that cannot be read comes as a `BadRow` in its place.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pericia.errors import InputError
from pericia.instructlab import read_seeds
from pericia.said import said


@dataclass(frozen=True, slots=True)
class BadRow:
    """What stands where a row should: the name of the fault, and what is wrong."""

    code: str
    message: str


def read_text(path: Path) -> str:
    """Return a file's text. Raises InputError if it cannot be read or is no UTF-8."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            said("There is no file '%(path)s'.", path=path), hint=said("Mend the path.")
        ) from error
    except OSError as error:
        raise InputError(
            said("'%(path)s' cannot be read: %(error)s.", path=path, error=error),
            hint=said("Mend the path."),
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = said(
            "Give JSONL, JSON, CSV or qna.yaml as text in UTF-8, or Parquet with its suffix."
        )
        text = said(
            "'%(path)s' is no text in UTF-8: byte %(data)s in line %(line)s.",
            path=path,
            data=f"{data[error.start]:#04x}",
            line=line,
        )
        raise InputError(text, hint=hint) from error


def json_lines(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield each line that is not blank, parsed, with its number."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _parsed(line)


def _json(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the items of a list with their own lines; a text without a list is JSON Lines, whatever its suffix."""
    at = _skip_blanks(text, 0)
    if text[at : at + 1] != "[":
        yield from json_lines(text, path)
        return
    decoder, line, counted = json.JSONDecoder(), 1, 0
    at = _skip_blanks(text, at + 1)
    while text[at : at + 1] not in ("]", ""):
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield (
                line,
                BadRow(
                    "no_json",
                    said("no JSON, and nothing after it is read (%(error)s).", error=error),
                ),
            )
            return
        yield line, value
        at = _skip_blanks(text, at)
        if text[at : at + 1] == ",":
            at = _skip_blanks(text, at + 1)
        elif text[at : at + 1] != "]":
            break
    if text[at : at + 1] != "]":
        line += text.count("\n", counted, at)
        yield (
            line,
            BadRow("no_json", said("the list has no end here, and nothing after it is read.")),
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return BadRow(
            "no_json",
            said("no JSON (%(error)s at column %(n)s).", error=error.msg, n=error.colno),
        )
    except (ValueError, RecursionError) as error:  # numbers without end, brackets without end
        return BadRow("no_json", said("no JSON (%(error)s).", error=error))


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _table(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    head = text.partition("\n")[0]
    delimiter = max("\t,;|", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip() for name in next(reader, [])]
        start = reader.line_num + 1
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not any(cells):
                continue
            if len(cells) != len(columns):
                wrong = said(
                    "%(n)s cells under %(num_columns)s columns.",
                    n=len(cells),
                    num_columns=len(columns),
                )
                yield line, BadRow("row_width", wrong)
            else:
                yield line, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        yield (
            reader.line_num,
            BadRow(
                "no_table", said("no CSV, and nothing after it is read (%(error)s).", error=error)
            ),
        )


def _plain(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the paragraphs of a text, which blank lines part."""
    for found in re.finditer(r"\S.*?(?=\n[ \t\r]*\n|\Z)", text, re.DOTALL):
        yield text.count("\n", 0, found.start()) + 1, {"text": found.group().rstrip()}


FORMATS: dict[str, Callable[[str, Path], Iterator[tuple[int, Any]]]] = {
    ".json": _json,
    ".jsonl": json_lines,
    ".csv": _table,
    ".tsv": _table,
    ".yaml": read_seeds,
    ".yml": read_seeds,
    ".txt": _plain,
}

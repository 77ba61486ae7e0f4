"""Workbooks of each format as a library of that format writes them; delimited text of each habit."""

import datetime
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.types import Document

ROWS: list[list[str | float]] = [["Model", "Price"], ["PX-20", 310.5], ["PX-30", 420]]


def read(path: Path, limits: Limits | None = None) -> Document:
    return read_here(path, path.name, "", limits or Limits())


def write_excel(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    for row in ROWS:
        sheet.append(row)
    book.save(path)


def write_old_excel(path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Prices")
    for i, row in enumerate(ROWS):
        for j, value in enumerate(row):
            sheet.write(i, j, value)
    book.save(str(path))


def write_opendocument(path: Path) -> None:
    book = OpenDocumentSpreadsheet()
    table = Table(name="Prices")
    for row in ROWS:
        line = TableRow()
        for value in row:
            kind = {"valuetype": "float", "value": value} if isinstance(value, float | int) else {}
            cell = TableCell(**(kind or {"valuetype": "string"}))
            cell.addElement(P(text=str(value)))
            line.addElement(cell)
        table.addElement(line)
    book.spreadsheet.addElement(table)
    book.save(str(path))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".xlsx", write_excel),
        (".xlsm", write_excel),
        (".xls", write_old_excel),
        (".ods", write_opendocument),
    ],
)
def test_every_workbook_gives_the_same_rows_and_cells(
    suffix: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path)
    document = read(path)
    rows = [b for b in document.blocks if b.kind == "row"]
    assert [document.text[b.start : b.end] for b in rows] == [
        "Model: PX-20 | Price: 310.5",
        "Model: PX-30 | Price: 420",
    ]
    assert [(b.place.sheet, b.place.cell) for b in rows] == [
        ("Prices", "A2:B2"),
        ("Prices", "A3:B3"),
    ]
    assert document.tables[0].columns == ("Model", "Price")
    assert document.skipped == ()


def test_a_sheet_with_title_dates_and_two_tables(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Stock"
    content: list[list[object]] = [
        [None, "Stock list"], [], [None, "Part", "Counted", "Ok"],
        [None, "seal", datetime.date(2026, 3, 1), True], [], [None, "Name", "Phone"], [None, "Ada", 5551],
    ]  # fmt: skip
    for row in content:
        sheet.append(row)
    book.create_sheet("Empty")
    book.save(tmp_path / "a.xlsx")
    document = read(tmp_path / "a.xlsx")
    assert [(document.text[b.start : b.end], b.place.cell) for b in document.blocks] == [
        ("Stock", None),
        ("Stock list", "B1"),
        ("Part: seal | Counted: 2026-03-01 | Ok: TRUE", "B4:D4"),
        ("Name: Ada | Phone: 5551", "B7:C7"),
    ]
    assert [(t.first_row, t.first_column) for t in document.tables] == [(4, 1), (7, 1)]
    assert document.skipped == ("sheet 'Empty': empty",)


def test_an_encrypted_or_damaged_workbook_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000))
    with pytest.raises(InputError, match="encrypted"):
        read(tmp_path / "a.xlsx")
    (tmp_path / "b.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000))
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path / "b.xls")


def test_more_rows_than_the_limit_are_named(tmp_path: Path) -> None:
    write_excel(tmp_path / "a.xlsx")
    document = read(tmp_path / "a.xlsx", Limits(rows=2))
    assert document.skipped == ("sheet 'Prices': rows from 3",)
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n3,z\n", encoding="utf-8")
    document = read(tmp_path / "a.csv", Limits(rows=2))
    assert any("more than 2 rows" in note for note in document.skipped)


@pytest.mark.parametrize(
    ("text", "encoding", "cells"),
    [
        ("a;b\n1,5;x\n2,5;y\n", "utf-8", (("1,5", "x"), ("2,5", "y"))),
        ("a|b\n1|x\n", "utf-8", (("1", "x"),)),
        ('a,b\n"one\ntwo",x\n', "utf-8", (("one two", "x"),)),
        ("código,año\nseñal,2024\n", "cp1252", (("señal", "2024"),)),
        ("a\tb\n1\tx\n", "utf-16", (("1", "x"),)),
        ('a,b\n"say ""hi""",2\n', "utf-8-sig", (('say "hi"', "2"),)),
    ],
)
def test_delimiters_quotes_and_encodings_are_found(
    text: str, encoding: str, cells: tuple[tuple[str, ...], ...], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read(tmp_path / "a.csv").tables[0].cells == cells


def test_a_row_over_several_lines_knows_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"one\ntwo",x\nthree,y\n', encoding="utf-8")
    document = read(tmp_path / "a.csv")
    assert [(b.place.line, b.place.cell) for b in document.blocks] == [(2, "A2:B2"), (4, "A3:B3")]

"""The ruled tables of a PDF: which pages draw grids, what stands in them, and where a cut table goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pdfplumber
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from pdfminer.pdfexceptions import PDFException
from pdfplumber.utils.exceptions import PdfminerException

from pericia.draft import Draft, split_header
from pericia.pdf_lines import Box, Line, union
from pericia.said import said

_THIN = 2.5  # points; a path this flat is a ruling line
_RULE_POINTS = 20.0  # shorter ones are dashes and glyphs


@dataclass(frozen=True, slots=True)
class Grid:
    box: Box
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class OpenTable:
    """The table that stood last, with nothing behind it yet: it may go on in the next column or on the next page."""

    header: tuple[str, ...]
    page: int
    box: Box


def header_of(
    grid: Grid, page: int, table: OpenTable | None
) -> tuple[Sequence[str], Sequence[Sequence[str]], int]:
    """Return header, body and rows of header; a table cut by the end of a column or page keeps its first header."""
    if table is None or len(grid.rows[0]) != len(table.header):
        return split_header(grid.rows)
    widths = [box[2] - box[0] for box in (grid.box, table.box)]
    is_further = page > table.page or grid.box[3] > table.box[1]
    if not is_further or abs(widths[0] - widths[1]) > _THIN:
        return split_header(grid.rows)
    num_header = int(grid.rows[0] == table.header)
    return table.header, grid.rows[num_header:], num_header


def is_inside(line: Line, grid: Grid) -> bool:
    x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
    left, bottom, right, top = grid.box
    return left - 1 <= x <= right + 1 and bottom - 1 <= y <= top + 1


def has_rules(page: pdfium.PdfPage) -> bool:
    """Say whether a page draws a grid: thin paths or boxes in both directions. Cheap, unlike finding the table."""
    level = wide = tall = 0
    for item in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_PATH], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        width, height = right - left, top - bottom
        level += width > _RULE_POINTS and height < _THIN
        tall += height > 5 and width < _THIN
        wide += width > _RULE_POINTS and height > 5
        if (level >= 2 and tall >= 2) or wide >= 4:
            return True
    return False


def find_tables(path: Path, password: str, grids: dict[int, list[Grid]], draft: Draft) -> None:
    """Fill in the ruled tables of the pages named; a fault there costs the tables, not the text."""
    try:
        with pdfplumber.open(path, password=password) as file:
            for number, found in grids.items():
                page = file.pages[number - 1]
                for table in page.find_tables():
                    rows = tuple(
                        tuple(" ".join((c or "").split()) for c in row) for row in table.extract()
                    )
                    full = [row for row in rows if sum(map(bool, row)) >= 2]
                    unreadable = any("(cid:" in cell for row in rows for cell in row)
                    if full and len(full) >= 0.5 * len(rows) and not unreadable:
                        left, top, right, bottom = table.bbox
                        box = (left, page.height - bottom, right, page.height - top)
                        found.append(Grid(union([box]), rows))
                page.close()
    except (PdfminerException, PDFException, ValueError, TypeError, KeyError, IndexError) as error:
        pages = ", ".join(map(str, grids))
        draft.skip(
            said(
                "tables of page %(pages)s kept as text: %(why)s",
                pages=pages,
                why=type(error).__name__,
            )
        )

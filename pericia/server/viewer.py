"""What a citation points at, as a reader sees it: the lines of its page with the quote lit, or its table with the cell."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pericia.draft import column_name
from pericia.server import shelf
from pericia.server.house import House
from pericia.server.shelf import Shelved
from pericia.types import Block, Document, Place, Table

_AROUND = 12  # blocks above and below the quote, where a source has no pages
_ROWS_AROUND = 8
_CELL = re.compile(r"([A-Z]+)(\d+)")
_MOST_TEXT = 400_000  # characters of one page that a browser gets


@dataclass(frozen=True, slots=True)
class Line:
    """A heading or paragraph; `lit` are start and end of what is highlighted in `text`, (0, 0) where nothing is."""

    kind: str
    text: str
    line: int | None = None
    lit: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on a page, or in a source without pages everything; `number` is None then."""

    number: int | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A part of a table as a spreadsheet shows it: column letters and names, rows with their numbers.

    `lit_row` is the number of the highlighted row, `lit_columns` the positions of the cells that the claim names.
    """

    name: str
    letters: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    num_rows: int
    lit_row: int | None = None
    lit_columns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Where a citation leads. `is_found` is false where the quote does not stand in the source any more."""

    source: str
    id: str
    title: str
    page: int | None
    num_pages: int
    headings: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    table: Grid | None = None
    is_found: bool = True
    place: Place = field(default_factory=Place)


def document_of(house: House, one: Shelved) -> Document:
    """Return a file as it was understood. Raises as `documents.read`."""
    return shelf.read_document(one.path, one.source, house.config.retrieval.pdf_password)


def find(house: House, source: str, place: Place, quote: str, claim: str = "") -> Found:
    """Return what stands at a place of a source, with the quote lit; in a table the cells that stand in the claim.

    Raises:
        NotFoundError: there is no such source. InputError: the file cannot be read any more.
    """
    one = shelf.find(house.workspace, house.config, source)
    document = document_of(house, one)
    return locate(document, one.id, place, quote, claim)


def locate(document: Document, id_: str, place: Place, quote: str, claim: str = "") -> Found:
    """Return the part of a document that a citation points at."""
    number, span = _block_of(document, place, quote)
    num_pages = max((b.place.page or 0 for b in document.blocks), default=0)
    if number is None:
        shown = range(min(2 * _AROUND, len(document.blocks)))
        lines = tuple(_line(document, document.blocks[i], (0, 0)) for i in shown)
        return Found(
            document.source, id_, document.title, place.page, num_pages, (), lines, None, False
        )
    block = document.blocks[number]
    head = (document.source, id_, document.title, block.place.page, num_pages, block.headings)
    if block.kind == "row" and (grid := _grid(document, block, claim or quote)):
        return Found(*head, table=grid, place=block.place)
    near = _near(document.blocks, number)
    lines = tuple(
        _line(document, document.blocks[i], _part(document.blocks[i], span)) for i in near
    )
    return Found(*head, lines=lines, place=block.place)


def pages(document: Document) -> list[Page]:
    """Return the whole text of a document page by page, table rows left out: tables are shown as tables."""
    numbers = dict.fromkeys(block.place.page for block in document.blocks)
    found = []
    for number in numbers:
        left, lines = _MOST_TEXT, []
        for block in document.blocks:
            if block.place.page == number and block.kind != "row" and left > 0:
                lines.append(_line(document, block, (0, 0)))
                left -= block.end - block.start
        found.append(Page(number, tuple(lines)))
    return found


def grid(table: Table, first: int = 0, num: int = 200, left: int = 0) -> Grid:
    """Return rows `first` to `first + num` of a table whose first column is number `left`, from 0, of its sheet."""
    width = max([len(table.columns), *(len(row) for row in table.cells)], default=0)
    letters = tuple(column_name(left + j) for j in range(width))
    rows = tuple(
        (table.first_row + i, row)
        for i, row in enumerate(table.cells[first : first + num], start=first)
    )
    columns = table.columns + ("",) * (width - len(table.columns))
    return Grid(table.name or table.place.sheet or "", letters, columns, rows, len(table.cells))


def _block_of(document: Document, place: Place, quote: str) -> tuple[int | None, tuple[int, int]]:
    """Return the number of the block that holds the quote, and where the quote stands in the document's text."""
    wanted = _loose(quote)
    if wanted is not None:
        fits = [
            (number, match)
            for number, block, match in _matches(document, wanted)
            if _is_at(block, place)
        ] or [(number, match) for number, _, match in _matches(document, wanted)]
        if fits:
            return fits[0]
    for number, block in enumerate(document.blocks):
        has_mark = place.page or place.line or place.cell
        if has_mark and _is_at(block, place):
            return number, (block.start, block.end)
    return None, (0, 0)


def _matches(
    document: Document, wanted: re.Pattern[str]
) -> Iterator[tuple[int, Block, tuple[int, int]]]:
    """Yield the block in which each occurrence of the quote begins, with its span."""
    number = 0
    for match in wanted.finditer(document.text):
        while number + 1 < len(document.blocks) and document.blocks[number].end <= match.start():
            number += 1
        yield number, document.blocks[number], match.span()


def _loose(quote: str) -> re.Pattern[str] | None:
    """Return a pattern that finds a quote whatever blanks stand between its words."""
    words = quote.split()
    return re.compile(r"\s+".join(map(re.escape, words))) if words else None


def _is_at(block: Block, place: Place) -> bool:
    """Return whether a block stands where a citation says; what the citation leaves open fits."""
    if place.cell and block.place.cell != place.cell:
        return False
    if place.page and block.place.page != place.page:
        return False
    if place.line and not place.cell:
        return block.place.line is None or block.place.line <= place.line
    return True


def _near(blocks: Sequence[Block], number: int) -> range:
    """Return the blocks to show: those of the same page, or some around where there are no pages."""
    page = blocks[number].place.page
    if page is None:
        return range(max(0, number - _AROUND), min(len(blocks), number + _AROUND + 1))
    first = next(i for i, block in enumerate(blocks) if block.place.page == page)
    last = max(i for i, block in enumerate(blocks) if block.place.page == page)
    return range(first, last + 1)


def _part(block: Block, span: tuple[int, int]) -> tuple[int, int]:
    """Return which part of a block is lit, counted from its start."""
    start, end = max(span[0], block.start), min(span[1], block.end)
    return (start - block.start, end - block.start) if start < end else (0, 0)


def _line(document: Document, block: Block, lit: tuple[int, int]) -> Line:
    text = document.text[block.start : block.end]
    return Line(block.kind, text, block.place.line, lit)


def _grid(document: Document, block: Block, claim: str) -> Grid | None:
    """Return the rows around a table's row, with the cells lit that stand in the claim; all of them if none does."""
    cells = _CELL.findall(block.place.cell or "")
    if not cells:
        return None
    row = int(cells[0][1])
    for table in document.tables:
        at = row - table.first_row
        is_here = (table.place.page, table.place.sheet) == (block.place.page, block.place.sheet)
        if is_here and 0 <= at < len(table.cells) and _is_row(document, block, table.cells[at]):
            left = _column_number(cells[0][0])
            whole = grid(table, max(0, at - _ROWS_AROUND), 2 * _ROWS_AROUND + 1, left)
            held = [j for j, cell in enumerate(table.cells[at]) if _stands_in(cell, claim)]
            return Grid(
                whole.name,
                whole.letters,
                whole.columns,
                whole.rows,
                whole.num_rows,
                row,
                tuple(held),
            )
    return None


def _column_number(letters: str) -> int:
    """Return the position of a column, from 0.

    Example:
        >>> _column_number("A"), _column_number("AB")
        (0, 27)
    """
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _is_row(document: Document, block: Block, cells: Sequence[str]) -> bool:
    text = document.text[block.start : block.end]
    return all(cell in text for cell in cells if cell)


def _stands_in(cell: str, claim: str) -> bool:
    """Return whether a cell's content stands in a claim as words of their own."""
    text = cell.strip()
    return bool(text) and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", claim, re.I) is not None

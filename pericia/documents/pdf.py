"""PDF: text with page, line and box from pdfium, headings by font size, ruled tables by pdfplumber."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from pericia.draft import Draft, Limits
from pericia.errors import InputError
from pericia.pdf_lines import HYPHENS, Line, read_lines, union
from pericia.pdf_tables import Grid, OpenTable, find_tables, has_rules, header_of, is_inside
from pericia.said import said
from pericia.types import Document, Place

_HEADING_RATIO = 1.12  # to the size of most letters
_HEADING_CHARS = 200
_ORDINARY = (
    0.25  # share of the lines; a size of so many is no heading's, however few letters it has
)
_BLANK = said("blank")
_SCANNED = said("no text, only an image (needs OCR)")
_BOLD_HEADING = re.compile(r"[\w§(].{2,78}[^.,;:!?\s]")
_DAMAGED = (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, RecursionError)


def read(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Two columns are read one after the other; scanned pages are named."""
    draft = Draft(path, source, limits)
    try:
        file = pdfium.PdfDocument(path, password=password or None)
    except pdfium.PdfiumError as error:
        if _is_encrypted(path):
            if password and _opens_without_password(path):
                return read(path, source, limits=limits)
            raise _wrong_password(path, password) from error
        _read_with_pypdf(draft, path, password)
        return draft.document()
    try:
        draft.title = file.get_metadata_dict().get("Title", "")
        num_pages = min(len(file), limits.pages)
        if len(file) > limits.pages:
            draft.skip(
                said(
                    "pages from %(first)s: more than %(limit)s",
                    first=limits.pages + 1,
                    limit=limits.pages,
                )
            )
        pages = []
        empty: dict[int, str] = {}
        grids: dict[int, list[Grid]] = {}
        for number in range(1, num_pages + 1):
            try:
                page = file[number - 1]
            except pdfium.PdfiumError:
                draft.skip(said("page %(n)s: %(why)s", n=number, why=said("damaged")))
                continue
            lines = read_lines(page)
            pages.append((number, lines))
            if lines and has_rules(page):
                grids[number] = []
            if not lines:
                empty[number] = _why_no_text(page)
            page.close()
        if grids:
            find_tables(path, password, grids, draft)
    finally:
        file.close()
    blank = [number for number, why in empty.items() if why == _BLANK]
    empty |= dict.fromkeys(_with_hidden_images(path, password, blank), _SCANNED)
    for number, why in empty.items():
        draft.skip(said("page %(n)s: %(why)s", n=number, why=why))
    sizes: Counter[float] = Counter()
    num_lines: Counter[float] = Counter()
    num_bold = 0
    for _, lines in pages:
        for line in lines:
            sizes[line.size] += len(line.text)
            num_lines[line.size] += 1
            num_bold += line.bold * len(line.text)
    levels = _heading_levels(sizes, num_lines)
    # Where much is bold, bold says nothing.
    bold_level = len(levels) + 1 if num_bold < 0.2 * sum(sizes.values()) else 0
    table: OpenTable | None = None
    for number, lines in pages:
        table = _add_page(draft, number, lines, grids.get(number, []), levels, bold_level, table)
    return draft.document()


def _heading_levels(sizes: Counter[float], num_lines: Counter[float]) -> dict[float, int]:
    """Return the level of each font size that is clearly larger than that of most letters, and of ordinary lines.

    In a form the small print has most letters, but the lines of its fields are no headings.
    """
    if not sizes:
        return {}
    ordinary = [s for s, n in num_lines.items() if n >= max(5, _ORDINARY * num_lines.total())]
    body = max([sizes.most_common(1)[0][0], *ordinary])
    larger = sorted((s for s in sizes if s >= body * _HEADING_RATIO), reverse=True)
    return {size: level for level, size in enumerate(larger, 1)}


def _add_page(
    draft: Draft,
    number: int,
    lines: list[Line],
    grids: list[Grid],
    levels: dict[float, int],
    bold_level: int,
    table: OpenTable | None,
) -> OpenTable | None:
    """Add a page's blocks in reading order; `table` ended the page before, and what ends this one comes back."""
    waiting = list(grids)
    for part in _paragraphs(lines, grids):
        grid = next((g for g in grids if is_inside(part[0], g)), None)
        box = union([line.box for line in part])
        place = Place(page=number, line=part[0].number, box=box)
        if grid is not None:
            if grid in waiting:
                waiting.remove(grid)
                header, body, num_header = header_of(grid, number, table)
                goes_on = table is not None and tuple(header) == table.header
                table = OpenTable(tuple(header), number, grid.box) if any(header) else None
                if (
                    len(grid.rows) == 1 and not goes_on
                ):  # a frame, or a header cut off from its rows
                    draft.paragraph(_joined(part), place)
                    continue
                at = Place(page=number, line=part[0].number, box=grid.box)
                draft.table(header, body, at, first_row=1 + num_header)
            continue
        text = _joined(part)
        level = levels.get(part[0].size)
        if level is None and len(part) == 1 and part[0].bold and _BOLD_HEADING.fullmatch(text):
            level = bold_level
        if level and len(text) <= _HEADING_CHARS and any(c.isalpha() for c in text):
            draft.heading(text, level, place)
        else:
            draft.paragraph(text, place)
        table = None
    return table


def _paragraphs(lines: Sequence[Line], grids: Sequence[Grid]) -> Iterator[list[Line]]:
    """Give runs of lines that stand close below each other, in one size and one table or none."""
    part: list[Line] = []
    table: Grid | None = None
    for line in lines:
        grid = next((g for g in grids if is_inside(line, g)), None)
        if part and (grid is not table or (grid is None and not _continues(part[-1], line))):
            yield part
            part = []
        part.append(line)
        table = grid
    if part:
        yield part


def _continues(last: Line, line: Line) -> bool:
    if last.text.endswith(HYPHENS):
        return True
    height = max(last.size, 1.0)
    gap = last.box[1] - line.box[3]
    beside = line.box[0] < last.box[2] and last.box[0] < line.box[2]
    same_row = abs(last.box[1] - line.box[1]) < 0.4 * height
    if last.bold and not line.bold and not same_row and _BOLD_HEADING.fullmatch(last.text):
        return False
    return abs(last.size - line.size) <= 0.5 and (
        same_row or (beside and -0.8 * height < gap < 0.55 * height)
    )


def _joined(part: Sequence[Line]) -> str:
    """Return the lines as one text; a word broken by a hyphen is made whole on its first line."""
    texts = [line.text for line in part]
    for i, text in enumerate(texts[:-1]):
        if text.endswith(HYPHENS):
            rest, _, after = texts[i + 1].partition(" ")
            texts[i], texts[i + 1] = text[:-1] + rest, after
    return "\n".join(text.rstrip("".join(HYPHENS)) for text in texts)


def _with_hidden_images(path: Path, password: str, numbers: Sequence[int]) -> list[int]:
    """Return those of the pages that show nothing but keep an image all the same."""
    if not numbers:
        return []
    try:
        with path.open("rb") as data:
            file = pypdf.PdfReader(data, password=password or None)
            return [n for n in numbers if _keeps_image(file.pages[n - 1])]
    except _DAMAGED:  # then "blank" is all that can be said
        return []


def _keeps_image(page: pypdf.PageObject) -> bool:
    resources: Any = page["/Resources"].get_object() if "/Resources" in page else {}
    objects: Any = resources["/XObject"].get_object() if "/XObject" in resources else {}
    return any(item.get_object().get("/Subtype") == "/Image" for item in objects.values())


def _why_no_text(page: pdfium.PdfPage) -> str:
    kinds = {item.type for item in page.get_objects(max_depth=3)}
    if pdfium_c.FPDF_PAGEOBJ_IMAGE in kinds:
        return _SCANNED
    return said("no text, only drawings") if kinds else _BLANK


def _is_encrypted(path: Path) -> bool:
    return bool(re.search(rb"/Encrypt\b", path.read_bytes()))


def _opens_without_password(path: Path) -> bool:
    """Say whether the password was for other files: one setting serves a whole folder."""
    try:
        pdfium.PdfDocument(path).close()
    except pdfium.PdfiumError:
        return False
    return True


def _wrong_password(path: Path, password: str) -> InputError:
    text = said("'%(name)s' is encrypted: it needs a password.", name=path.name)
    if password:
        text = said("'%(name)s' is encrypted: the password does not open it.", name=path.name)
    return InputError(
        text,
        hint=said(
            "Set retrieval.pdf_password in pericia.yaml, or save the file without a password."
        ),
    )


def _read_with_pypdf(draft: Draft, path: Path, password: str) -> None:
    """Read what pdfium refuses, such as a file cut off in the middle: plain text, page by page."""
    try:
        with path.open("rb") as data:
            file = pypdf.PdfReader(data, password=password or None)
            for number, page in enumerate(file.pages[: draft.limits.pages], 1):
                text = page.extract_text()
                if not text.strip():
                    draft.skip(said("page %(n)s: %(why)s", n=number, why=said("no text")))
                for part in re.split(r"\n\s*\n", text):
                    draft.paragraph(part, Place(page=number))
    except _DAMAGED as error:
        raise InputError(
            said(
                "'%(name)s' is damaged: no PDF reader can open it (%(why)s).",
                name=path.name,
                why=str(error),
            ),
            hint=said("Download or export it again."),
        ) from error
    draft.skip(said("headings and tables: the file is damaged and was read as plain text"))

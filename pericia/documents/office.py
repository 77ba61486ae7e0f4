"""Word and PowerPoint files: headings, paragraphs and tables in document order; a slide is a page."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pptx
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table as WordTable
from docx.text.paragraph import Paragraph
from pptx.exc import PackageNotFoundError as PptxPackageNotFoundError

from pericia.draft import Draft, Limits, split_header
from pericia.errors import InputError
from pericia.said import said
from pericia.types import Document, Place

_DAMAGED = (
    PackageNotFoundError,
    PptxPackageNotFoundError,
    zipfile.BadZipFile,
    SyntaxError,  # lxml's XMLSyntaxError is one
    KeyError,
    ValueError,
)


def read_docx(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Word files hold no pages; a place is the number of the paragraph, as `line`."""
    draft = Draft(path, source, limits)
    file = _open(docx.Document, path)
    draft.title = file.core_properties.title or ""
    for number, item in enumerate(file.iter_inner_content(), 1):
        place = Place(line=number)
        if isinstance(item, Paragraph):
            level = _heading_level(item)
            if level:
                draft.heading(item.text, level, place)
            else:
                draft.paragraph(_paragraph_text(item), place)
        else:
            _add_table(draft, item, place)
    if file.inline_shapes and len(file.inline_shapes):
        draft.skip(said("%(n)s pictures: their text needs OCR", n=len(file.inline_shapes)))
    return draft.document()


def read_pptx(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Shapes come from top to bottom, notes after their slide; the slide's title is a heading."""
    draft = Draft(path, source, limits)
    for number, slide in enumerate(_open(pptx.Presentation, path).slides, 1):
        if number > limits.pages:
            draft.skip(
                said("slides from %(first)s: more than %(limit)s", first=number, limit=limits.pages)
            )
            break
        place = Place(page=number)
        title = slide.shapes.title
        if title is not None:
            draft.heading(title.text_frame.text, 1, place)
        pictures = 0
        for shape in _ordered(slide.shapes):
            if title is not None and shape.shape_id == title.shape_id:
                continue
            if getattr(shape, "has_table", False):
                rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
                header, body, num_header = split_header(rows)
                draft.table(header, body, place, first_row=1 + num_header)
            elif shape.has_text_frame:
                draft.paragraph(shape.text_frame.text, place)
            elif getattr(shape, "has_chart", False):
                _add_chart(draft, shape.chart, place)
            elif hasattr(shape, "image"):
                pictures += 1
        if pictures:
            draft.skip(
                said(
                    "slide %(n)s: %(num)s pictures (text in them needs OCR)", n=number, num=pictures
                )
            )
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            draft.paragraph(slide.notes_slide.notes_text_frame.text, place)
    return draft.document()


def _open(opener: Callable[[str], Any], path: Path) -> Any:
    try:
        return opener(str(path))
    except _DAMAGED as error:
        raise InputError(
            said("'%(name)s' is damaged: %(why)s", name=path.name, why=str(error)),
            hint=said("Open it in Office or LibreOffice and save it again."),
        ) from error


def _heading_level(paragraph: Paragraph) -> int:
    style = paragraph.style.name or "" if paragraph.style is not None else ""
    if style == "Title":
        return 1
    words = style.split()
    # The English name stands in the file whatever the language of Word was.
    if len(words) == 2 and words[0].lower() == "heading" and words[1].isdigit():
        return int(words[1])
    return 0


def _paragraph_text(paragraph: Paragraph) -> str:
    style = paragraph.style.name or "" if paragraph.style is not None else ""
    bullet = "- " if style.startswith("List") and paragraph.text.strip() else ""
    formulas = paragraph._p.xpath(".//m:t")
    text = paragraph.text
    if formulas:
        text = "".join(t.text or "" for t in paragraph._p.xpath(".//*[local-name()='t']"))
    return bullet + text


def _add_table(draft: Draft, table: WordTable, place: Place) -> None:
    rows = []
    for row in table.rows:
        seen: list[Any] = []  # a merged cell comes once for each column that it spans
        cells = []
        for cell in row.cells:
            cells.append("" if cell._tc in seen else cell.text)
            seen.append(cell._tc)
        rows.append(cells)
    if not rows:
        return
    if max(map(len, rows)) == 1:
        for cells in rows:
            draft.paragraph("\n".join(cells), place)
        return
    header, body, num_header = split_header(rows)
    draft.table(header, body, place, first_row=1 + num_header)


def _ordered(shapes: Any) -> list[Any]:
    flat = []
    for shape in shapes:
        flat += _ordered(shape.shapes) if hasattr(shape, "shapes") else [shape]
    return sorted(flat, key=lambda s: (s.top or 0, s.left or 0))


def _add_chart(draft: Draft, chart: Any, place: Place) -> None:
    if not len(chart.plots):
        return
    plot = chart.plots[0]
    categories = [str(c) for c in plot.categories]
    series = list(plot.series)
    rows = [
        [
            name,
            *(
                "" if i >= len(s.values) or s.values[i] is None else f"{s.values[i]:g}"
                for s in series
            ),
        ]
        for i, name in enumerate(categories)
    ]
    title = (
        chart.chart_title.text_frame.text
        if chart.has_title and chart.chart_title.has_text_frame
        else ""
    )
    draft.table(["", *(s.name or "" for s in series)], rows, place, name=title)

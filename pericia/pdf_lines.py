"""The lines of a PDF page in reading order, each with its font and box; columns drawn across are put apart."""

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

Box = tuple[float, float, float, float]  # left, bottom, right, top in PDF points
HYPHENS = ("\x02", "\ufffe")  # what pdfium gives for a hyphen that breaks a word at a line end
_LINE = re.compile(r"[^\r\n\x02\ufffe]*[\x02\ufffe]|[^\r\n\x02\ufffe]+")
_BOLD = re.compile(rb"bold|black|heavy", re.IGNORECASE)
_PROSE_WIDTH = 0.28  # of the text's width; narrower stretches are cells of a table
_PROSE_LINES = 5  # in each column
_CROSSING = 0.15  # share of the lines that may run over both columns
_GUTTER_POINTS = 2.0

Side = Literal["left", "right", "both"]


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    number: int  # on its page, from 1
    size: float  # height of the font in points
    box: Box
    bold: bool = False  # from its first letter to its last


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    boxes: tuple[Box, ...]


def read_lines(page: pdfium.PdfPage) -> list[Line]:
    """Return the lines of a page as the file orders them, or column by column where it draws across two columns."""
    text_page = page.get_textpage()
    raw = text_page.raw
    letters = "".join(
        chr(pdfium_c.FPDFText_GetUnicode(raw, i)) for i in range(text_page.count_chars())
    )
    spans = [
        _Span(m.start(), m.end(), _boxes(raw, m.start(), m.end()))
        for m in _LINE.finditer(letters)
        if m[0].strip()
    ]
    spans = _in_columns(raw, letters, spans)
    lines = [_line(raw, letters, span, number) for number, span in enumerate(spans, 1)]
    text_page.close()
    return lines


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all of them, to a tenth of a point."""
    return (
        round(min(b[0] for b in boxes), 1),
        round(min(b[1] for b in boxes), 1),
        round(max(b[2] for b in boxes), 1),
        round(max(b[3] for b in boxes), 1),
    )


def _line(raw: object, letters: str, span: _Span, number: int) -> Line:
    text = letters[span.start : span.end]
    # A bullet or a footnote mark in front has a size of its own, so a letter in the middle is asked.
    marks = [j for j, c in enumerate(text, span.start) if c.isalnum()]
    middle = marks[len(marks) // 2] if marks else span.start + text.index(text.strip()[0])
    box = union(span.boxes) if span.boxes else (0.0, 0.0, 0.0, 0.0)
    bold = bool(marks) and all(_is_bold(raw, i) for i in {marks[0], middle, marks[-1]})
    return Line(text.strip(" \t"), number, _size(raw, middle), box, bold)


def _boxes(raw: object, start: int, end: int) -> tuple[Box, ...]:
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    found = []
    for i in range(pdfium_c.FPDFText_CountRects(raw, start, end - start)):
        pdfium_c.FPDFText_GetRect(raw, i, *(ctypes.byref(v) for v in (left, top, right, bottom)))
        found.append((left.value, bottom.value, right.value, top.value))
    return tuple(found)


def _size(raw: object, index: int) -> float:
    """Return the height of a letter's font; the nominal size would leave out the scale of the page."""
    rect = pdfium_c.FS_RECTF()
    if not pdfium_c.FPDFText_GetLooseCharBox(raw, index, ctypes.byref(rect)):
        return 0.0
    height: float = rect.top - rect.bottom
    return round(2 * abs(height)) / 2


def _is_bold(raw: object, index: int) -> bool:
    name = ctypes.create_string_buffer(128)
    pdfium_c.FPDFText_GetFontInfo(raw, index, name, 128, None)
    return _BOLD.search(name.value) is not None


def _in_columns(raw: object, letters: str, spans: list[_Span]) -> list[_Span]:
    """Return the spans left column first where two columns of prose are mixed, band by band; else as they come."""
    gutter = _find_gutter([box for span in spans for box in span.boxes])
    if gutter is None:
        return spans
    parts = [part for span in spans for part in _parted(raw, letters, span, gutter)]
    sides = [_side(part, gutter) for part in parts]
    tops = sorted((part.boxes[0][3] for part, s in zip(parts, sides, strict=True) if s == "both"))
    columns = [side for side in sides if side != "both"]
    switches = sum(a != b for a, b in pairwise(columns))
    if len(parts) - len(spans) < _PROSE_LINES and switches <= 2 * (len(tops) + 1):
        return spans

    def place(at: int) -> tuple[int, int, float]:
        top = max((b[3] for b in parts[at].boxes), default=0.0)
        above = sum(t > top for t in tops)
        return above, ("left", "right", "both").index(sides[at]), -top

    return [parts[at] for at in sorted(range(len(parts)), key=place)]


def _find_gutter(boxes: Sequence[Box]) -> float | None:
    """Return the x between two columns of prose; None where there are none, as on most pages and in all tables."""
    if len(boxes) < 2 * _PROSE_LINES:
        return None
    left, right = min(b[0] for b in boxes), max(b[2] for b in boxes)
    width = right - left
    steps = [left + width * (0.35 + 0.01 * i) for i in range(31)]
    crossings = [sum(b[0] < x - 1 and b[2] > x + 1 for b in boxes) for x in steps]
    fewest = min(crossings)
    if fewest > _CROSSING * len(boxes):
        return None
    best = [x for x, number in zip(steps, crossings, strict=True) if number == fewest]
    gutter = best[len(best) // 2]
    for side in (
        [b for b in boxes if b[2] <= gutter + 1],
        [b for b in boxes if b[0] >= gutter - 1],
    ):
        prose = sum(b[2] - b[0] >= _PROSE_WIDTH * width for b in side)
        if prose < max(_PROSE_LINES, 0.4 * len(side)):
            return None
    return gutter


def _side(span: _Span, gutter: float) -> Side:
    if all(box[2] <= gutter + _GUTTER_POINTS for box in span.boxes):
        return "left"
    return "right" if all(box[0] >= gutter - _GUTTER_POINTS for box in span.boxes) else "both"


def _parted(raw: object, letters: str, span: _Span, gutter: float) -> list[_Span]:
    """Return a line that jumps over the gutter as its two halves; any other as it is."""
    left = tuple(b for b in span.boxes if b[2] <= gutter + _GUTTER_POINTS)
    right = tuple(b for b in span.boxes if b[0] >= gutter - _GUTTER_POINTS)
    if not left or not right or len(left) + len(right) < len(span.boxes):
        return [span]
    box = [ctypes.c_double() for _ in range(4)]
    for i in range(span.start, span.end):
        pdfium_c.FPDFText_GetCharBox(raw, i, *(ctypes.byref(v) for v in box))
        if not letters[i].isspace() and box[0].value >= gutter - _GUTTER_POINTS:
            if i == span.start:
                return [span]
            return [_Span(span.start, i, left), _Span(i, span.end, right)]
    return [span]

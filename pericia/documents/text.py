"""Plain text, Markdown and reStructuredText: paragraphs between blank lines, with line numbers and headings."""

import re
from collections.abc import Sequence
from pathlib import Path

from pericia.draft import Draft, Limits, decode
from pericia.types import Document, Place

_ATX = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*")
_FENCE = re.compile(r"\s*(```|~~~)")
_PIPE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
_UNDERLINE = re.compile(r"([=\-~^\"'#*+.:`_])\1{2,}\s*")


def read(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Every line ends where the file says; nothing is taken for a heading."""
    draft = Draft(path, source, limits)
    lines = _lines(path)
    _add_paragraphs(draft, lines, 0, len(lines))
    return draft.document()


def read_markdown(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Knows headings of both kinds, fenced code and pipe tables; the front matter stays text."""
    draft = Draft(path, source, limits)
    lines = _lines(path)
    i = begin = _add_front_matter(draft, lines)
    while i < len(lines):
        if _FENCE.match(lines[i]):
            i = _end_of_fence(lines, i)
        elif heading := _ATX.fullmatch(lines[i]):
            _add_paragraphs(draft, lines, begin, i)
            draft.heading(heading[2], len(heading[1]), Place(line=i + 1))
            i = begin = i + 1
        elif _is_underlined(lines, i, "=-"):
            _add_paragraphs(draft, lines, begin, i)
            draft.heading(lines[i], 1 if lines[i + 1][0] == "=" else 2, Place(line=i + 1))
            i = begin = i + 2
        elif _is_table(lines, i):
            _add_paragraphs(draft, lines, begin, i)
            end = i
            while end < len(lines) and "|" in lines[end]:
                end += 1
            rows = [_cells(line) for line in (lines[i], *lines[i + 2 : end])]
            draft.table(rows[0], rows[1:], Place(line=i + 1), lines=range(i + 3, end + 1))
            i = begin = end
        else:
            i += 1
    _add_paragraphs(draft, lines, begin, len(lines))
    return draft.document()


def read_rst(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. A title is a line underlined in full; its level is the order in which its mark first came."""
    draft = Draft(path, source, limits)
    lines = _lines(path)
    marks: list[str] = []
    i = begin = 0
    while i < len(lines):
        if _is_underlined(lines, i, "=-~^\"'#*+.:`_") and len(lines[i + 1].rstrip()) >= len(
            lines[i].strip()
        ):
            mark = lines[i + 1][0]
            over = i > begin and _UNDERLINE.fullmatch(lines[i - 1]) is not None
            _add_paragraphs(draft, lines, begin, i - over)
            if mark not in marks:
                marks.append(mark)
            draft.heading(lines[i], 1 + marks.index(mark), Place(line=i + 1))
            i = begin = i + 2
        else:
            i += 1
    _add_paragraphs(draft, lines, begin, len(lines))
    return draft.document()


def _lines(path: Path) -> list[str]:
    text = decode(path.read_bytes(), path.name)
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _add_front_matter(draft: Draft, lines: Sequence[str]) -> int:
    if lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:60]]:
        return 0
    end = 1 + [line.strip() for line in lines[1:60]].index("---")
    _add_paragraphs(draft, lines, 1, end)
    return end + 1


def _add_paragraphs(draft: Draft, lines: Sequence[str], begin: int, end: int) -> None:
    start = begin
    for i in range(begin, end + 1):
        if i == end or not lines[i].strip():
            if i > start:
                draft.paragraph("\n".join(lines[start:i]), Place(line=start + 1))
            start = i + 1


def _end_of_fence(lines: Sequence[str], i: int) -> int:
    mark = lines[i].strip()[:3]
    for j in range(i + 1, len(lines)):
        if lines[j].strip().startswith(mark):
            return j + 1
    return len(lines)


def _is_underlined(lines: Sequence[str], i: int, marks: str) -> bool:
    return (
        i + 1 < len(lines)
        and bool(lines[i].strip())
        and _UNDERLINE.fullmatch(lines[i]) is None
        and _UNDERLINE.fullmatch(lines[i + 1]) is not None
        and lines[i + 1][0] in marks
        and (i == 0 or not lines[i - 1].strip() or _UNDERLINE.fullmatch(lines[i - 1]) is not None)
    )


def _is_table(lines: Sequence[str], i: int) -> bool:
    return (
        "|" in lines[i]
        and i + 1 < len(lines)
        and "|" in lines[i + 1]
        and _PIPE_RULE.fullmatch(lines[i + 1]) is not None
    )


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inner)]

"""A document in the making: readers say what they meet in reading order, and a Document comes out.

Everything that all formats share lives here: the limits, encodings, clean text, headings above a block, and how a
table becomes rows that can be read alone.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from pericia.errors import InputError
from pericia.said import Figure, Said, joined, said
from pericia.types import Block, BlockKind, Document, Place, Table

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"[-+(]?[\s$€£]*\d[\d\s.,']*[\s%$€£)]*")
_NUM_NOTES = 20  # of one sort; the rest is counted


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one file is read before it is refused, or the rest is named in `Document.skipped`."""

    file_bytes: int = 500_000_000
    inflated_bytes: int = 300_000_000  # sum over the members of a zip
    inflation: int = 100  # times the packed size, for members above 10 MB
    time_s: float = 120.0
    memory_bytes: int = 4_000_000_000  # address space of the reading process
    pages: int = 5_000
    rows: int = 200_000
    columns: int = 16_384
    cell_chars: int = 32_767  # Excel's own limit
    nesting: int = 100
    text_chars: int = 50_000_000


class Draft:
    """Collects headings, paragraphs and tables in reading order; `document()` gives the result."""

    def __init__(self, path: Path, source: str, limits: Limits) -> None:
        self.name = path.name
        self.limits = limits
        self.title = ""
        self._source = source
        self._sha256 = _hash_file(path)
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._tables: list[Table] = []
        self._skipped: list[str] = []
        self._notes: dict[str, int] = {}
        self._headings: list[tuple[int, str]] = []
        self._num_rows = 0

    def heading(self, text: str, level: int, place: Place) -> None:
        """Add a heading and close those of the same or a deeper level; it stands above what follows."""
        text = " ".join(clean(text).split())
        if not text:
            return
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        self._add(text, "heading", place)
        self._headings.append((level, text))
        self.title = self.title or text

    def paragraph(self, text: str, place: Place) -> None:
        """Add a paragraph; inner line breaks are kept, so that line numbers can be counted from its place."""
        text = clean(text).rstrip()
        indent = len(text) - len(text.lstrip("\n"))
        self._add(text[indent:], "paragraph", place)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        place: Place,
        *,
        name: str = "",
        first_row: int = 2,
        first_column: int = 0,
        lines: Sequence[int] = (),
    ) -> None:
        """Add a table: each row becomes a block that repeats the header, "Model: PX-20 | Price: 310 EUR".

        `first_row` and `first_column` say where the first data cell stands in its sheet (rows count from 1, columns
        from 0), `lines` on which line of a text each row begins. Empty cells are left out of the text, and rows without any cell are left out altogether.
        """
        kept: list[tuple[str, ...]] = []
        header = tuple(
            " ".join(clean(c).split()) or column_name(first_column + j)
            for j, c in enumerate(columns)
        )
        for i, row in enumerate(rows):
            if self._num_rows >= self.limits.rows:
                self.skip(
                    said(
                        "rows from %(first)s of '%(name)s': more than %(limit)s rows",
                        first=first_row + i,
                        name=name or self.name,
                        limit=self.limits.rows,
                    )
                )
                break
            cells = tuple(self._cell(c, first_row + i) for c in row)
            kept.append(cells)
            filled = [j for j, c in enumerate(cells) if c]
            if not filled:
                continue
            self._num_rows += 1
            names = (
                header[j] if j < len(header) else column_name(first_column + j) for j in filled
            )
            text = " | ".join(f"{n}: {cells[j]}" for n, j in zip(names, filled, strict=True))
            span = f"{column_name(first_column)}{first_row + i}"
            if len(cells) > 1:
                span += f":{column_name(first_column + len(cells) - 1)}{first_row + i}"
            line = lines[i] if lines else place.line
            self._add(text, "row", Place(place.page, line, place.sheet, span, place.box))
        if not any(any(row) for row in kept):
            self._add(" | ".join(c for c in header if c), "paragraph", place)
        self._tables.append(Table(name, header, tuple(kept), first_row, place, first_column))

    def skip(self, reason: str) -> None:
        """Name something of the file that was not read."""
        self._skipped.append(_cleaned(reason))

    def note(self, sort: str, reason: str) -> None:
        """Name one of possibly many faults of one sort; past the first twenty they are only counted."""
        self._notes[sort] = self._notes.get(sort, 0) + 1
        if self._notes[sort] <= _NUM_NOTES:
            self.skip(reason)

    def document(self) -> Document:
        """Return what was collected.

        Raises:
            InputError: nothing was; the message repeats what was skipped.
        """
        if not self._blocks:
            text = said("'%(name)s' holds no text.", name=self.name)
            if self._skipped:
                why = joined(self._skipped[:3], "; ")
                text = said("'%(name)s' holds no text: %(why)s.", name=self.name, why=why)
            raise InputError(
                text,
                hint=said("If it is a scan, run it through OCR first; otherwise leave it out."),
            )
        for sort, count in self._notes.items():
            if count > _NUM_NOTES:
                self._skipped.append(said("%(n)s more: %(sort)s", n=count - _NUM_NOTES, sort=sort))
        return Document(
            id=hashlib.sha256(f"{self._source}\0{self._sha256}".encode()).hexdigest()[:32],
            source=self._source,
            sha256=self._sha256,
            title=clean(self.title).strip() or Path(self.name).stem,
            text="".join(self._parts),
            blocks=tuple(self._blocks),
            tables=tuple(self._tables),
            skipped=tuple(self._skipped),
        )

    def _cell(self, value: str, row: int) -> str:
        text = " ".join(clean(value).split())
        if len(text) > self.limits.cell_chars:
            self.note(
                said("cells cut"),
                said(
                    "row %(n)s: a cell cut after %(limit)s characters",
                    n=row,
                    limit=self.limits.cell_chars,
                ),
            )
            return text[: self.limits.cell_chars]
        return text

    def _add(self, text: str, kind: BlockKind, place: Place) -> None:
        if not text.strip():
            return
        if self._length + len(text) > self.limits.text_chars:
            raise InputError(
                said(
                    "'%(name)s' holds more than %(text_chars)s characters of text.",
                    name=self.name,
                    text_chars=Figure(self.limits.text_chars),
                ),
                hint=said("Split the file into smaller ones."),
            )
        if self._blocks:
            gap = "\n" if kind == "row" == self._blocks[-1].kind else "\n\n"
            self._parts.append(gap)
            self._length += len(gap)
        start, self._length = self._length, self._length + len(text)
        self._parts.append(text)
        headings = tuple(h for _, h in self._headings)
        self._blocks.append(Block(start, self._length, kind, place, headings))


def clean(text: str) -> str:
    """Return a text without control characters and lone surrogates, with line ends as a newline."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _cleaned(reason: str) -> str:
    """Return a reason without control characters; names of the file's parts may hold some."""
    if not isinstance(reason, Said):
        return clean(reason)
    values = {n: _cleaned(v) if isinstance(v, str) else v for n, v in reason.values.items()}
    return Said(reason.template, values)


def column_name(index: int) -> str:
    """Return a column's letters, counting from 0.

    Example:
        >>> column_name(0), column_name(25), column_name(26)
        ('A', 'Z', 'AA')
    """
    letters = ""
    while index >= 0:
        index, rest = divmod(index, 26)
        letters = chr(65 + rest) + letters
        index -= 1
    return letters


def is_number(text: str) -> bool:
    """Say whether a cell is a number as people write one, with sign, currency or percent."""
    return _NUMBER.fullmatch(text.strip()) is not None


def split_header(
    rows: Sequence[Sequence[str]],
) -> tuple[Sequence[str], Sequence[Sequence[str]], int]:
    """Return the header, the rows below it, and how many rows the header took (0 when all its cells are numbers)."""
    width = max((len(row) for row in rows), default=0)
    if rows and len(rows) > 1 and not all(is_number(c) for c in rows[0]):
        return [*rows[0], *[""] * (width - len(rows[0]))], rows[1:], 1
    if len(rows) == 1 and not any(is_number(c) for c in rows[0]):
        return rows[0], (), 1
    return [""] * width, rows, 0


def decode(data: bytes, name: str) -> str:
    """Return the text of a file, its encoding found by byte-order mark, then UTF-8, then by its letters.

    Raises:
        InputError: the bytes are no text.
    """
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _guess(data, name)
    if len(_CONTROL.findall(text[:10_000])) > 0.3 * len(text[:10_000]):
        raise _no_text(name)
    return text


def _guess(data: bytes, name: str) -> str:
    if data[:4096].count(0) > 0.1 * len(data[:4096]):
        raise _no_text(name)
    best = from_bytes(data[:200_000], cp_isolation=_ENCODINGS).best()
    # Short western texts look like any code page of Eastern Europe; cp1252 is what Windows wrote.
    short = len(data) < 500 and (best is None or not best.encoding.startswith(_ASIAN))
    encoding = "cp1252" if best is None or short else best.encoding
    if len(_CONTROL.findall(data[:10_000].decode("latin-1"))) > 0.05 * len(data[:10_000]):
        raise _no_text(name)
    return data.decode(encoding, errors="replace")


_ASIAN = ("cp932", "shift", "euc", "gb", "big5", "cp949")
_ENCODINGS = ["cp1252", "cp1251", "cp1250", "cp932", "euc_jp", "gb18030", "big5", "cp949", "koi8_r"]


def _no_text(name: str) -> InputError:
    return InputError(
        said("'%(name)s' is not text, and its format is not known.", name=name),
        hint=said("Convert it to a format that Pericia reads, such as PDF or text."),
    )


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

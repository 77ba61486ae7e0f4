"""River 1, what is searched: documents, their chunks and the passages that a search brings back.

Text positions are character offsets into `Document.text`; pages, lines, rows and ranks count from 1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ChunkKind = Literal["text", "table", "summary"]
BlockKind = Literal["heading", "paragraph", "row"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands in its source, as a reader would look it up; None where it does not apply."""

    page: int | None = None
    line: int | None = None
    sheet: str | None = None
    cell: str | None = None  # "B7" or, for a whole row, "A7:F7"
    box: tuple[float, float, float, float] | None = None  # left, bottom, right, top in PDF points


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or table row: `document.text[start:end]`, with its place and the headings above."""

    start: int
    end: int
    kind: BlockKind
    place: Place
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table kept as data. `cells[i][j]` stands in row `first_row + i` and column `first_column + j`, from 0, of its sheet."""

    name: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    first_row: int
    place: Place = Place()
    first_column: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read: its whole text, the blocks that cover it in order, and what the reader left out."""

    id: str
    source: str
    sha256: str
    title: str
    text: str
    blocks: tuple[Block, ...]
    tables: tuple[Table, ...] = ()
    skipped: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a document that is embedded and found as one: `document.text[start:end] == chunk.text`.

    A chunk of kind `summary` is searched like the others and expands to its document; it is never cited.
    """

    id: str
    document_id: str
    source: str
    text: str
    start: int
    end: int
    place: Place
    headings: tuple[str, ...] = ()
    kind: ChunkKind = "text"
    num_tokens: int = 0
    language: str = "en"
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk as it is stored: `vector` has length 1, `tokens` is the analyser's output joined by blanks."""

    chunk: Chunk
    vector: "NDArray[np.float32]"
    tokens: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search found; `score` is the cosine of a dense search or the BM25 of a lexical one."""

    chunk: Chunk
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that a search brought back. `score` is the fused one; the legs are None where a leg did not find it."""

    chunk: Chunk
    rank: int
    score: float
    dense: float | None = None  # cosine, -1..1
    lexical: float | None = None  # BM25, 0 upwards


@dataclass(frozen=True, slots=True)
class Context:
    """The passages that fit the budget, in the order in which the prompt numbers them from 1."""

    passages: tuple[Passage, ...]
    num_tokens: int = 0
    num_dropped: int = 0

"""Document -> Chunks: stretches of text that are embedded and found as one, cut where the document itself parts.

Blocks under one heading path share a chunk as long as they fit; a row or paragraph is only cut when it alone is too
long. Text is never copied or changed: `document.text[chunk.start:chunk.end] == chunk.text`.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pericia.types import Block, Chunk, Document, Place

_CUTS = (  # where a block that is too long may part, the best place first
    re.compile(r"\n+"),
    re.compile(r"(?<=[.!?…。])\s+"),
    re.compile(r"(?<=\|) |(?<=[,;:]) "),
    re.compile(r"\s+"),
)
_GAP_TOKENS = 2
_TOKEN_CHARS = 40  # a text of more characters a token is surely too long, and slow to count
_SUMMARY_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    block: Block
    num_tokens: int


def split(
    document: Document,
    *,
    chunk_tokens: int,
    count_tokens: Callable[[str], int],
    language: str = "en",
) -> list[Chunk]:
    """Return the chunks of a document in its order, without overlap; every non-blank character is in exactly one.

    Headings open a chunk with the text below them, rows of a table stand alone. A chunk has at most `chunk_tokens`
    tokens, except one whose text cannot be cut any more because it is a single character.
    """
    return [
        _chunk(document, spans, language)
        for spans in _grouped(document, chunk_tokens, count_tokens)
    ]


def summarise(
    document: Document,
    *,
    count_tokens: Callable[[str], int],
    max_tokens: int = 256,
    language: str = "en",
    written: str = "",
) -> Chunk:
    """Return the summary chunk of a document: its title, its headings and the sentences that its text begins with.

    Where somebody has `written` a summary, that stands behind the title instead.
    It is cut behind the last word that fits `max_tokens`, what the embedder takes. It is searched next to the chunks and
    expands to its document; it is never cited, so its offsets are 0.
    """
    headings = [document.text[b.start : b.end] for b in document.blocks if b.kind == "heading"]
    prose = " ".join(
        document.text[b.start : b.end] for b in document.blocks[:20] if b.kind == "paragraph"
    )
    sentences = _CUTS[1].split(" ".join(prose.split()))[:_SUMMARY_SENTENCES]
    extract = ("; ".join(dict.fromkeys(headings[:20])), " ".join(sentences)[:600])
    parts = (document.title, *([written] if written else extract))
    text = "\n".join(filter(None, parts))[: _TOKEN_CHARS * max_tokens]
    while count_tokens(text) > max_tokens and len(text) > 1:
        text = text[: len(text) * 9 // 10]
        text = text[: max(text.rfind(" "), text.rfind("\n"))] if len(text.split()) > 1 else text
    text = text.rstrip()
    return Chunk(
        id=_identify(document.id, -1, text),
        document_id=document.id,
        source=document.source,
        text=text,
        start=0,
        end=0,
        place=Place(),
        kind="summary",
        num_tokens=count_tokens(text),
        language=language,
        groups=document.groups,
    )


def _grouped(
    document: Document, limit: int, count_tokens: Callable[[str], int]
) -> Iterator[list[_Span]]:
    """Give the spans that make one chunk: as many blocks in a row as fit, of one section and one kind."""
    group: list[_Span] = []
    for block in document.blocks:
        for span in _pieces(document.text, block, limit, count_tokens):
            if group and not _joins(group, span, limit):
                yield group
                group = []
            group.append(span)
    if group:
        yield group


def _joins(group: list[_Span], span: _Span, limit: int) -> bool:
    """Say whether a span belongs to the chunk so far: under the same headings, of the same page, and it fits."""
    last, block = group[-1].block, span.block
    # Tokens are counted block by block; two more for each gap keep the sum an upper bound.
    if sum(s.num_tokens + _GAP_TOKENS for s in group) + span.num_tokens > limit:
        return False
    if last.place.page != block.place.page or last.place.sheet != block.place.sheet:
        return False
    if last.kind == "heading":
        return block.kind != "row" and len(block.headings) > len(last.headings)
    return last.kind == block.kind == "paragraph" and last.headings == block.headings


def _pieces(
    text: str, block: Block, limit: int, count_tokens: Callable[[str], int]
) -> Iterator[_Span]:
    """Give the block whole where it fits, else cut at the best places, packed as full as the limit allows."""
    pending = [(block.start, block.end, 0)]
    packed: _Span | None = None
    while pending:
        start, end, level = pending.pop()
        start, end = _stripped(text, start, end)
        if start == end:
            continue
        num_tokens = _count(text[start:end], limit, count_tokens)
        if num_tokens > limit and end - start > 1:
            cuts, level = _cut(text, start, end, level)
            pending += [(a, b, level) for a, b in reversed(cuts)]
            continue
        if packed is not None and packed.num_tokens + num_tokens + _GAP_TOKENS <= limit:
            packed = _Span(packed.start, end, block, packed.num_tokens + num_tokens + _GAP_TOKENS)
            continue
        if packed is not None:
            yield packed
        packed = _Span(start, end, block, num_tokens)
    if packed is not None:
        yield packed


def _count(text: str, limit: int, count_tokens: Callable[[str], int]) -> int:
    """Return the tokens of a text; one that is surely too long is not counted, as long texts are slow."""
    return limit + 1 if len(text) > _TOKEN_CHARS * limit else count_tokens(text)


def _cut(text: str, start: int, end: int, level: int) -> tuple[list[tuple[int, int]], int]:
    """Return the parts of a span, cut at the first sort of place that it has, else in halves."""
    while level < len(_CUTS):
        marks = [m.end() for m in _CUTS[level].finditer(text, start, end)]
        marks = [m for m in marks if start < m < end]
        if marks:
            ends = [*marks, end]
            return list(zip([start, *marks], ends, strict=True)), level + 1
        level += 1
    middle = (start + end) // 2
    return [(start, middle), (middle, end)], level


def _chunk(document: Document, spans: list[_Span], language: str) -> Chunk:
    start, end = spans[0].start, spans[-1].end
    first = spans[0].block
    place = first.place
    if place.line is not None and start > first.start:
        place = replace(place, line=place.line + document.text.count("\n", first.start, start))
    text = document.text[start:end]
    return Chunk(
        id=_identify(document.id, start, text),
        document_id=document.id,
        source=document.source,
        text=text,
        start=start,
        end=end,
        place=place,
        headings=spans[-1].block.headings,
        kind="table" if first.kind == "row" else "text",
        num_tokens=sum(s.num_tokens + _GAP_TOKENS for s in spans) - _GAP_TOKENS,
        language=language,
        groups=document.groups,
    )


def _identify(document_id: str, start: int, text: str) -> str:
    return hashlib.sha256(f"{document_id}\0{start}\0{text}".encode()).hexdigest()


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

"""Passages become the context of a prompt: best first, never over the budget, joined with their neighbours where asked."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pericia.prompts import passage_text
from pericia.types import Chunk, Context, Passage, Place

_WIDEST_GAP = 20  # blank characters between two chunks that follow each other
NUMBER_TOKENS = 6  # "[12] " before a passage and the empty line after it


def fit_context(
    passages: Sequence[Passage], *, budget_tokens: int, count_tokens: Callable[[str], int]
) -> Context:
    """Return the passages that fit `budget_tokens`, in their order; one too long is left out and the next one tried."""
    chosen: list[Passage] = []
    used = 0
    for passage in passages:
        size = _size(passage, count_tokens)
        if used + size <= budget_tokens:
            chosen.append(passage)
            used += size
    return Context(tuple(chosen), used, len(passages) - len(chosen))


def join_neighbours(
    context: Context,
    chunks_of: Callable[[str], Sequence[Chunk]],
    *,
    neighbours: int,
    budget_tokens: int,
    count_tokens: Callable[[str], int],
) -> Context:
    """Return the context with the text around each passage, best first, as far as `budget_tokens` reach.

    Up to `neighbours` chunks after and before a passage are joined to it, of its document, section, page and sheet;
    rows of a table stay alone. A passage that another one has taken in is left out. `chunks_of` returns the chunks of
    a document by its id.
    """
    passages = list(context.passages)
    for passage in context.passages:
        if passage not in passages or passage.chunk.kind != "text":
            continue
        own = passage.chunk
        near = [chunk for chunk in chunks_of(own.document_id) if chunk.kind == "text"]
        after = [chunk for chunk in near if chunk.start >= own.end]
        before = [chunk for chunk in reversed(near) if chunk.end <= own.start]
        for side in (after[:neighbours], before[:neighbours]):
            for other in side:
                joined = _joined(passage.chunk, other)
                if joined is None or _is_shown(other, passage, passages):
                    break  # what stands behind it is no neighbour
                grown = replace(passage, chunk=joined)
                wanted = [grown if p == passage else p for p in passages if p.chunk != other]
                if _total(wanted, count_tokens) > budget_tokens:
                    break
                passage, passages = grown, wanted
    return Context(tuple(passages), _total(passages, count_tokens), context.num_dropped)


def _is_shown(other: Chunk, passage: Passage, passages: Sequence[Passage]) -> bool:
    """Return whether a passage that has grown shows a chunk already; one that is the chunk itself gives it up."""
    return any(
        p.chunk.document_id == other.document_id
        and p.chunk != other
        and p.chunk.start <= other.start < p.chunk.end
        for p in passages
        if p != passage
    )


def _total(passages: Sequence[Passage], count_tokens: Callable[[str], int]) -> int:
    return sum(_size(passage, count_tokens) for passage in passages)


def _size(passage: Passage, count_tokens: Callable[[str], int]) -> int:
    return count_tokens(passage_text(passage)) + NUMBER_TOKENS


def _joined(chunk: Chunk, other: Chunk) -> Chunk | None:
    """Return two chunks of a document as one that keeps every offset and line, None where they do not belong together.

    What stands between two chunks is blank: as many characters of it as there were, with the line breaks first.
    """
    first, second = sorted((chunk, other), key=lambda one: one.start)
    here, there = first.place, second.place
    if (here.page, here.sheet) != (there.page, there.sheet) or first.headings != second.headings:
        return None
    gap = second.start - first.end
    if gap > _WIDEST_GAP:  # something else stands between them
        return None
    breaks = 1 if gap > 1 else 0
    if here.line is not None and there.line is not None:
        breaks = there.line - here.line - first.text.count("\n")
    if not 0 <= breaks <= gap:
        return None
    return replace(
        chunk,
        text=first.text + "\n" * breaks + " " * (gap - breaks) + second.text,
        start=first.start,
        end=second.end,
        place=replace(here, box=_union(here, there)),
        num_tokens=first.num_tokens + second.num_tokens,
    )


def _union(here: Place, there: Place) -> tuple[float, float, float, float] | None:
    if here.box is None or there.box is None:
        return None
    (a, b, c, d), (e, f, g, h) = here.box, there.box
    return min(a, e), min(b, f), max(c, g), max(d, h)

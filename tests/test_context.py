from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pericia.context import fit_context, join_neighbours
from pericia.types import Chunk, Context, Passage, Place
from tests.passages import passage


def words(text: str) -> int:
    return len(text.split())


@given(st.lists(st.integers(1, 60), max_size=12), st.integers(0, 200))
def test_the_context_is_never_over_budget_and_keeps_its_order(
    sizes: list[int], budget: int
) -> None:
    passages = [passage("word " * size, rank) for rank, size in enumerate(sizes, start=1)]
    context = fit_context(passages, budget_tokens=budget, count_tokens=words)
    assert context.num_tokens <= budget
    assert sum(words(p.chunk.text) for p in context.passages) <= context.num_tokens
    ranks = [p.rank for p in context.passages]
    assert ranks == sorted(ranks)
    assert len(ranks) + context.num_dropped == len(sizes)


def test_one_passage_too_long_does_not_hide_the_next() -> None:
    passages = [passage("long " * 50, 1), passage("short", 2)]
    context = fit_context(passages, budget_tokens=20, count_tokens=words)
    assert [p.rank for p in context.passages] == [2]


def cut(text: str, ends: list[int], heading: str = "") -> list[Chunk]:
    """Return chunks of a text, without the blanks at their ends, as `chunks.split` cuts them."""
    made = []
    for start, end in pairwise([0, *sorted(set(ends)), len(text)]):
        stripped = text[start:end].strip()
        if stripped:
            at = text.index(stripped, start)
            line = 1 + text.count("\n", 0, at)
            [chunk] = [passage(stripped, place=Place(line=line), heading=heading).chunk]
            made.append(
                replace(chunk, id=f"c{at}", document_id="d", start=at, end=at + len(stripped))
            )
    return made


def hit(chunk: Chunk, rank: int) -> Passage:
    return Passage(chunk, rank, 1 / rank)


TEXT = "One two three.\n\nFour five.\nSix seven eight. Nine.\n\n\nTen eleven."
places = st.lists(st.integers(1, len(TEXT) - 1), max_size=8)


@given(places, st.data(), st.integers(0, 3), st.integers(0, 60))
def test_joined_passages_keep_their_offsets_and_the_budget_and_show_nothing_twice(
    ends: list[int], data: st.DataObject, neighbours: int, budget: int
) -> None:
    chunks = cut(TEXT, ends)
    found = data.draw(st.lists(st.sampled_from(chunks), unique_by=lambda c: c.id, min_size=1))
    passages = [hit(chunk, rank) for rank, chunk in enumerate(found, start=1)]
    fitted = fit_context(passages, budget_tokens=budget, count_tokens=words)
    context = join_neighbours(
        fitted,
        lambda _: chunks,
        neighbours=neighbours,
        budget_tokens=budget,
        count_tokens=words,
    )
    assert context.num_tokens <= budget
    shown: set[int] = set()
    for one in (p.chunk for p in context.passages):
        kept = TEXT[one.start : one.end]
        assert len(one.text) == len(kept)
        assert all(a == b for a, b in zip(one.text, kept, strict=True) if not b.isspace())
        assert one.text.count("\n") == kept.count("\n")
        span = set(range(one.start, one.end))
        assert not shown & span
        shown |= span
    for given_one in fitted.passages:
        assert set(range(given_one.chunk.start, given_one.chunk.end)) <= shown


def test_a_neighbour_too_long_for_the_budget_is_not_jumped_over() -> None:
    chunks = cut(TEXT, [1, 5])
    context = join_neighbours(
        Context((hit(chunks[0], 1),)),
        lambda _: chunks,
        neighbours=2,
        budget_tokens=7,
        count_tokens=lambda text: 50 if "ne t" in text else 1,
    )
    assert [p.chunk.text for p in context.passages] == ["O"]


def test_the_text_around_a_hit_is_joined_best_first_as_far_as_the_budget_reaches() -> None:
    chunks = cut(TEXT, [15, 26, 50])
    asked = {"chunks_of": lambda _: chunks, "neighbours": 1, "count_tokens": words}
    [one] = join_neighbours(
        Context((hit(chunks[1], 1),)),
        budget_tokens=100,
        **asked,  # type: ignore[arg-type]
    ).passages
    assert one.chunk.text == TEXT[: TEXT.index("\n\n\n")]
    assert one.chunk.place.line == 1
    both = Context((hit(chunks[1], 1), hit(chunks[2], 2)))
    joined = join_neighbours(both, budget_tokens=14, **asked).passages  # type: ignore[arg-type]
    assert [p.chunk.text for p in joined] == [TEXT[16 : TEXT.index("\n\n\n")]]


def test_another_section_and_a_table_stay_apart() -> None:
    first, second = cut("One two.\n\nThree four.", [9])
    for other in (
        replace(second, headings=("Else",)),
        replace(second, kind="table"),
        replace(second, place=Place(line=3, page=2)),
    ):
        context = Context((hit(first, 1),))
        document = {"d": [first, other]}
        joined = join_neighbours(
            context,
            document.__getitem__,
            neighbours=1,
            budget_tokens=100,
            count_tokens=words,
        )
        assert joined.passages == context.passages

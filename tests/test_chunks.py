"""Chunks: offsets exact, nothing lost, none too long, cut where the document parts."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from pericia.chunks import split, summarise
from pericia.types import Block, BlockKind, Document, Place

WORDS = st.text(alphabet="abcäß е界.!?|, \n:", min_size=1, max_size=300).filter(
    lambda t: bool(t.strip())
)
KINDS: st.SearchStrategy[BlockKind] = st.sampled_from(["heading", "paragraph", "row"])


def count_tokens(text: str) -> int:
    """Count words, a long one as several, as word-piece tokenizers do."""
    return sum(1 + len(word) // 5 for word in text.split())


def make(parts: list[tuple[BlockKind, str]]) -> Document:
    """Return a document of these blocks; each heading stands above all that follow it."""
    text, blocks, headings = "", [], ()
    for number, (kind, part) in enumerate(parts, 1):
        if text:
            text += "\n\n"
        place = Place(line=1 + text.count("\n"), cell=f"A{number}:C{number}")
        if kind == "heading":
            headings = ()
        blocks.append(Block(len(text), len(text) + len(part), kind, place, headings))
        text += part
        if kind == "heading":
            headings = (part,)  # type: ignore[assignment]
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Document("d", "d.txt", sha256, "D", text, tuple(blocks))


@given(st.lists(st.tuples(KINDS, WORDS), max_size=12), st.integers(3, 60))
@settings(max_examples=150, deadline=None)
def test_offsets_are_exact_and_nothing_is_lost_or_too_long(
    parts: list[tuple[BlockKind, str]], limit: int
) -> None:
    document = make(parts)
    chunks = split(document, chunk_tokens=limit, count_tokens=count_tokens)
    covered = [0] * len(document.text)
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert chunk.text == chunk.text.strip()
        assert count_tokens(chunk.text) <= limit or len(chunk.text) == 1
        assert chunk.num_tokens >= count_tokens(chunk.text)
        for i in range(chunk.start, chunk.end):
            covered[i] += 1
    wrong = [c for c, n in zip(document.text, covered, strict=True) if not c.isspace() and n != 1]
    assert wrong == []
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def test_a_heading_opens_the_chunk_of_its_text_and_rows_stand_alone() -> None:
    document = make(
        [
            ("heading", "Prices"),
            ("paragraph", "All prices are net."),
            ("paragraph", "They hold for a year."),
            ("row", "Model: PX-20 | Price: 310 EUR"),
            ("row", "Model: PX-40 | Price: 520 EUR"),
            ("heading", "Delivery"),
            ("paragraph", "In 20 days."),
        ]
    )
    chunks = split(document, chunk_tokens=100, count_tokens=count_tokens, language="en")
    assert [c.text.split("\n")[0] for c in chunks] == [
        "Prices",
        "Model: PX-20 | Price: 310 EUR",
        "Model: PX-40 | Price: 520 EUR",
        "Delivery",
    ]
    assert [c.kind for c in chunks] == ["text", "table", "table", "text"]
    assert chunks[1].place.cell == "A4:C4"
    assert chunks[0].headings == ("Prices",)


def test_a_long_paragraph_is_cut_between_sentences_and_its_lines_are_counted() -> None:
    sentence = "The pump runs well today."
    document = make([("paragraph", "\n".join([sentence] * 30))])
    chunks = split(document, chunk_tokens=25, count_tokens=count_tokens)
    assert len(chunks) > 5
    assert all(c.text.endswith(".") for c in chunks)
    second = chunks[1]
    assert second.place.line == 1 + document.text.count("\n", 0, second.start)


def test_a_giant_line_is_cut_with_few_counts() -> None:
    calls = []

    def count(text: str) -> int:
        calls.append(len(text))
        return count_tokens(text)

    document = make([("paragraph", "x" * 200_000)])
    chunks = split(document, chunk_tokens=200, count_tokens=count)
    assert sum(len(c.text) for c in chunks) == 200_000
    assert max(calls) <= 8000


def test_ids_do_not_change() -> None:
    document = make([("paragraph", "one two three")])
    one, two = (split(document, chunk_tokens=20, count_tokens=count_tokens) for _ in range(2))
    assert one == two
    assert len(one[0].id) == 64


def test_the_summary_has_title_headings_and_the_first_sentences() -> None:
    document = make(
        [("heading", "Oil"), ("paragraph", "Use L-46. Change it yearly. Keep it dry. No.")]
    )
    summary = summarise(document, count_tokens=count_tokens)
    assert summary.kind == "summary"
    assert summary.text == "D\nOil\nUse L-46. Change it yearly. Keep it dry."


def test_a_summary_is_cut_to_what_the_embedder_takes() -> None:
    document = make([("heading", "Oil"), ("paragraph", "Use the oil L-46 " * 30 + ".")])
    summary = summarise(document, count_tokens=count_tokens, max_tokens=20)
    assert 10 < summary.num_tokens <= 20
    assert summary.text.startswith("D\nOil\nUse the oil")

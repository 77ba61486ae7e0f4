"""The two tracks: which documents training has seen, which track decides, and what the results say about it."""

import pytest

from pericia.evaluate.tracks import ALL, NEW, SAME, deciding_track, in_words, tracks_of
from pericia.types import Dataset, Example, Message, Question

MESSAGES = (Message("user", "How heavy is V1?"), Message("assistant", "5 kg"))


def _dataset(*sources: str) -> Dataset:
    examples = tuple(Example(MESSAGES, f"e{n}", n, source) for n, source in enumerate(sources))
    return Dataset(examples, (), "hash")


def _questions(**sources: str) -> tuple[Question, ...]:
    return tuple(
        Question(name, "?", ("a",) if source else (), (source,) if source else (), source or "u")
        for name, source in sources.items()
    )


def test_a_question_goes_with_its_document() -> None:
    questions = _questions(old="docs/a.md", new="docs/b.md", nothing="")
    assert tracks_of(questions, _dataset("a.md")) == {"old": SAME, "new": NEW, "nothing": NEW}


def test_an_unanswerable_question_goes_with_its_family() -> None:
    questions = (*_questions(old="a.md"), Question("u", "?", (), (), "a.md"))
    assert set(tracks_of(questions, _dataset("a.md")).values()) == {SAME}


@pytest.mark.parametrize("dataset", [None, _dataset(""), _dataset("", "")])
def test_without_sources_nobody_can_say(dataset: Dataset | None) -> None:
    assert tracks_of(_questions(q="a.md"), dataset) == {"q": ALL}


@pytest.mark.parametrize(
    ("data_change", "num_same", "num_new", "track"),
    [
        ("yearly", 10, 10, SAME),
        ("never", 8, 30, SAME),
        ("monthly", 10, 10, NEW),
        ("yearly", 7, 10, NEW),  # too few families for a verdict
        ("daily", 10, 7, SAME),
        ("yearly", 3, 5, NEW),  # too few of both: the larger one
    ],
)
def test_the_use_says_which_track_decides(
    data_change: str, num_same: int, num_new: int, track: str
) -> None:
    questions = _questions(
        **{f"s{n}": f"same{n}.md" for n in range(num_same)},
        **{f"n{n}": f"new{n}.md" for n in range(num_new)},
    )
    dataset = _dataset(*(f"same{n}.md" for n in range(num_same)))
    assert deciding_track(questions, tracks_of(questions, dataset), data_change) == track


def test_the_results_say_it_in_words() -> None:
    both = in_words({SAME: 40, NEW: 20}, SAME, "yearly")
    assert both == (
        "40 questions ask about documents that examples come from too (same documents); they decide, because the facts "
        "change once a year. 20 ask about documents that no example comes from (new documents)."
    )
    assert "favours retrieval" in in_words({NEW: 20}, NEW, "yearly")
    assert "too few families" in in_words({SAME: 5, NEW: 40}, NEW, "yearly")
    assert "nobody can say" in in_words({ALL: 5}, ALL, "yearly")

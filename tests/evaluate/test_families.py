"""Nearly the same documents: what counts as one, whose families join, and what training has seen of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.evaluate.families import (
    join_families,
    named_documents,
    near_duplicates,
    with_twins,
)
from pericia.evaluate.tracks import NEW, SAME, tracks_of
from pericia.types import Dataset, Example, Message, Question

TURNS = (Message("user", "How heavy is V1?"), Message("assistant", "5 kg"))


def sheet(pump: int, **changes: str) -> str:
    """A data sheet of some 100 words, of which those in `changes` are others."""
    said = [f"Line {n} of pump P{pump} says w{pump}x{n} and nothing else." for n in range(12)]
    return " ".join(changes.get(f"line{n}", text) for n, text in enumerate(said))


def question(name: str, *sources: str, family: str = "") -> Question:
    return Question(name, "?", ("a",), sources, family or sources[0])


def test_copies_and_versions_are_found_and_other_sheets_of_the_same_form_are_not() -> None:
    version = sheet(1, line11="Line 11 of pump P1 says 90 bar and nothing else.")
    texts = {"v2.md": version, "v1.md": sheet(1), "copy.md": sheet(1).upper(), "p2.md": sheet(2)}
    assert near_duplicates(texts) == dict.fromkeys(("copy.md", "v1.md", "v2.md"), "copy.md")


def test_a_chain_of_versions_is_one_group() -> None:
    texts = {
        f"v{n}.md": sheet(1, **{f"line{m}": f"Line {m} of pump P1 is new." for m in range(n)})
        for n in range(4)
    }
    assert set(near_duplicates(texts).values()) == {"v0.md"}
    assert near_duplicates({name: texts[name] for name in ("v0.md", "v3.md")}) == {}


@given(st.dictionaries(st.text("abc", min_size=1), st.text("xy ", max_size=40), max_size=8))
def test_groups_have_two_members_and_the_first_leads(texts: dict[str, str]) -> None:
    twins = near_duplicates(texts)
    for name, first in twins.items():
        assert first <= name
        assert twins[first] == first
        assert list(twins.values()).count(first) >= 2


def test_questions_about_versions_are_one_family_whatever_they_call_them() -> None:
    twins = {"docs/v1.md": "docs/v1.md", "docs/v2.md": "docs/v1.md"}
    asked = (
        question("a", "v2.md"),
        question("b", "docs/v1.md"),
        question("c", "v2.md", family="prices"),
        question("d", "other.md"),
        question("e", "other.md", "v1.md"),
        Question("u", "?", (), (), "prices"),
    )
    joined = join_families(asked, twins)
    assert [q.family for q in joined] == ["v2.md"] * 3 + ["other.md"] * 2 + ["v2.md"]
    assert join_families(asked, {}) == asked


def test_an_example_about_one_version_has_shown_the_other() -> None:
    twins = {"docs/v1.md": "docs/v1.md", "docs/v2.md": "docs/v1.md"}
    dataset = Dataset((Example(TURNS, "e1", 1, "v1.md"),), (), "hash")
    asked = (question("old", "v2.md"), question("new", "other.md"))
    assert tracks_of(asked, dataset, twins) == {"old": SAME, "new": NEW}
    assert tracks_of(asked, dataset) == {"old": NEW, "new": NEW}
    assert with_twins({"v1.md"}, twins) == {"v1.md", *twins}


@pytest.mark.parametrize("dataset", [None, Dataset((Example(TURNS, "e", 1, "valve.md"),), (), "")])
def test_only_documents_that_are_named_are_read(dataset: Dataset | None) -> None:
    documents = frozenset({"docs/pump.md", "docs/valve.md", "docs/plan.md"})
    named = named_documents(
        (question("q", "pump.md"), question("r", "gone.md")), dataset, documents
    )
    assert named == ({"docs/pump.md"} if dataset is None else {"docs/pump.md", "docs/valve.md"})

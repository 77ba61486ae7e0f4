"""A sentence is an ordinary text that remembers its parts, through every copy that a report makes of it."""

import copy
import json
import pickle
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.said import Figure, Said, joined, packed, said, unpacked
from pericia.types import Recommendation

ADVICE = said("%(arm)s reaches %(n)s points.", arm=said("the plain prompt"), n=Figure(71.25, 1))


def test_a_sentence_is_a_text() -> None:
    assert ADVICE == "The plain prompt reaches 71.2 points."
    assert json.loads(json.dumps([ADVICE])) == [str(ADVICE)]
    assert said("100 %") == "100 %"


@pytest.mark.parametrize("copied", [copy.deepcopy(ADVICE), pickle.loads(pickle.dumps(ADVICE))])
def test_its_parts_survive_a_copy(copied: Said) -> None:
    assert copied == ADVICE
    assert (copied.template, dict(copied.values)) == (ADVICE.template, dict(ADVICE.values))


def test_its_parts_survive_in_a_report() -> None:
    advice = Recommendation("rag", "R1", ADVICE, (ADVICE,), ADVICE)
    assert all(isinstance(text, Said) for text in asdict(advice)["reasons"])


@pytest.mark.parametrize("part", [ADVICE, joined([ADVICE, "plain"]), "plain", None, 7, Figure(2.5)])
def test_its_parts_survive_in_a_file(part: object) -> None:
    kept = unpacked(json.loads(json.dumps(packed(part))))
    assert (kept, type(kept)) == (part, type(part))
    if isinstance(part, Said):
        assert (kept.template, dict(kept.values)) == (part.template, dict(part.values))


def test_sentences_in_a_row_are_written_as_they_are() -> None:
    assert joined(["page 1: blank", "", "page 2: blank"], "; ") == "page 1: blank; page 2: blank"
    assert joined([]) == ""


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(1234.5), "1,234"),
        (Figure(-3.14, 1, is_signed=True), "−3.1"),
        (Figure(3.14, 1, is_signed=True), "+3.1"),
        (Figure(-0.04, 1, is_signed=True), "0.0"),
        (Figure(-2.0), "−2"),
    ],
)
def test_figures_are_written_as_in_english(figure: Figure, text: str) -> None:
    assert str(figure) == text


@given(st.floats(-1e6, 1e6), st.integers(0, 3))
def test_a_figure_is_its_value(value: float, digits: int) -> None:
    written = str(Figure(value, digits, is_signed=True)).replace(",", "").replace("−", "-")
    assert float(written) == pytest.approx(round(value, digits), abs=10**-digits)

"""Scores: one normalisation with its table, hand-worked values, and the SQuAD script beside ours."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.evaluate import matches, scores, sourcing
from pericia.evaluate.matches import choice, exact, numeric, set_f1, terminology, token_f1
from pericia.evaluate.normalise import normalise
from pericia.evaluate.scores import SCORES, outcome, score_answer
from pericia.evaluate.sourcing import (
    Attempt,
    all_sources,
    citation_precision,
    citation_recall,
    evidence_cited,
    source_ndcg,
    source_rank,
    source_recall,
)
from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
from tests.reference.squad_v2 import squad_exact, squad_f1


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("The Limit!", "en", "limit"),
        ("La válvula", "es", "válvula"),
        ("a bomba", "pt", "bomba"),
        ("помпата", "bg", "помпата"),
        ("A", "en", "a"),  # a choice, not an article
        ("ﬁlter Ⅻ", "en", "filter xii"),  # NFKC
        ("1,234", "en", "1234"),
        ("1.234", "en", "1.234"),
        ("1.234", "es", "1234"),
        ("1,234", "pt", "1.234"),
        ("1.234,50", "en", "1234.5"),
        ("1,234.50", "es", "1234.5"),
        ("1 234,5", "bg", "1234.5"),
        ("0.125", "es", "0.125"),
        ("1,234,567", "en", "1234567"),
        ("$5", "en", "usd 5"),
        ("5 EUR", "en", "5 eur"),
        ("5 €", "es", "5 eur"),
        ("12%", "en", "12 percent"),
        ("12 por ciento", "es", "12 percent"),
        ("350bar", "en", "350 bar"),
        ("E17", "en", "e17"),
        ("v2.0.1", "en", "v2 0 1"),
        ("−5", "en", "-5"),
        ("3–5", "en", "3 5"),
        ("March 3rd, 2024", "en", "2024-03-03"),
        ("3 de março de 2024", "pt", "2024-03-03"),
        ("don't", "en", "dont"),
        ("", "en", ""),
        ("...", "en", ""),
    ],
)
def test_the_table_of_normalisation(text: str, language: str, words: str) -> None:
    assert normalise(text, language) == words


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("35 MPa", "350 bar", 1.0),
        ("0.35 m", "35 cm", 1.0),
        ("$3.5 million", "3,500,000 dollars", 1.0),
        ("2 weeks", "14 days", 1.0),
        ("12", "12 %", 1.0),
        ("12 kg", "12 %", 0.0),
        ("none", "12 %", 0.0),
        ("red", "red", 1.0),
        ("between 3 and 4", "4", 2 / 3),
    ],
)
def test_quantities_match_after_units_and_scale(text: str, reference: str, score: float) -> None:
    assert numeric(text, [reference]) == pytest.approx(score)


def test_sets_are_paired_best() -> None:
    assert set_f1('["oil", "filter"]', ["filter and oil"]) == 1.0
    assert set_f1("oil", ["filter; oil; belt"]) == pytest.approx(0.5)
    assert set_f1("", ["oil"]) == 0.0


WORDS = st.lists(
    st.sampled_from(["the", "a", "red", "valve", "pump", "of", "line", "Two", "an"]), max_size=6
)


@given(WORDS, WORDS)
def test_exact_and_f1_equal_the_squad_script(found: list[str], wanted: list[str]) -> None:
    """Apart from numbers, glued units, and texts of articles only, where ours differ on purpose."""
    articles = {"the", "a", "an"}
    if set(found) <= articles or set(wanted) <= articles:
        return
    text, reference = " ".join(found), ", ".join(wanted) + "."
    assert exact(text, [reference]) == squad_exact(text, [reference])
    assert token_f1(text, [reference]) == pytest.approx(squad_f1(text, [reference]))


@given(st.text(max_size=40), st.text(min_size=1, max_size=40), st.booleans())
def test_every_score_is_a_share(text: str, reference: str, refused: bool) -> None:
    answer = Answer(text, refused=refused, passages=(_passage("p.md", "red valve 5 bar"),))
    attempt = Attempt(answer, Question("q", "?", (reference,), ("p.md",)), terms=("valve",))
    assert all(0.0 <= value <= 1.0 for value in score_answer(attempt).values())


@pytest.mark.parametrize("name", [name for name, kind in SCORES.items() if kind.may_decide])
def test_refusing_is_right_exactly_when_nothing_answers(name: str) -> None:
    score = SCORES[name].function
    answerable, unanswerable = Question("q", "?", ("5",)), Question("u", "?", ())
    refusal, answer = Answer("I don't know.", refused=True), Answer("5")
    assert score(Attempt(refusal, unanswerable)) == 1.0
    assert score(Attempt(answer, unanswerable)) == 0.0
    assert score(Attempt(refusal, answerable)) == 0.0
    assert score(Attempt(answer, answerable)) == 1.0


def test_citations_count_when_verified_and_supporting() -> None:
    passages = (_passage("a.md", "The valve holds 5 bar."), _passage("b.md", "Lunch is at noon."))
    cited = (
        Citation(1, "a.md", "holds 5 bar", True),
        Citation(2, "b.md", "Lunch", True),  # verified, but holds nothing of the answer
        Citation(3, "c.md", "", False),
    )
    answer = Answer("It holds 5 bar [1]. So they say.", cited, passages=passages)
    attempt = Attempt(answer, Question("q", "?", ("5 bar",), ("b.md",)))
    assert citation_precision(attempt) == pytest.approx(1 / 3)
    assert citation_recall(attempt) == 0.5
    assert source_recall(attempt) == 1.0
    assert source_rank(attempt) == 0.5
    assert evidence_cited(attempt) == 1.0


def test_retrieval_scores_by_hand() -> None:
    passages = (_passage("x.md", "…"), _passage("a.md", "…"), _passage("x.md", "…"))
    answer = Answer("5 bar", passages=passages)
    both = Attempt(answer, Question("q", "?", ("5 bar",), ("a.md", "b.md")))
    assert (source_recall(both), source_rank(both), all_sources(both)) == (0.5, 0.5, 0.0)
    assert source_ndcg(both) == pytest.approx(0.6309 / 1.6309, abs=1e-4)
    assert all_sources(Attempt(answer, Question("q", "?", ("5 bar",), ("a.md",)))) is None


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("3", "3", 1.0),
        ("(3) a graft", "3", 1.0),
        ("La respuesta es 3.", "3", 1.0),
        ("Answer: B", "b", 1.0),
        ("A valve", "A", 1.0),  # an article that reads as a label: such answers need a pattern
        ("Because of 3", "3", 0.0),
        ("13", "1", 0.0),
        ("", "3", 0.0),
    ],
)
def test_a_choice_is_its_label(text: str, reference: str, score: float) -> None:
    assert choice(text, [reference]) == score


def test_refusals_are_scored_where_due_and_where_not() -> None:
    answerable, unanswerable = Question("q", "?", ("5",)), Question("u", "?", ())
    refusal, answer = Answer("I don't know.", refused=True), Answer("5")
    names = ("answered", "declined", "refusal_precision")

    def values(given: Answer, question: Question) -> list[float | None]:
        return [SCORES[name].function(Attempt(given, question)) for name in names]

    assert values(answer, answerable) == [1.0, None, None]
    assert values(refusal, answerable) == [0.0, None, 0.0]
    assert values(answer, unanswerable) == [None, 0.0, None]
    assert values(refusal, unanswerable) == [None, 1.0, 1.0]


def test_a_form_is_asked_for_by_pattern() -> None:
    question = Question("q", "?", ("P-7",))
    pattern = r"[A-Z]-\d+"
    right = Attempt(Answer("P-7"), question, pattern=pattern)
    wrong = Attempt(Answer("It is P-8"), question, pattern=pattern)
    assert (score_answer(right)["format_pattern"], score_answer(wrong)["format_pattern"]) == (1, 0)
    assert outcome(wrong, 0.0) == "format broken"


@pytest.mark.parametrize(
    ("text", "value"),
    [("Idle the impeller unit. [1]", 1.0), ("Turn OFF the pump.", 0.0), ("A pumping turn", 1.0)],
)
def test_a_house_has_words_that_it_does_not_say(text: str, value: float) -> None:
    question = Question("q", "?", ("Idle it",))
    attempt = Attempt(Answer(text), question, forbidden_terms=("turn off", "the motor"))
    assert score_answer(attempt)["allowed_terms"] == value
    assert "allowed_terms" not in score_answer(Attempt(Answer(text), question))


def test_scores_that_do_not_apply_are_absent() -> None:
    found = score_answer(Attempt(Answer("5 bar"), Question("q", "?", ("5 bar",))))
    assert not {"citation_precision", "k_precision", "format_json", "terminology"} & found.keys()
    assert terminology("x", ["no term here"], ["impeller"]) is None


@pytest.mark.parametrize(
    ("answer", "answers", "text", "expected"),
    [
        (Answer("5 bar"), ("5 bar",), "", "right"),
        (Answer("6 bar"), ("5 bar",), "", "wrong"),
        (Answer("6", finish_reason="length"), ("5 bar",), "", "cut off"),
        (Answer("", refused=True), (), "", "refused rightly"),
        (Answer("5"), (), "", "should have refused"),
        (Answer("", refused=True), ("5 bar",), "It holds 5 bar.", "refused wrongly"),
        (Answer("6 bar"), ("5 bar",), "It holds 5 bar.", "retrieved, not used"),
        (Answer("6 bar"), ("5 bar",), "Lunch is at noon.", "evidence not retrieved"),
        (Answer("5 bar"), ("5 bar",), "It holds 5 bar.", "right, not cited"),
    ],
)
def test_outcomes_put_the_blame(
    answer: Answer, answers: tuple[str, ...], text: str, expected: str
) -> None:
    passages = (_passage("a.md", text),) if text else ()
    whole = Answer(
        answer.text, refused=answer.refused, passages=passages, finish_reason=answer.finish_reason
    )
    attempt = Attempt(whole, Question("q", "?", answers))
    assert outcome(attempt, score_answer(attempt)["exact"]) == expected


def _passage(source: str, text: str) -> Passage:
    return Passage(Chunk(source, source, source, text, 0, len(text), Place(line=1)), 1, 1.0)


def test_every_score_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name, kind in SCORES.items():
        star = " *" if kind.may_decide else ""
        assert f"| `{name}`{star} | {kind.line} | {kind.formula} | {kind.source} |" in page


@pytest.mark.parametrize("name", SCORES)
def test_every_score_has_a_worked_value(name: str) -> None:
    """The suite runs doctests, so the value holds."""
    documented = next(
        text
        for module in (matches, sourcing, scores)
        if (text := getattr(getattr(module, name, None), "__doc__", None))
    )
    assert ">>> " in documented

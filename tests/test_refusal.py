from collections.abc import Sequence
from pathlib import Path

import pytest

from pericia.refusal import ENOUGH, calibrate, features, read_refusal, write_refusal
from pericia.types import Passage
from tests.passages import passage

SUBJECTS = [f"{kind}{i}" for kind in ("pump", "kiln", "valve", "motor") for i in range(40)]


def find(question: str, hidden: Sequence[str]) -> list[Passage]:
    """Find the passage about the question's subject, unless it is hidden, and one about something else."""
    subject = question.split()[-1].strip("?")
    other = passage("The canteen opens at noon.", source="canteen")
    if subject in hidden:
        return [other]
    return [passage(f"The pressure of {subject} is 42 bar.", source=subject), other]


LABELLED = [(f"What pressure has {subject}?", [subject]) for subject in SUBJECTS]


def test_features_are_shares_of_the_question_s_words() -> None:
    passages = [passage("The kiln is hot."), passage("Pressure is measured in bar.")]
    found = features("Which pressure has the kiln?", passages, "en")
    assert found.tolist() == [1.0, 0.5, 0.0]
    assert features("Which pressure?", [], "en").tolist() == [0, 0, 0]


def test_a_rule_refuses_what_the_documents_do_not_answer_and_says_how_often_it_errs() -> None:
    refusal = calibrate(LABELLED, find, "en")
    assert refusal is not None
    assert refusal.false_refusals <= 0.1
    assert refusal.caught == 1
    assert refusal.num_held_out == len(LABELLED) // 2
    question = "What pressure has pump7?"
    assert refusal.accepts(question, find(question, ()), "en")
    assert not refusal.accepts(question, find(question, ["pump7"]), "en")


def test_where_hiding_changes_nothing_no_rule_is_made() -> None:
    assert calibrate(LABELLED, lambda question, hidden: find(question, ()), "en") is None


def test_few_questions_give_no_rule() -> None:
    assert calibrate(LABELLED[: 2 * ENOUGH - 1], find, "en") is None


def test_a_rule_is_kept_and_taken_away(tmp_path: Path) -> None:
    refusal = calibrate(LABELLED, find, "en")
    assert read_refusal(tmp_path) is None
    write_refusal(tmp_path, refusal)
    assert read_refusal(tmp_path) == refusal
    write_refusal(tmp_path, None)
    assert read_refusal(tmp_path) is None


@pytest.mark.parametrize("passages", [[], [passage("")]])
def test_nothing_found_is_no_error(passages: list[Passage]) -> None:
    assert features("", passages, "en").tolist() == [0, 0, 0]

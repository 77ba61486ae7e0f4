"""The planning table is the published one."""

import pytest

from pericia.evaluate.power import detectable_difference, detectable_in_words


@pytest.mark.parametrize(
    ("num_questions", "disagreement", "one", "first_of_ten"),
    [
        (60, 0.2, 15, 19),
        (100, 0.2, 12, 15),
        (200, 0.2, 9, 11),
        (400, 0.2, 6, 8),
        (1000, 0.2, 4, 5),
        (60, 0.3, 19, 23),
        (100, 0.3, 15, 19),
        (200, 0.3, 11, 14),
        (400, 0.3, 8, 10),
        (1000, 0.3, 5, 6),
    ],
)
def test_the_planning_table(
    num_questions: int, disagreement: float, one: int, first_of_ten: int
) -> None:
    families = [str(number) for number in range(num_questions)]
    assert round(100 * detectable_difference(families, 1, disagreement)) == one
    assert round(100 * detectable_difference(families, 10, disagreement)) == first_of_ten


def test_families_make_questions_worth_less() -> None:
    apart = [str(number) for number in range(1000)]
    fives = [str(number // 5) for number in range(1000)]
    ratio = detectable_difference(fives) / detectable_difference(apart)
    assert ratio == pytest.approx(1.48, abs=0.01)


def test_the_first_sentence_of_a_run() -> None:
    apart = [str(number) for number in range(60)]
    assert detectable_in_words(apart, 10) == (
        "With these 60 questions you can only see differences above about 23 points."
    )
    assert "below 9 no verdict" in detectable_in_words(["a", "b"], 10)
    assert "below 8 no verdict" in detectable_in_words(["a", "b"], 3)

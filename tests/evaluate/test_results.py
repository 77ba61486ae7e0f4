"""Money: costs a request, break-even with its interval; and the latencies of an arm."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.config import PriceConfig
from pericia.evaluate.results import Spending, break_even, compare_arms, summarise_arms
from pericia.types import Answer, Question, Row, Usage

QUESTIONS = [Question(f"q{n}", "?", ("a",), family=f"f{n // 2}") for n in range(20)]
PRICES = PriceConfig(token_in=10.0, machine_hour=36.0)


def _rows(tokens: dict[str, int], *, spread: int = 0, wrong: str = "") -> list[Row]:
    return [
        Row(
            question.id,
            arm,
            Answer("a", usage=Usage(count + spread * (n % 5), 5, 0.0, 30.0 + n)),
            {"exact": 0.0 if arm == wrong and n % 2 else 1.0},
            "",
        )
        for n, question in enumerate(QUESTIONS)
        for arm, count in tokens.items()
    ]


def test_tuning_pays_when_shorter_prompts_have_saved_its_price() -> None:
    rows = _rows({"rag": 1000, "fine_tuned": 100})
    spending = Spending(PRICES, train_s={"fine_tuned": 900.0})  # 9 USD; 900 tokens are 0.009 USD
    even = break_even(rows, QUESTIONS, "rag", "fine_tuned", "exact", spending)
    assert even.requests == pytest.approx(1000.0)
    assert even.low == pytest.approx(1000.0)
    assert even.high == pytest.approx(1000.0)


def test_the_interval_of_break_even_comes_from_the_saving() -> None:
    rows = [
        *_rows({"rag": 1000}, spread=300),
        *_rows({"fine_tuned": 100}),
    ]
    spending = Spending(PRICES, train_s={"fine_tuned": 900.0})
    even = break_even(rows, QUESTIONS, "rag", "fine_tuned", "exact", spending)
    assert even.requests is not None
    assert even.low is not None
    assert even.high is not None
    assert even.low < even.requests < even.high


def test_tuning_that_saves_nothing_never_pays() -> None:
    rows = _rows({"prompt": 100, "fine_tuned": 100})
    spending = Spending(PRICES, train_s={"fine_tuned": 900.0})
    even = break_even(rows, QUESTIONS, "prompt", "fine_tuned", "exact", spending)
    assert (even.requests, even.low, even.high) == (None, None, None)


def test_wrong_answers_may_cost_too() -> None:
    rows = _rows({"prompt": 100, "fine_tuned": 100}, wrong="prompt")
    prices = PRICES.model_copy(update={"wrong_answer": 0.02})
    spending = Spending(prices, train_s={"fine_tuned": 900.0})
    even = break_even(rows, QUESTIONS, "prompt", "fine_tuned", "exact", spending)
    assert even.requests == pytest.approx(900.0)  # half of the answers save 0.02


def test_an_arm_with_its_own_prices_has_its_own_costs() -> None:
    rows = _rows({"rag": 1000, "large": 1000})
    spending = Spending(PRICES, own_prices={"large": PriceConfig(token_in=100.0)})
    arms = summarise_arms(rows, QUESTIONS, ("rag", "large"), "exact", spending, 1, {"large": "rag"})
    assert arms["large"].cost_per_request == pytest.approx(0.1)
    assert arms["rag"].cost_per_request == pytest.approx(0.01)
    assert arms["large"].kind == "rag"
    assert arms["rag"].first_token_ms_p50 == pytest.approx(39.5)


def test_a_month_carries_its_trainings() -> None:
    spending = Spending(PRICES, 1000, "monthly", {"fine_tuned": 900.0})
    assert spending.share_of_training("fine_tuned") == pytest.approx(9 / 1000)
    assert spending.share_of_training("rag") == 0.0


SCORE = st.sampled_from([0.0, 0.3, 1.0])


@given(st.lists(st.tuples(SCORE, SCORE, st.integers(0, 2)), min_size=1, max_size=6))
def test_no_table_ever_holds_what_is_no_number(values: list[tuple[float, float, int]]) -> None:
    """One question, one family, equal arms, answers without tokens and without right ones: always finite numbers."""
    questions = [Question(f"q{n}", "?", ("a",), family=f"f{v[2]}") for n, v in enumerate(values)]
    rows = [
        Row(question.id, arm, Answer(""), {"exact": value[side]}, "")
        for question, value in zip(questions, values, strict=True)
        for side, arm in enumerate(("prompt", "fine_tuned"))
    ]
    spending = Spending(PRICES, train_s={"fine_tuned": 0.0})
    arms = summarise_arms(rows, questions, ("prompt", "fine_tuned"), "exact", spending, 1)
    pairs = compare_arms(rows, questions, ("prompt", "fine_tuned"), "exact", 1)
    even = break_even(rows, questions, "prompt", "fine_tuned", "exact", spending)
    tables = [*map(asdict, arms.values()), *map(asdict, pairs), asdict(even)]
    json.dumps(tables, allow_nan=False)

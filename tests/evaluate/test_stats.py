"""Intervals cover what they promise, verdicts raise few false alarms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.evaluate.stats import (
    FEWEST_FAMILIES,
    Interval,
    clustered_interval,
    difference_interval,
    fewest_families,
    holm,
    mean_interval,
    sign_flip_p,
    verdict,
)
from tests.evaluate.simulation import coverage, false_alarms
from tests.evaluate.worlds import CELLS

NUM_RUNS = 600  # a coverage of 95 % is then known to about ± 1.8 points; benchmarks/stats_coverage.py has 5,000


@pytest.mark.parametrize("cell", CELLS)
def test_the_interval_of_a_difference_covers_the_truth(cell: str) -> None:
    covered = coverage(CELLS[cell], effect=0.3, num_runs=NUM_RUNS, seed=3)
    assert 0.93 - 0.018 <= covered <= 0.97 + 0.014


@pytest.mark.parametrize("cell", ["15 x 10", "15, unequal"])
def test_the_interval_covers_graded_scores_too(cell: str) -> None:
    covered = coverage(CELLS[cell], effect=0.3, num_runs=NUM_RUNS, seed=5, graded=True)
    assert 0.93 - 0.018 <= covered <= 0.97 + 0.014


@pytest.mark.parametrize(("cell", "num_runs"), [("15 x 10", 200), ("15, unequal", 200)])
def test_equal_arms_raise_few_false_alarms(cell: str, num_runs: int) -> None:
    assert false_alarms(CELLS[cell], num_arms=5, effect=0.3, num_runs=num_runs, seed=3) <= 0.05


def test_families_of_one_size_have_as_many_degrees_of_freedom_as_families_less_one() -> None:
    values = [0.0, 0.2, 0.4, 0.9, 0.1, 0.5, 0.3, 0.8]
    interval = clustered_interval(values, list("abcdefgh"))
    error = np.std(values, ddof=1) / np.sqrt(8)
    assert interval.error == pytest.approx(error)
    assert interval.high - interval.mean == pytest.approx(2.3646 * error, rel=1e-4)  # t(7)


def test_exact_and_drawn_flips_agree() -> None:
    random = np.random.default_rng(5)
    values = random.normal(0.3, 1.0, 20)
    families = [str(number) for number in range(20)]
    exact = sign_flip_p(list(values), families, seed=1)
    doubled = sign_flip_p([*values, 1e-12], [*families, "x"], seed=1)  # one family more: drawn
    assert doubled == pytest.approx(exact, abs=0.02)


def test_a_whole_family_is_flipped_at_once() -> None:
    apart = sign_flip_p([1.0] * 8, [str(n) for n in range(8)], seed=1)
    together = sign_flip_p([1.0] * 8, ["a"] * 4 + ["b"] * 4, seed=1)
    assert (apart, together) == (2 / 2**8, 2 / 2**2)


def test_few_families_give_no_verdict() -> None:
    shown = Interval(0.5, 0.4, 0.6, 0.05)
    assert verdict(shown, 0.001, FEWEST_FAMILIES) == "better"
    assert verdict(shown, 0.001, FEWEST_FAMILIES - 1) == "not distinguishable"
    assert verdict(shown, 0.06, 100) == "not distinguishable"
    assert verdict(Interval(-0.5, -0.6, -0.4), 0.001, 100) == "worse"
    assert verdict(Interval(0.1, -0.1, 0.3), 0.001, 100) == "not distinguishable"


@pytest.mark.parametrize("rate", [0.99, 0.97, 0.9])
def test_arms_that_agree_on_every_question_are_not_surely_alike(rate: float) -> None:
    """A family agrees at this rate; 20 that do are no proof that all do."""
    alike = difference_interval([0.0] * 60, [str(n // 3) for n in range(60)])
    assert rate**20 > 0.05  # to see none of those that differ is no rare event
    assert alike.high > 1 - rate
    assert verdict(alike, 1.0, 20) == "not distinguishable"
    assert difference_interval([1.0] * 60, [str(n // 3) for n in range(60)]).low > 0.8


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30), st.integers(1, 30)
)
def test_an_interval_holds_its_mean_and_stays_in_range(values: list[float], size: int) -> None:
    families = [str(index // size) for index in range(len(values))]
    interval = mean_interval(values, families, seed=1)
    assert 0.0 <= interval.low <= interval.mean <= interval.high <= 1.0
    assert np.isfinite([interval.low, interval.high, interval.error]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_raises_p_values_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(1.0 >= a >= p for a, p in zip(adjusted, p_values, strict=True))
    by_value = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in by_value] == sorted(adjusted)


@pytest.mark.parametrize("num_pairs", [1, 3, 6, 10, 15, 28])
def test_as_many_families_as_are_asked_for_can_show_a_difference(num_pairs: int) -> None:
    """One family fewer than `fewest_families` cannot, be the difference the largest there is."""
    least = fewest_families(num_pairs)

    def best_p(num_families: int) -> float:
        families = [str(number) for number in range(num_families)]
        p = sign_flip_p([1.0] * num_families, families, seed=0)
        return holm([p, *[1.0] * (num_pairs - 1)])[0]

    assert best_p(least) <= 0.05
    assert least == FEWEST_FAMILIES or best_p(least - 1) > 0.05

"""Rows become results: each arm's means with intervals, tokens, times and costs, and the paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from pericia.config import PriceConfig
from pericia.evaluate.scores import RIGHT_FROM, SCORES
from pericia.evaluate.stats import (
    Interval,
    clustered_interval,
    difference_interval,
    holm,
    mean_interval,
    sign_flip_p,
    verdict,
)
from pericia.types import ArmResult, BreakEven, Pair, Question, Row, Score, Usage

# a month of requests carries one training for each time that the facts change; stable facts carry it for a year
TRAININGS_A_MONTH = {
    "never": 1 / 12,
    "yearly": 1 / 12,
    "monthly": 1.0,
    "weekly": 52 / 12,
    "daily": 365 / 12,
}
RIGHT = "right"  # the share of answers that count as right, shown beside the scores


@dataclass(frozen=True, slots=True)
class Spending:
    """What requests and trainings cost. `train_s` holds the seconds of training of each tuned arm.

    `own_prices` are those of arms that differ from the others, such as a remote model.
    """

    prices: PriceConfig
    requests_per_month: int = 1000
    data_change: str = "yearly"
    train_s: Mapping[str, float] = field(default_factory=dict)
    own_prices: Mapping[str, PriceConfig] = field(default_factory=dict)

    @property
    def is_priced(self) -> bool:
        return any(
            price
            for prices in (self.prices, *self.own_prices.values())
            for price in (
                prices.token_in,
                prices.token_out,
                prices.machine_hour,
                prices.person_hour,
            )
        )

    def of_request(self, arm: str, usage: Usage) -> float:
        """Return the cost of a request.

        Example:
            >>> prices = PriceConfig(token_in=2.0, token_out=10.0, machine_hour=0.36)
            >>> round(Spending(prices).of_request("rag", Usage(1000, 20, 2000.0)), 6)  # 2000 + 200 + 200 millionths
            0.0024
        """
        prices = self._of(arm)
        tokens = usage.tokens_in * prices.token_in + usage.tokens_out * prices.token_out
        return tokens / 1e6 + usage.latency_ms / 3.6e6 * prices.machine_hour

    def of_training(self, arm: str) -> float:
        """Return the one-off cost of a tuned arm, 0 for the others: its training and the hours spent on examples."""
        if arm not in self.train_s:
            return 0.0
        prices = self._of(arm)
        machine = self.train_s[arm] / 3600 * prices.machine_hour
        return machine + prices.data_hours * prices.person_hour

    def share_of_training(self, arm: str) -> float:
        """Return what a request carries of the trainings of its month."""
        a_month = TRAININGS_A_MONTH[self.data_change] * self.of_training(arm)
        return a_month / self.requests_per_month

    def _of(self, arm: str) -> PriceConfig:
        return self.own_prices.get(arm, self.prices)


def respread(result: ArmResult, data_change: str, requests_per_month: int) -> ArmResult:
    """Return an arm's result with its trainings spread over another number of requests or changes."""
    share = TRAININGS_A_MONTH[data_change] * result.cost_one_off / requests_per_month
    whole = result.cost_per_request + share
    a_right = None if result.cost_per_correct is None else whole / result.scores[RIGHT].mean
    return replace(result, cost_with_training=whole, cost_per_correct=a_right)


def summarise_arms(
    rows: Sequence[Row],
    questions: Sequence[Question],
    arms: Sequence[str],
    primary: str,
    spending: Spending,
    seed: int,
    kinds: Mapping[str, str] | None = None,
) -> dict[str, ArmResult]:
    """Return each arm's result on these questions; a score stands there if it applies to any of the arm's answers.

    `kinds` says which of the five an arm is whose name does not.
    """
    family_of = {question.id: question.family for question in questions}
    rows_of: dict[str, list[Row]] = {arm: [] for arm in arms}
    for row in rows:
        if row.question_id in family_of and row.arm in rows_of:
            rows_of[row.arm].append(row)
    return {
        arm: _summarise(
            arm, (kinds or {}).get(arm, arm), rows_of[arm], family_of, primary, spending, seed
        )
        for arm in arms
    }


def compare_arms(
    rows: Sequence[Row],
    questions: Sequence[Question],
    arms: Sequence[str],
    primary: str,
    seed: int,
) -> tuple[Pair, ...]:
    """Return the paired difference of the primary score for each two arms; p-values are Holm's over all pairs."""
    value = {(row.arm, row.question_id): row.scores[primary] for row in rows}
    families = [question.family for question in questions]
    num_families = len(set(families))
    duels = list(combinations(arms, 2))
    differences = [[value[a, q.id] - value[b, q.id] for q in questions] for a, b in duels]
    intervals = [difference_interval(values, families) for values in differences]
    adjusted = holm([sign_flip_p(values, families, seed) for values in differences])
    return tuple(
        Pair(
            a,
            b,
            primary,
            i.mean,
            max(-1.0, i.low),
            min(1.0, i.high),
            p,
            verdict(i, p, num_families),
        )
        for (a, b), i, p in zip(duels, intervals, adjusted, strict=True)
    )


def between(pairs: Sequence[Pair], a: str, b: str) -> Pair:
    """Return the difference `a - b`, turned round where the table holds `b - a`."""
    for pair in pairs:
        if (pair.a, pair.b) == (a, b):
            return pair
        if (pair.a, pair.b) == (b, a):
            turned = {"better": "worse", "worse": "better"}.get(pair.verdict, pair.verdict)
            return Pair(
                a,
                b,
                pair.score,
                -pair.difference,
                -pair.high,
                -pair.low,
                pair.p,
                turned,  # type: ignore[arg-type]
            )
    raise KeyError((a, b))


def break_even(
    rows: Sequence[Row],
    questions: Sequence[Question],
    cheap_to_make: str,
    cheap_to_run: str,
    primary: str,
    spending: Spending,
) -> BreakEven:
    """Return after how many requests the second arm has paid for what it cost to make, with its interval.

    Source: V* = (C_B - C_A) / [(c_A + (1 - p_A) w) - (c_B + (1 - p_B) w)] with one-off costs C, costs a request c,
    shares of right answers p and the cost of a wrong answer w; the ends come from the interval of the denominator,
    which is a paired difference by family as any other.
    """
    asked = {question.id: question.family for question in questions}
    price_of_wrong = spending.prices.wrong_answer

    def costs(arm: str) -> dict[str, float]:
        return {
            row.question_id: spending.of_request(arm, row.answer.usage)
            + price_of_wrong * (row.scores[primary] < RIGHT_FROM)
            for row in rows
            if row.arm == arm and row.question_id in asked
        }

    first, second = costs(cheap_to_make), costs(cheap_to_run)
    saved = clustered_interval([first[i] - second[i] for i in asked], list(asked.values()))
    more = max(0.0, spending.of_training(cheap_to_run) - spending.of_training(cheap_to_make))
    requests, soonest, latest = (
        requests_to_save(more, each) for each in (saved.mean, saved.high, saved.low)
    )
    return BreakEven(cheap_to_make, cheap_to_run, requests, soonest, latest)


def requests_to_save(one_off: float, saved: float) -> float | None:
    """Return how many requests that save so much each pay a one-off cost, None for never.

    Example:
        >>> requests_to_save(100.0, 0.002), requests_to_save(100.0, 0.0)
        (50000.0, None)
    """
    return one_off / saved if saved > 0 else None


def thoughtless_scores(questions: Sequence[Question]) -> dict[str, float]:
    """Return which share of the questions is right without any thought: refusing always, or one answer for all."""
    refused = sum(not question.answerable for question in questions) / len(questions)
    answers = [answer for question in questions for answer in question.answers[:1]]
    commonest = max(sorted(set(answers)), key=answers.count, default="")
    share = sum(commonest in question.answers for question in questions) / len(questions)
    return {"always refuse": refused, "constant answer": share}


def _summarise(
    arm: str,
    kind: str,
    rows: Sequence[Row],
    family_of: Mapping[str, str],
    primary: str,
    spending: Spending,
    seed: int,
) -> ArmResult:
    scores = {}
    for name in SCORES:
        having = [row for row in rows if name in row.scores]
        if having:
            interval = _interval([row.scores[name] for row in having], having, family_of, seed)
            scores[name] = Score(interval.mean, interval.low, interval.high)
    right = [float(row.scores[primary] >= RIGHT_FROM) for row in rows]
    share = _interval(right, rows, family_of, seed)
    scores[RIGHT] = Score(share.mean, share.low, share.high)
    usage = [row.answer.usage for row in rows]
    latencies = [u.latency_ms for u in usage]
    firsts = [u.first_token_ms for u in usage if u.first_token_ms is not None]
    cost = float(np.mean([spending.of_request(arm, u) for u in usage]))
    whole = cost + spending.share_of_training(arm)
    return ArmResult(
        n=len(rows),
        scores=scores,
        tokens_in=float(np.mean([u.tokens_in for u in usage])),
        tokens_out=float(np.mean([u.tokens_out for u in usage])),
        latency_ms_p50=float(np.quantile(latencies, 0.5)),
        latency_ms_p95=float(np.quantile(latencies, 0.95)),
        cost_per_request=cost,
        cost_one_off=spending.of_training(arm),
        cost_per_correct=whole / share.mean if spending.is_priced and share.mean else None,
        train_s=spending.train_s.get(arm, 0.0),
        first_token_ms_p50=float(np.quantile(firsts, 0.5)) if firsts else None,
        first_token_ms_p95=float(np.quantile(firsts, 0.95)) if firsts else None,
        cost_with_training=whole,
        kind=kind,
    )


def _interval(
    values: Sequence[float], rows: Sequence[Row], family_of: Mapping[str, str], seed: int
) -> Interval:
    return mean_interval(values, [family_of[row.question_id] for row in rows], seed)

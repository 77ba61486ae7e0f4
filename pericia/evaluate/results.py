"""Rows become results: each arm's means with intervals, tokens, times and costs, and the paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pericia.config import PriceConfig
from pericia.evaluate.scores import RIGHT_FROM, SCORES
from pericia.evaluate.stats import (
    Interval,
    clustered_interval,
    holm,
    mean_interval,
    sign_flip_p,
    verdict,
)
from pericia.types import ArmResult, Pair, Question, Row, Score

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
    """What requests and trainings cost. `train_s` holds the seconds of training of each tuned arm."""

    prices: PriceConfig
    requests_per_month: int = 1000
    data_change: str = "yearly"
    train_s: Mapping[str, float] | None = None

    @property
    def is_priced(self) -> bool:
        return any(
            (
                self.prices.token_in,
                self.prices.token_out,
                self.prices.machine_hour,
                self.prices.person_hour,
            )
        )

    def of_request(self, tokens_in: float, tokens_out: float, latency_ms: float) -> float:
        """Return the cost of a mean request."""
        tokens = tokens_in * self.prices.token_in + tokens_out * self.prices.token_out
        return tokens / 1e6 + latency_ms / 3.6e6 * self.prices.machine_hour

    def of_training(self, arm: str) -> float:
        """Return the one-off cost of a tuned arm, 0 for the others: its training and the hours spent on examples."""
        if not self.train_s or arm not in self.train_s:
            return 0.0
        machine = self.train_s[arm] / 3600 * self.prices.machine_hour
        return machine + self.prices.data_hours * self.prices.person_hour


def summarise_arms(
    rows: Sequence[Row],
    questions: Sequence[Question],
    arms: Sequence[str],
    primary: str,
    spending: Spending,
    seed: int,
) -> dict[str, ArmResult]:
    """Return each arm's result over its rows; a score stands there if it applies to any of the arm's answers."""
    family_of = {question.id: question.family for question in questions}
    return {
        arm: _summarise(arm, [r for r in rows if r.arm == arm], family_of, primary, spending, seed)
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
    intervals = [clustered_interval(values, families) for values in differences]
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


def break_even_requests(cheap_to_make: ArmResult, cheap_to_run: ArmResult) -> float | None:
    """Return after how many requests the second arm has paid for its training, None for never.

    Source: (C_B - C_A) / (c_A - c_B), with one-off costs C and costs a request c; wrong answers cost nothing here.
    """
    saved = cheap_to_make.cost_per_request - cheap_to_run.cost_per_request
    more = cheap_to_run.cost_one_off - cheap_to_make.cost_one_off
    return max(0.0, more / saved) if saved > 0 else None


def thoughtless_scores(questions: Sequence[Question]) -> dict[str, float]:
    """Return which share of the questions is right without any thought: refusing always, or one answer for all."""
    refused = sum(not question.answerable for question in questions) / len(questions)
    answers = [answer for question in questions for answer in question.answers[:1]]
    commonest = max(sorted(set(answers)), key=answers.count, default="")
    share = sum(commonest in question.answers for question in questions) / len(questions)
    return {"always refuse": refused, "constant answer": share}


def _summarise(
    arm: str,
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
    tokens_in = float(np.mean([u.tokens_in for u in usage]))
    tokens_out = float(np.mean([u.tokens_out for u in usage]))
    latencies = [u.latency_ms for u in usage]
    cost = spending.of_request(tokens_in, tokens_out, float(np.mean(latencies)))
    one_off = spending.of_training(arm)
    a_month = TRAININGS_A_MONTH[spending.data_change] * one_off / spending.requests_per_month
    return ArmResult(
        n=len(rows),
        scores=scores,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        latency_ms_p50=float(np.quantile(latencies, 0.5)),
        latency_ms_p95=float(np.quantile(latencies, 0.95)),
        cost_per_request=cost,
        cost_one_off=one_off,
        cost_per_correct=(cost + a_month) / share.mean
        if spending.is_priced and share.mean
        else None,
        train_s=(spending.train_s or {}).get(arm, 0.0),
    )


def _interval(
    values: Sequence[float], rows: Sequence[Row], family_of: Mapping[str, str], seed: int
) -> Interval:
    return mean_interval(values, [family_of[row.question_id] for row in rows], seed)

"""Scripted arms through results and advice: rates in, a recommendation out."""

from collections.abc import Mapping

import numpy as np

from pericia.config import ARM_NAMES, PriceConfig, UseConfig
from pericia.evaluate.evidence import Evidence
from pericia.evaluate.recommend import recommend
from pericia.evaluate.results import Spending, compare_arms, summarise_arms
from pericia.evaluate.stats import detectable_difference
from pericia.types import Answer, Pair, Question, Recommendation, Row, Usage, Verdict
from tests.evaluate.worlds import Sizes, families_of, scripted_scores


def evidence_of(
    rates: tuple[float, ...],
    sizes: Sizes,
    seed: int,
    *,
    use: UseConfig | None = None,
    arms: tuple[str, ...] = ARM_NAMES,
    num_examples: int = 500,
    num_contradictions: int = 0,
    latency_ms: Mapping[str, float] | None = None,
) -> Evidence:
    """Return what a run with these true rates of right answers would find."""
    families = families_of(sizes)
    questions = [Question(f"q{n}", "?", ("a",), family=f) for n, f in enumerate(families)]
    scores = scripted_scores(sizes, rates, 0.2, np.random.default_rng(seed))
    rows = [
        Row(
            question.id,
            arm,
            Answer("a", usage=Usage(100, 5, (latency_ms or {}).get(arm, 10.0))),
            {"exact": float(value)},
            "",
        )
        for arm, values in zip(arms, scores, strict=True)
        for question, value in zip(questions, values, strict=True)
    ]
    pairs = compare_arms(rows, questions, arms, "exact", seed)
    return Evidence(
        arms=summarise_arms(rows, questions, arms, "exact", Spending(PriceConfig()), seed),
        pairs=pairs,
        primary="exact",
        num_questions=len(questions),
        num_families=len(sizes),
        detectable=detectable_difference(families, len(pairs)),
        smallest_gain=0.05,
        use=use or UseConfig(goal="g"),
        num_examples=num_examples,
        num_contradictions=num_contradictions,
    )


def advise(
    rates: tuple[float, ...],
    sizes: Sizes,
    seed: int,
    *,
    use: UseConfig | None = None,
    arms: tuple[str, ...] = ARM_NAMES,
    num_examples: int = 500,
    num_contradictions: int = 0,
    latency_ms: Mapping[str, float] | None = None,
) -> Recommendation:
    return recommend(
        evidence_of(
            rates,
            sizes,
            seed,
            use=use,
            arms=arms,
            num_examples=num_examples,
            num_contradictions=num_contradictions,
            latency_ms=latency_ms,
        )
    )


def fixed_evidence(
    *,
    means: Mapping[str, float],
    cost_per_request: Mapping[str, float],
    one_off: Mapping[str, float],
    requests_per_month: int,
) -> Evidence:
    """Return evidence in which means are known for certain: arms of equal mean tie, all others are apart."""
    from pericia.types import ArmResult, Score

    arms = {
        arm: ArmResult(
            n=200,
            scores={"exact": Score(mean, mean, mean)},
            tokens_in=100.0,
            tokens_out=5.0,
            latency_ms_p50=10.0,
            latency_ms_p95=10.0,
            cost_per_request=cost_per_request[arm],
            cost_one_off=one_off.get(arm, 0.0),
            cost_per_correct=(
                cost_per_request[arm] + one_off.get(arm, 0.0) / 12 / requests_per_month
            )
            / mean,
        )
        for arm, mean in means.items()
    }
    names = list(means)
    pairs = []
    for index, a in enumerate(names):
        for b in names[index + 1 :]:
            gap = means[a] - means[b]
            word: Verdict = "better" if gap > 0 else "worse" if gap < 0 else "not distinguishable"
            pairs.append(
                Pair(a, b, "exact", gap, gap - 0.01, gap + 0.01, 0.001 if gap else 1.0, word)
            )
    return Evidence(
        arms=arms,
        pairs=pairs,
        primary="exact",
        num_questions=200,
        num_families=200,
        detectable=0.1,
        smallest_gain=0.05,
        use=UseConfig(goal="g", requests_per_month=requests_per_month),
        num_examples=500,
    )

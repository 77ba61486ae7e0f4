"""Scripted arms through results and advice: rates in, a recommendation out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pericia.config import ARM_NAMES, PriceConfig, UseConfig
from pericia.evaluate.evidence import Evidence
from pericia.evaluate.power import detectable_difference
from pericia.evaluate.recommend import MEND_DATA, NOT_GOOD, TOO_FEW, recommend
from pericia.evaluate.results import Spending, compare_arms, summarise_arms
from pericia.types import Answer, ArmResult, Pair, Question, Recommendation, Row, Score, Usage
from tests.evaluate.worlds import Sizes, families_of, scripted_scores

USE = UseConfig(goal="g")
FREE = Spending(PriceConfig())
PLANNED: Sizes = (5,) * 40  # 200 questions about 40 documents: what the handbook asks a team for


@dataclass(frozen=True)
class Script:
    """A world of known truth: the share of right answers of each arm, in the order of `arms`, and what goes with it."""

    rates: tuple[float, ...]
    right: frozenset[str] = frozenset()
    use: UseConfig = USE
    arms: tuple[str, ...] = ARM_NAMES
    kind: str = ""
    num_examples: int = 500
    num_contradictions: int = 0
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    tokens_in: Mapping[str, float] = field(default_factory=dict)
    spending: Spending = FREE


def evidence_of(script: Script, sizes: Sizes, seed: int) -> Evidence:
    """Return what a run with these true rates of right answers would find."""
    families = families_of(sizes)
    questions = [Question(f"q{n}", "?", ("a",), family=f) for n, f in enumerate(families)]
    scores = scripted_scores(sizes, script.rates, 0.2, np.random.default_rng(seed))
    rows = [
        Row(question.id, arm, _answer(script, arm), {"exact": float(value)}, "")
        for arm, values in zip(script.arms, scores, strict=True)
        for question, value in zip(questions, values, strict=True)
    ]
    pairs = compare_arms(rows, questions, script.arms, "exact", seed)
    return Evidence(
        arms=summarise_arms(rows, questions, script.arms, "exact", script.spending, seed),
        pairs=pairs,
        primary="exact",
        num_questions=len(questions),
        num_families=len(sizes),
        detectable=detectable_difference(families, len(pairs)),
        smallest_gain=0.05,
        use=script.use,
        main_kind=script.kind,
        num_examples=script.num_examples,
        num_contradictions=script.num_contradictions,
    )


def _answer(script: Script, arm: str) -> Answer:
    tokens_in = int(script.tokens_in.get(arm, 100))
    return Answer("a", usage=Usage(tokens_in, 5, script.latency_ms.get(arm, 10.0)))


def advise(script: Script, sizes: Sizes, seed: int) -> Recommendation:
    return recommend(evidence_of(script, sizes, seed))


# --- the worlds of the design, section 3 ------------------------------------------------------------------

HONEST = frozenset({TOO_FEW})  # never wrong, though not what one hoped for
UNTUNED = frozenset({"prompt", "few_shot", "rag", NOT_GOOD})
EFFECT = 0.3  # what the arms that have an effect are above those that have none
LOW, HIGH = 0.35, 0.35 + EFFECT


def _only(arm: str) -> frozenset[str]:
    return frozenset({arm})


def _rates(*high: str) -> tuple[float, ...]:
    return tuple(HIGH if arm in high else LOW for arm in ARM_NAMES)


def _priced(requests_per_month: int) -> Spending:
    prices = PriceConfig(token_in=2.0, person_hour=50.0, data_hours=40.0)
    tuned = {"fine_tuned": 600.0, "rag_fine_tuned": 600.0}
    return Spending(prices, requests_per_month, "yearly", tuned)


_WEEKLY = UseConfig(goal="g", data_change="weekly")
_CITED = UseConfig(goal="g", citations_required=True)
_LONG = {"few_shot": 900.0, "rag": 1500.0, "rag_fine_tuned": 1500.0}
_BOTH_EQUAL = _rates("few_shot", "fine_tuned")
SCRIPTS: dict[str, Script] = {
    "W0": Script((0.6,) * 5, _only("prompt")),
    "W1": Script(_rates("rag", "rag_fine_tuned"), _only("rag")),
    "W2": Script(_rates("fine_tuned", "rag_fine_tuned"), _only("fine_tuned")),
    "W3a": Script(_rates("few_shot"), UNTUNED, num_examples=10),
    "W3b": Script((0.6, 0.6, 0.6, 0.3, 0.3), _only(MEND_DATA), num_contradictions=150),
    "W3c": Script((LOW, LOW, HIGH, HIGH, 0.8), _only("rag"), _WEEKLY),
    "W4": Script((HIGH, HIGH, HIGH, 0.8, HIGH), _only("rag"), _CITED),
    "W5": Script(_rates("fine_tuned", "rag_fine_tuned"), _only("fine_tuned"), kind="terms"),
    "W6": Script(_rates("rag", "rag_fine_tuned"), _only("rag"), kind="several sources"),
    "W7": Script((0.1, 0.2, 0.4, 0.4, 0.4 + EFFECT), _only("rag_fine_tuned")),
    "W8": Script((HIGH,) * 5, _only("prompt")),
    "W9": Script(_rates("few_shot", "rag", "fine_tuned", "rag_fine_tuned"), _only("few_shot")),
    "W10": Script((LOW, LOW, HIGH, 0.05, LOW), _only("rag")),
    "W11": Script((HIGH, HIGH, LOW, HIGH, LOW), _only("prompt")),
    "W0 priced": Script((0.6,) * 5, _only("prompt"), tokens_in=_LONG, spending=_priced(10_000_000)),
    "W12 low": Script(_BOTH_EQUAL, _only("few_shot"), tokens_in=_LONG, spending=_priced(1_000)),
    "W12 high": Script(
        _BOTH_EQUAL, _only("fine_tuned"), tokens_in=_LONG, spending=_priced(10_000_000)
    ),
}


def outcomes(name: str, sizes: Sizes, seeds: range) -> dict[str, float]:
    """Return the shares of right, honest ("not enough questions to tell") and wrong advice, and of any verdict."""
    script, num = SCRIPTS[name], len(seeds)
    found = {"right": 0, "silent": 0, "wrong": 0, "any verdict": 0}
    for seed in seeds:
        evidence = evidence_of(script, sizes, seed)
        arm = recommend(evidence).arm
        found["right" if arm in script.right else "silent" if arm in HONEST else "wrong"] += 1
        found["any verdict"] += any(p.verdict != "not distinguishable" for p in evidence.pairs)
    return {key: count / num for key, count in found.items()}


def fixed_evidence(
    *,
    means: Mapping[str, float],
    cost_per_request: Mapping[str, float],
    one_off: Mapping[str, float],
    requests_per_month: int,
) -> Evidence:
    """Return evidence in which means are known for certain: arms of equal mean tie, all others are apart."""
    arms = {
        arm: ArmResult(
            n=200,
            scores={name: Score(mean, mean, mean) for name in ("exact", "right")},
            tokens_in=100.0,
            tokens_out=5.0,
            latency_ms_p50=10.0,
            latency_ms_p95=10.0,
            cost_per_request=cost_per_request[arm],
            cost_one_off=one_off.get(arm, 0.0),
            cost_with_training=(
                whole := cost_per_request[arm] + one_off.get(arm, 0.0) / 12 / requests_per_month
            ),
            cost_per_correct=whole / mean,
        )
        for arm, mean in means.items()
    }
    names = list(means)
    pairs = []
    for index, a in enumerate(names):
        for b in names[index + 1 :]:
            gap = means[a] - means[b]
            word = "better" if gap > 0 else "worse" if gap < 0 else "not distinguishable"
            pairs.append(
                Pair(
                    a,
                    b,
                    "exact",
                    gap,
                    gap - 0.01,
                    gap + 0.01,
                    0.001 if gap else 1.0,
                    word,  # type: ignore[arg-type]
                )
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

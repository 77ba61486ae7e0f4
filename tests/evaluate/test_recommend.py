"""The advice in worlds whose truth is set: right where an effect is there, silent where none is, careful elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from pericia.config import ARM_NAMES, UseConfig
from pericia.evaluate.kinds import OfKind
from pericia.evaluate.recommend import MEND_DATA, NOT_GOOD, TOO_FEW, recommend
from pericia.types import Score
from tests.evaluate.scripted import (
    PLANNED,
    SCRIPTS,
    Script,
    advise,
    evidence_of,
    fixed_evidence,
    outcomes,
)

NUM_RUNS = 25  # benchmarks/worlds_scripted.py has 1,000
SIZES = (5,) * 30


@pytest.mark.parametrize("world", [name for name in SCRIPTS if not name.startswith("W0")])
def test_worlds_with_an_effect_get_the_right_advice(world: str) -> None:
    found = outcomes(world, PLANNED, range(NUM_RUNS))
    assert found["right"] >= 0.8, found
    assert found["wrong"] <= 0.05, found


@pytest.mark.parametrize("world", ["W0", "W0 priced"])
def test_equal_arms_get_the_cheapest_or_silence(world: str) -> None:
    found = outcomes(world, PLANNED, range(60))
    assert found["wrong"] == 0.0, found
    assert found["any verdict"] <= 0.05, found


def test_required_citations_leave_arms_that_name_sources() -> None:
    use = UseConfig(goal="g", citations_required=True)
    advice = advise(Script((0.8, 0.8, 0.7, 0.8, 0.7), use=use), SIZES, 1)
    assert (advice.arm, advice.rule) == ("rag", "R4")
    assert any("names no sources" in reason for reason in advice.reasons)


def test_facts_that_change_each_month_speak_against_tuning() -> None:
    use = UseConfig(goal="g", data_change="monthly")
    advice = advise(Script((0.1, 0.1, 0.6, 0.3, 0.9), use=use), SIZES, 1)
    assert (advice.arm, advice.rule) == ("rag", "R3")


@pytest.mark.parametrize(
    ("use", "arms", "reason"),
    [
        (UseConfig(goal=""), ARM_NAMES, "no goal is stated"),
        (UseConfig(goal="g"), ("prompt", "fine_tuned"), "without the baseline few_shot, rag"),
    ],
)
def test_tuning_is_not_advised_without_goal_or_baselines(
    use: UseConfig, arms: tuple[str, ...], reason: str
) -> None:
    rates = dict(zip(ARM_NAMES, (0.5, 0.5, 0.5, 0.95, 0.95), strict=True))
    advice = advise(Script(tuple(rates[arm] for arm in arms), use=use, arms=arms), SIZES, 1)
    assert not advice.arm.endswith("fine_tuned")
    assert any(reason in text for text in advice.reasons)


def test_too_few_families_give_no_advice() -> None:
    advice = advise(Script((0.1, 0.1, 0.9, 0.1, 0.9)), (5,) * 7, 1)
    assert advice.arm == TOO_FEW
    assert "Until then use retrieval (RAG)" in advice.sentence


def test_a_model_that_cannot_do_it_is_not_advised() -> None:
    assert advise(Script((0.1, 0.1, 0.2, 0.1, 0.2)), SIZES, 1).arm == NOT_GOOD


def test_contradictory_examples_are_to_be_mended() -> None:
    advice = advise(replace(SCRIPTS["W3b"], num_contradictions=60, num_examples=200), SIZES, 1)
    assert advice.arm == MEND_DATA


def test_both_are_named_by_what_they_are_needed_for() -> None:
    """Facts in a form that a flow reads are scenario c; without a form, passages and the skill to read them."""
    evidence = evidence_of(SCRIPTS["W7"], SIZES, 1)
    assert recommend(evidence).rule == "R1+R2"
    form = {"format_json": Score(0.9, 0.8, 1.0)}
    arms = {n: replace(a, scores={**a.scores, **form}) for n, a in evidence.arms.items()}
    assert recommend(replace(evidence, arms=arms)).rule == "Sc"


def test_a_weak_spot_of_the_advised_arm_is_named() -> None:
    evidence = evidence_of(SCRIPTS["W1"], SIZES, 1)
    kinds = tuple(
        OfKind(kind, count, dict.fromkeys(evidence.arms, mean))
        for kind, count, mean in (("fact", 180, 0.7), ("table", 16, 0.1), ("date", 4, 0.0))
    )
    weak = [r for r in recommend(replace(evidence, by_kind=kinds)).reasons if "Weak" in r]
    assert weak == ["Weak spot: on the 16 questions of the kind 'table' it reaches 10.0 points."]


def test_arms_that_the_config_does_not_ask_for_are_named() -> None:
    advice = advise(Script((0.2, 0.3, 0.9), arms=("prompt", "few_shot", "rag")), SIZES, 1)
    assert "Fine-tuning was not measured (key evaluate.arms)." in advice.reasons


def test_slow_arms_are_dropped() -> None:
    use = UseConfig(goal="g", latency_limit_ms=50.0)
    slow = {"rag": 80.0, "rag_fine_tuned": 80.0}
    advice = advise(Script((0.5, 0.5, 0.9, 0.5, 0.9), use=use, latency_ms=slow), SIZES, 1)
    assert advice.arm == "prompt"
    assert any("over the limit of 50 ms" in reason for reason in advice.reasons)


@pytest.mark.parametrize(("volume", "arm"), [(100, "few_shot"), (1_000_000, "fine_tuned")])
def test_the_cheaper_arm_flips_at_the_volume(volume: int, arm: str) -> None:
    """W12: equal quality; tuning makes prompts shorter but must be paid for once."""
    evidence = fixed_evidence(
        means={
            "prompt": 0.2,
            "few_shot": 0.8,
            "rag": 0.3,
            "fine_tuned": 0.8,
            "rag_fine_tuned": 0.3,
        },
        cost_per_request={
            "few_shot": 0.001,
            "fine_tuned": 0.0002,
            "rag": 0.002,
            "rag_fine_tuned": 0.002,
            "prompt": 0.0002,
        },
        one_off={"fine_tuned": 100.0, "rag_fine_tuned": 100.0},
        requests_per_month=volume,
    )
    assert recommend(evidence).arm == arm


def test_every_advice_is_a_whole_sentence_with_reasons() -> None:
    random = np.random.default_rng(1)
    for seed in range(40):
        rates = tuple(random.uniform(0.05, 0.95, 5))
        advice = advise(Script(rates, num_examples=int(random.integers(0, 300))), SIZES, seed)
        assert advice.sentence.endswith(".")
        assert advice.reasons
        assert advice.confidence
        assert advice.next_step
        assert "nan" not in " ".join((advice.sentence, *advice.reasons, advice.confidence)).lower()

"""What would change the advice is computed: the same figures under another answer about the use."""

from dataclasses import replace

import pytest

from pericia.config import ARM_NAMES, UseConfig
from pericia.evaluate.evidence import Evidence
from pericia.evaluate.recommend import NOT_GOOD, TOO_FEW, recommend
from pericia.evaluate.whatif import with_changes, with_use
from tests.evaluate.scripted import SCRIPTS, Script, evidence_of, fixed_evidence

SIZES = (5,) * 40
BOTH = (0.1, 0.1, 0.5, 0.2, 0.9)  # passages help, and an adapter that reads them helps more
RAG_OR_TUNED = "the advice would be retrieval (RAG)"


def _of_arms(*values: float) -> dict[str, float]:
    return dict(zip(ARM_NAMES, values, strict=True))


def changes(evidence: Evidence) -> tuple[str, ...]:
    advice = recommend(evidence)
    return with_changes(advice, lambda use: with_use(evidence, use), evidence.use).would_change


def scripted(rates: tuple[float, ...] = BOTH, **use: object) -> tuple[str, ...]:
    script = Script(rates, use=UseConfig(goal="g").model_copy(update=use))
    return changes(evidence_of(script, SIZES, 1))


def test_facts_that_would_change_each_month() -> None:
    assert f"If the facts changed each month, {RAG_OR_TUNED}." in scripted()


def test_facts_that_would_stay() -> None:
    said = (
        "If the facts changed once a year or never, the advice would be retrieval with fine-tuning."
    )
    assert said in scripted(data_change="weekly")


@pytest.mark.parametrize(
    ("required", "said"),
    [
        (False, "If answers had to name their sources, the advice would be retrieval"),
        (True, "If answers did not have to name their sources, the advice would be fine-tuning."),
    ],
)
def test_sources_that_would_or_would_not_be_required(required: bool, said: str) -> None:
    found = scripted((0.1, 0.1, 0.5, 0.9, 0.5), citations_required=required)
    assert any(change.startswith(said) for change in found), found


def test_a_shorter_and_a_longer_time() -> None:
    slow = {"rag": 80.0, "rag_fine_tuned": 90.0}
    script = Script(BOTH, latency_ms=slow)
    said = f"If an answer had to come in less than 90 ms, {RAG_OR_TUNED}."
    assert said in changes(evidence_of(script, SIZES, 1))
    limited = replace(script, use=UseConfig(goal="g", latency_limit_ms=85.0))
    said = "Without the limit of 85 ms, the advice would be retrieval with fine-tuning."
    assert said in changes(evidence_of(limited, SIZES, 1))


def test_a_goal_and_a_lower_demand() -> None:
    said = "With a goal stated (key use.goal), the advice would be retrieval with fine-tuning."
    assert said in scripted(goal="")
    found = evidence_of(Script((0.02, 0.02, 0.25, 0.02, 0.02)), SIZES, 1)
    assert recommend(found).arm == NOT_GOOD
    assert f"If less were asked for (key use.good_enough), {RAG_OR_TUNED}." in changes(found)


def test_the_volume_at_which_the_cheaper_arm_flips() -> None:
    """100 USD of training a year, 0.0008 USD saved a request: 125,000 requests a year, 10,417 a month."""

    def evidence(requests_per_month: int) -> Evidence:
        return fixed_evidence(
            means=_of_arms(0.2, 0.8, 0.3, 0.8, 0.3),
            cost_per_request=_of_arms(0.0002, 0.001, 0.002, 0.0002, 0.002),
            one_off={"fine_tuned": 100.0, "rag_fine_tuned": 100.0},
            requests_per_month=requests_per_month,
        )

    above = [text for text in changes(evidence(100)) if text.startswith("From about")]
    below = [text for text in changes(evidence(1_000_000)) if text.startswith("Below about")]
    assert above[0].endswith("the advice would be fine-tuning.")
    assert below[0].endswith("the advice would be a prompt with solved examples.")
    for text in (*above, *below):
        assert int(text.split()[2].replace(",", "")) == pytest.approx(10_417, rel=0.06)


def test_advice_that_nothing_changes_says_so() -> None:
    sure = scripted((0.9, 0.1, 0.1, 0.1, 0.1), citations_required=False, latency_limit_ms=None)
    assert not any("each month" in change for change in sure)
    script = Script((0.9, 0.1, 0.1, 0.1, 0.1), arms=SCRIPTS["W0"].arms)
    evidence = evidence_of(script, SIZES, 1)
    stubborn = with_changes(recommend(evidence), lambda use: evidence, evidence.use)
    assert stubborn.would_change[-1].startswith("No other answer about the use")


def test_too_few_questions_are_too_few_for_any_use() -> None:
    evidence = evidence_of(Script(BOTH), (5,) * 7, 1)
    advice = recommend(evidence)
    assert advice.arm == TOO_FEW
    assert with_changes(advice, lambda use: with_use(evidence, use), evidence.use) == advice


def test_the_same_use_leaves_the_figures() -> None:
    evidence = evidence_of(SCRIPTS["W12 low"], SIZES, 1)
    assert with_use(evidence, evidence.use) == evidence

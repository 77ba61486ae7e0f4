"""Every rule, scenario and question of the checklist stands beside what was measured of it."""

from dataclasses import replace

import pytest

from pericia.config import UseConfig
from pericia.evaluate.kinds import JOINED, TERMS, OfKind, kind_of
from pericia.evaluate.losses import GENERAL, Probed
from pericia.evaluate.rules import Weighed, weigh_rules, weigh_tuning
from pericia.types import CurvePoint, Question, Score
from tests.evaluate.scripted import SCRIPTS, Script, evidence_of

SIZES = (5,) * 40


def rules(script: Script, **changes: object) -> dict[str, Weighed]:
    evidence = replace(evidence_of(script, SIZES, 1), **changes)  # type: ignore[arg-type]
    return {each.name.split()[0]: each for each in weigh_rules(evidence, ())}


def tuning(
    script: Script, probed: tuple[Probed, ...] = (), **changes: object
) -> dict[str, Weighed]:
    evidence = replace(evidence_of(script, SIZES, 1), **changes)  # type: ignore[arg-type]
    return {each.name: each for each in weigh_tuning(evidence, probed)}


def test_every_rule_and_question_is_there_with_its_figures() -> None:
    assert list(rules(SCRIPTS["W1"])) == ["R1", "R2", "R3", "R4", "Sa", "Sb", "Sc"]
    assert list(tuning(SCRIPTS["W1"])) == ["Use case", "Alternatives", "Costs", "Benefits"]


@pytest.mark.parametrize(
    ("world", "rule", "state"),
    [
        ("W1", "R1", "holds"),
        ("W1", "R2", "not shown"),
        ("W2", "R1", "not shown"),
        ("W2", "R2", "holds"),
        ("W11", "R1", "does not hold"),
        ("W3a", "R3", "holds"),  # ten examples
        ("W3b", "R3", "holds"),  # contradictory ones
        ("W3c", "R3", "holds"),  # facts that change each week
        ("W1", "R3", "does not hold"),
        ("W4", "R4", "holds"),
        ("W1", "R4", "not asked for"),
        ("W1", "Sc", "not asked for"),
    ],
)
def test_worlds_show_their_rule(world: str, rule: str, state: str) -> None:
    found = rules(SCRIPTS[world])[rule]
    assert found.state == state, found
    assert found.found.endswith(".")


def test_kinds_of_questions_speak_for_the_scenarios() -> None:
    arms = SCRIPTS["W5"].arms
    means = dict(zip(arms, (0.1, 0.2, 0.3, 0.8, 0.7), strict=True))
    of_terms = rules(SCRIPTS["W5"], by_kind=(OfKind(TERMS, 200, means),), main_kind=TERMS)
    assert of_terms["Sa"].state == "holds"
    assert "fine-tuning 80" in of_terms["Sa"].found
    few = rules(SCRIPTS["W5"], by_kind=(OfKind(JOINED, 20, means),), main_kind="fact")
    assert few["Sb"].state == "in part"
    assert few["Sb"].found.startswith("20 of 200 questions.")
    assert few["Sa"].state == "not asked for"


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (Question("q", "?", ("a",), kind="hops"), JOINED),
        (Question("q", "?", ("a",), ("x.md", "y.md"), kind="fact"), JOINED),
        (Question("q", "?", ("a",), kind="term"), TERMS),
        (Question("q", "?", ("a",), kind="table"), "table"),
        (Question("q", "?", ("a",), old_answers=("b",)), "changed"),
        (Question("q", "?", ()), "no answer in the documents"),
        (Question("q", "?", ("a",)), ""),
    ],
)
def test_the_kind_of_a_question(question: Question, kind: str) -> None:
    assert kind_of(question) == kind


def test_more_examples_are_weighed_by_the_curve() -> None:
    evidence = evidence_of(SCRIPTS["W1"], SIZES, 1)
    curve = tuple(
        CurvePoint("fine_tuned", n, Score(m, m, m)) for n, m in ((0, 0.1), (50, 0.3), (100, 0.5))
    )
    (data,) = (each for each in weigh_rules(evidence, curve) if each.name.startswith("R3"))
    assert "gains +20.0 points from the last half of the examples" in data.found.replace("−", "-")


def test_a_flow_is_asked_for_by_the_form_of_its_answers() -> None:
    evidence = evidence_of(SCRIPTS["W7"], SIZES, 1)
    form = {"format_json": Score(0.9, 0.8, 1.0)}
    arms = {n: replace(a, scores={**a.scores, **form}) for n, a in evidence.arms.items()}
    found = rules(SCRIPTS["W7"], arms=arms)["Sc"]
    assert found.state == "holds"
    assert "Answers of the right form: the plain prompt 90 %" in found.found


def test_the_checklist_says_no_where_it_is_no() -> None:
    bad = Script((0.6, 0.6, 0.6), arms=("prompt", "few_shot", "fine_tuned"), use=UseConfig())
    found = tuning(bad, num_examples=20)
    assert [each.state for each in found.values()][:3] == ["no", "no", "no"]
    assert found["Benefits"].state in ("no", "not shown")
    untuned = tuning(
        Script((0.6, 0.6), arms=("prompt", "rag")), left_out={"fine_tuned": "It cannot be tuned."}
    )
    assert untuned["Costs"] == Weighed(
        "Costs", found["Costs"].says, "not measured", "It cannot be tuned."
    )
    assert untuned["Benefits"].state == "not measured"


def test_what_training_unlearns_is_among_its_benefits() -> None:
    loss = Probed(GENERAL, "rag_fine_tuned", 24, 2.9, 9.0, 0.9, 0.6, 1.2)
    found = tuning(SCRIPTS["W7"], (loss,))["Benefits"]
    assert found.state == "yes"
    assert "+0.90 (+0.60 to +1.20) bits a byte" in found.found
    lost = tuning(SCRIPTS["W7"], (loss,), setbacks={"rag_fine_tuned": "it has unlearnt its end"})
    assert lost["Benefits"].state == "no"
    assert lost["Benefits"].found.endswith("it has unlearnt its end.")

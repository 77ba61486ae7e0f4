"""The rules of choice and the questions before fine-tuning, each held against what was measured.

Four rules (R1 to R4), three scenarios (Sa to Sc), and the checklist: use case, alternatives, costs, benefits. They
decide nothing: `recommend` does. They show on one page what speaks for and against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pericia.evaluate.evidence import CONTRADICTORY, FEW_EXAMPLES, Evidence, name_of
from pericia.evaluate.kinds import JOINED, TERMS
from pericia.evaluate.losses import GENERAL, Probed
from pericia.evaluate.phrases import (
    best_of,
    bits_of,
    difference,
    duration,
    examples,
    figure,
    reached,
    sentence,
    than_untuned,
)
from pericia.evaluate.results import between
from pericia.evaluate.wording import OFTEN
from pericia.said import Figure, joined, said
from pericia.types import CurvePoint

State = Literal[
    "holds", "does not hold", "in part", "not shown", "not measured", "not asked for", "yes", "no"
]

_CHANGE = {
    "never": said("no fact changes"),
    "yearly": said("the facts change yearly"),
    "monthly": said("the facts change monthly"),
    "weekly": said("the facts change weekly"),
    "daily": said("the facts change daily"),
}


@dataclass(frozen=True, slots=True)
class Weighed:
    """A rule or question, what it says, and what was measured of it."""

    name: str
    says: str
    state: State
    found: str


def weigh_rules(evidence: Evidence, curve: Sequence[CurvePoint]) -> tuple[Weighed, ...]:
    """Return the four rules and the three scenarios."""
    return (
        Weighed(
            said("R1 outside data"),
            said("The answer needs data from outside the model: retrieve."),
            *_gain(evidence, [("rag", best_of(evidence, ("prompt", "few_shot")))]),
        ),
        Weighed(
            said("R2 stable knowledge"),
            said(
                "Stable knowledge, terms and expression: fine-tune; retrieval can miss the nuance."
            ),
            *_gain(evidence, [("fine_tuned", "prompt"), ("rag_fine_tuned", "rag")]),
        ),
        Weighed(
            said("R3 data and change"),
            said("Few examples change little, and facts that change often make tuning a burden."),
            *_data(evidence, curve),
        ),
        Weighed(
            said("R4 findable sources"),
            said("Retrieval makes the source findable, so that errors can be corrected."),
            "holds" if evidence.use.citations_required else "not asked for",
            _citations(evidence),
        ),
        Weighed(
            said("Sa own vocabulary"),
            said("An industry with a vocabulary of its own: fine-tune."),
            *_kind(evidence, TERMS),
        ),
        Weighed(
            said("Sb joined knowledge"),
            said("Answers that join several pieces of knowledge: retrieve."),
            *_kind(evidence, JOINED),
        ),
        Weighed(
            said("Sc automated flow"),
            said("A flow that goes on with the answer needs facts and form: do both."),
            *_form(evidence),
        ),
    )


def weigh_tuning(evidence: Evidence, probed: Sequence[Probed]) -> tuple[Weighed, ...]:
    """Return the four questions that come before fine-tuning."""
    goal = evidence.use.goal.strip()
    gain = said(
        "a gain of %(n)s points of %(score)s counts",
        n=Figure(100 * evidence.smallest_gain),
        score=evidence.primary,
    )
    baselines = [arm for arm in ("prompt", "few_shot", "rag") if arm in evidence.arms]
    figures = joined([reached(evidence, arm) for arm in baselines], ", ")
    return (
        Weighed(
            said("Use case"),
            said("What should get better?"),
            "yes" if goal else "no",
            sentence(
                [
                    gain,
                    said("the goal: %(goal)s", goal=goal.rstrip("."))
                    if goal
                    else said("no goal is stated (key use.goal)"),
                ]
            ),
        ),
        Weighed(
            said("Alternatives"),
            said("Are the prompt, solved examples and retrieval measured?"),
            "yes" if len(baselines) == 3 else "no",
            sentence([said("%(figures)s points", figures=figures)])
            if baselines
            else said("None of them is measured."),
        ),
        Weighed(
            said("Costs"),
            said("Can it be tuned, are there enough good examples?"),
            *_costs(evidence),
        ),
        Weighed(
            said("Benefits"),
            said(
                "Is it better than the best alternative, or cheaper, and has it unlearnt nothing?"
            ),
            *_benefits(evidence, probed),
        ),
    )


# --- rules -----------------------------------------------------------------------------------------------


def _gain(evidence: Evidence, wanted: Sequence[tuple[str, str]]) -> tuple[State, str]:
    """Return whether the first of any two arms is better, and their differences."""
    pairs = [
        between(evidence.pairs, a, b)
        for a, b in wanted
        if a in evidence.arms and b in evidence.arms
    ]
    if not pairs:
        return "not measured", said("The arms that would show it have not run.")
    found = sentence([*map(difference, pairs)])
    if any(p.verdict == "better" and p.difference >= evidence.smallest_gain for p in pairs):
        return "holds", found
    none = all(p.verdict == "worse" or p.high < evidence.smallest_gain for p in pairs)
    return ("does not hold" if none else "not shown"), found


def _data(evidence: Evidence, curve: Sequence[CurvePoint]) -> tuple[State, str]:
    use, count, wrong = evidence.use, evidence.num_examples, evidence.num_contradictions
    parts = [
        examples(evidence),
        _CHANGE[use.data_change],
    ]
    for arm in dict.fromkeys(point.arm for point in curve):
        *_, half, whole = (point for point in curve if point.arm == arm)
        gain = Figure(100 * (whole.score.mean - half.score.mean), 1, is_signed=True)
        parts.append(
            said(
                "%(arm)s gains %(gain)s points from the last half of the examples",
                arm=name_of(arm),
                gain=gain,
            )
        )
    holds = use.data_change in OFTEN or count < FEW_EXAMPLES or wrong >= CONTRADICTORY * count
    return ("holds" if holds else "does not hold"), sentence(parts)


def _citations(evidence: Evidence) -> str:
    parts = []
    for arm in evidence.in_order():
        scores = evidence.arms[arm].scores
        if "citation_precision" in scores and "citation_recall" in scores:
            held, cited = (scores[f"citation_{part}"].mean for part in ("precision", "recall"))
            parts.append(
                said(
                    "%(arm)s: %(held)s %% of its citations hold, %(cited)s %% of its sentences carry one",
                    arm=name_of(arm),
                    held=Figure(100 * held),
                    cited=Figure(100 * cited),
                )
            )
    required = said("sources are not required")
    if evidence.use.citations_required:
        required = said("sources are required")
    return sentence([*parts, required])


def _kind(evidence: Evidence, kind: str) -> tuple[State, str]:
    of_kind = next((each for each in evidence.by_kind if each.kind == kind), None)
    if of_kind is None:
        return "not asked for", said("No question is of the kind '%(kind)s'.", kind=kind)
    best = max(of_kind.means.values())
    means = [figure(arm, 100 * mean) for arm, mean in of_kind.means.items()]
    found = said(
        "%(n)s of %(total)s questions. Points on them: %(figures)s.",
        n=of_kind.num_questions,
        total=evidence.num_questions,
        figures=joined(means, ", "),
    )
    if evidence.main_kind != kind:
        return "in part", found
    tuned = [m for arm, m in of_kind.means.items() if evidence.kind(arm).is_tuned]
    reading = [m for arm, m in of_kind.means.items() if evidence.kind(arm).needs_passages]
    return ("holds" if best in (tuned if kind == TERMS else reading) else "not shown"), found


def _form(evidence: Evidence) -> tuple[State, str]:
    parts = [
        said("%(arm)s %(n)s %%", arm=name_of(arm), n=Figure(100 * scores[name].mean))
        for arm in evidence.in_order()
        for name in ("format_json", "format_pattern")
        if name in (scores := evidence.arms[arm].scores)
    ]
    if not parts:
        return "not asked for", said("No form of answers is asked for (JSON, or evaluate.pattern).")
    both = [("rag_fine_tuned", "rag"), ("rag_fine_tuned", "fine_tuned")]
    state, gains = _gain(evidence, both)
    right = said("Answers of the right form: %(figures)s.", figures=joined(parts, ", "))
    return state, joined([right, gains])


# --- before fine-tuning ----------------------------------------------------------------------------------


def _costs(evidence: Evidence) -> tuple[State, str]:
    tuned = best_of(evidence, [a for a in evidence.arms if evidence.kind(a).is_tuned])
    if not tuned:
        reasons = [why for arm, why in evidence.left_out.items() if "fine_tuned" in arm]
        return "not measured", reasons[0] if reasons else said("No tuned arm has run.")
    count, wrong = evidence.num_examples, evidence.num_contradictions
    result = evidence.arms[tuned]
    parts = [examples(evidence)]
    if result.train_s:
        parts.append(said("training took %(time)s", time=duration(result.train_s)))
    if result.cost_one_off:
        parts.append(said("it and the examples cost %(n)s USD", n=Figure(result.cost_one_off, 2)))
    parts.append(
        said(
            "an answer takes %(n)s ms, %(other)s",
            n=Figure(result.latency_ms_p50),
            other=than_untuned(evidence, "ms"),
        )
    )
    good = count >= FEW_EXAMPLES and wrong < CONTRADICTORY * count
    return ("yes" if good else "no"), sentence(parts)


def _benefits(evidence: Evidence, probed: Sequence[Probed]) -> tuple[State, str]:
    tuned = best_of(evidence, [a for a in evidence.arms if evidence.kind(a).is_tuned])
    untuned = best_of(evidence, [a for a in evidence.arms if not evidence.kind(a).is_tuned])
    if not tuned or not untuned:
        return "not measured", said("No tuned arm stands beside one that is not.")
    state, _ = _gain(evidence, [(tuned, untuned)])
    parts = [difference(between(evidence.pairs, tuned, untuned))]
    read = evidence.arms[tuned].tokens_in
    parts.append(
        said(
            "a request has %(n)s tokens, %(other)s",
            n=Figure(read),
            other=than_untuned(evidence, "tokens"),
        )
    )
    evens = [
        e for e in evidence.break_even if (e.cheap_to_run, e.cheap_to_make) == (tuned, untuned)
    ]
    parts += [
        said("training is paid for after %(n)s requests", n=Figure(e.requests))
        if e.requests
        else said("never cheaper")
        for e in evens
    ]
    for each in probed:
        if each.arm == tuned and each.texts == GENERAL and each.change is not None:
            parts.append(
                said(
                    "the loss on general texts changes by %(bits)s bits a byte", bits=bits_of(each)
                )
            )
    if tuned in evidence.setbacks:
        return "no", sentence([*parts, evidence.setbacks[tuned]])
    answers: dict[State, State] = {"holds": "yes", "does not hold": "no"}
    return answers.get(state, state), sentence(parts)

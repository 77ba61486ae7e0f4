"""The rules of choice and the questions before fine-tuning, each held against what was measured.

Four rules (R1 to R4), three scenarios (Sa to Sc), and the checklist: use case, alternatives, costs, benefits. They
decide nothing: `recommend` does. They show on one page what speaks for and against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pericia.evaluate.evidence import (
    CONTRADICTORY,
    FEW_EXAMPLES,
    Evidence,
    mean_of,
    name_of,
    signed,
)
from pericia.evaluate.kinds import JOINED, TERMS
from pericia.evaluate.losses import GENERAL, Probed
from pericia.evaluate.results import between
from pericia.evaluate.wording import OFTEN
from pericia.types import CurvePoint, Pair

State = Literal[
    "holds", "does not hold", "in part", "not shown", "not measured", "not asked for", "yes", "no"
]


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
            "R1 outside data",
            "The answer needs data from outside the model: retrieve.",
            *_gain(evidence, [("rag", _best(evidence, ("prompt", "few_shot")))]),
        ),
        Weighed(
            "R2 stable knowledge",
            "Stable knowledge, terms and expression: fine-tune; retrieval can miss the nuance.",
            *_gain(evidence, [("fine_tuned", "prompt"), ("rag_fine_tuned", "rag")]),
        ),
        Weighed(
            "R3 data and change",
            "Few examples change little, and facts that change often make tuning a burden.",
            *_data(evidence, curve),
        ),
        Weighed(
            "R4 findable sources",
            "Retrieval makes the source findable, so that errors can be corrected.",
            "holds" if evidence.use.citations_required else "not asked for",
            _citations(evidence),
        ),
        Weighed(
            "Sa own vocabulary",
            "An industry with a vocabulary of its own: fine-tune.",
            *_kind(evidence, TERMS),
        ),
        Weighed(
            "Sb joined knowledge",
            "Answers that join several pieces of knowledge: retrieve.",
            *_kind(evidence, JOINED),
        ),
        Weighed(
            "Sc automated flow",
            "A flow that goes on with the answer needs facts and form: do both.",
            *_form(evidence),
        ),
    )


def weigh_tuning(evidence: Evidence, probed: Sequence[Probed]) -> tuple[Weighed, ...]:
    """Return the four questions that come before fine-tuning."""
    goal = evidence.use.goal.strip()
    gain = f"A gain of {100 * evidence.smallest_gain:.0f} points of {evidence.primary} counts"
    baselines = [arm for arm in ("prompt", "few_shot", "rag") if arm in evidence.arms]
    reached = ", ".join(f"{name_of(arm)} {_points(evidence, arm)}" for arm in baselines)
    return (
        Weighed(
            "Use case",
            "What should get better?",
            "yes" if goal else "no",
            _sentence(
                [
                    gain,
                    f"the goal: {goal.rstrip('.')}" if goal else "no goal is stated (key use.goal)",
                ]
            ),
        ),
        Weighed(
            "Alternatives",
            "Are the prompt, solved examples and retrieval measured?",
            "yes" if len(baselines) == 3 else "no",
            _sentence([f"{reached} points"]) if baselines else "None of them is measured.",
        ),
        Weighed("Costs", "Can it be tuned, are there enough good examples?", *_costs(evidence)),
        Weighed(
            "Benefits",
            "Is it better than the best alternative, or cheaper, and has it unlearnt nothing?",
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
        return "not measured", "The arms that would show it have not run."
    found = _sentence([*map(_difference, pairs)])
    if any(p.verdict == "better" and p.difference >= evidence.smallest_gain for p in pairs):
        return "holds", found
    none = all(p.verdict == "worse" or p.high < evidence.smallest_gain for p in pairs)
    return ("does not hold" if none else "not shown"), found


def _data(evidence: Evidence, curve: Sequence[CurvePoint]) -> tuple[State, str]:
    use, count, wrong = evidence.use, evidence.num_examples, evidence.num_contradictions
    parts = [
        _examples(evidence),
        f"the facts change {use.data_change}" if use.data_change != "never" else "no fact changes",
    ]
    for arm in dict.fromkeys(point.arm for point in curve):
        *_, half, whole = (point for point in curve if point.arm == arm)
        gain = signed(whole.score.mean - half.score.mean)
        parts.append(f"{name_of(arm)} gains {gain} points from the last half of the examples")
    holds = use.data_change in OFTEN or count < FEW_EXAMPLES or wrong >= CONTRADICTORY * count
    return ("holds" if holds else "does not hold"), _sentence(parts)


def _citations(evidence: Evidence) -> str:
    parts = []
    for arm in evidence.in_order():
        scores = evidence.arms[arm].scores
        if "citation_precision" in scores and "citation_recall" in scores:
            held, cited = (scores[f"citation_{part}"].mean for part in ("precision", "recall"))
            parts.append(
                f"{name_of(arm)}: {100 * held:.0f} % of its citations hold, "
                f"{100 * cited:.0f} % of its sentences carry one"
            )
    required = "" if evidence.use.citations_required else "not "
    return _sentence([*parts, f"sources are {required}required"])


def _kind(evidence: Evidence, kind: str) -> tuple[State, str]:
    of_kind = next((each for each in evidence.by_kind if each.kind == kind), None)
    if of_kind is None:
        return "not asked for", f"No question is of the kind '{kind}'."
    best = max(of_kind.means.values())
    arms = ", ".join(f"{name_of(arm)} {100 * mean:.0f}" for arm, mean in of_kind.means.items())
    found = (
        f"{of_kind.num_questions} of {evidence.num_questions} questions. Points on them: {arms}."
    )
    if evidence.main_kind != kind:
        return "in part", found
    tuned = [m for arm, m in of_kind.means.items() if evidence.kind(arm).is_tuned]
    reading = [m for arm, m in of_kind.means.items() if evidence.kind(arm).needs_passages]
    return ("holds" if best in (tuned if kind == TERMS else reading) else "not shown"), found


def _form(evidence: Evidence) -> tuple[State, str]:
    parts = [
        f"{name_of(arm)} {100 * scores[name].mean:.0f} %"
        for arm in evidence.in_order()
        for name in ("format_json", "format_pattern")
        if name in (scores := evidence.arms[arm].scores)
    ]
    if not parts:
        return "not asked for", "No form of answers is asked for (JSON, or evaluate.pattern)."
    both = [("rag_fine_tuned", "rag"), ("rag_fine_tuned", "fine_tuned")]
    state, gains = _gain(evidence, both)
    return state, f"Answers of the right form: {', '.join(parts)}. {gains}"


# --- before fine-tuning ----------------------------------------------------------------------------------


def _costs(evidence: Evidence) -> tuple[State, str]:
    tuned = _best(evidence, [a for a in evidence.arms if evidence.kind(a).is_tuned])
    if not tuned:
        reasons = [why for arm, why in evidence.left_out.items() if "fine_tuned" in arm]
        return "not measured", reasons[0] if reasons else "No tuned arm has run."
    count, wrong = evidence.num_examples, evidence.num_contradictions
    result = evidence.arms[tuned]
    parts = [_examples(evidence)]
    if result.train_s:
        parts.append(f"training took {_time(result.train_s)}")
    if result.cost_one_off:
        parts.append(f"it and the examples cost {result.cost_one_off:,.2f} USD")
    parts.append(f"an answer takes {result.latency_ms_p50:.0f} ms, {_than_untuned(evidence, 'ms')}")
    good = count >= FEW_EXAMPLES and wrong < CONTRADICTORY * count
    return ("yes" if good else "no"), _sentence(parts)


def _benefits(evidence: Evidence, probed: Sequence[Probed]) -> tuple[State, str]:
    tuned = _best(evidence, [a for a in evidence.arms if evidence.kind(a).is_tuned])
    untuned = _best(evidence, [a for a in evidence.arms if not evidence.kind(a).is_tuned])
    if not tuned or not untuned:
        return "not measured", "No tuned arm stands beside one that is not."
    state, gain = _gain(evidence, [(tuned, untuned)])
    parts = [gain.rstrip(".")]
    read = evidence.arms[tuned].tokens_in
    parts.append(f"a request has {read:.0f} tokens, {_than_untuned(evidence, 'tokens')}")
    evens = [
        e for e in evidence.break_even if (e.cheap_to_run, e.cheap_to_make) == (tuned, untuned)
    ]
    parts += [
        f"training is paid for after {e.requests:,.0f} requests" if e.requests else "never cheaper"
        for e in evens
    ]
    for each in probed:
        if each.arm == tuned and each.texts == GENERAL and each.change is not None:
            parts.append(f"the loss on general texts changes by {_bits(each)} bits a byte")
    if tuned in evidence.setbacks:
        return "no", _sentence([*parts, evidence.setbacks[tuned]])
    answers: dict[State, State] = {"holds": "yes", "does not hold": "no"}
    return answers.get(state, state), _sentence(parts)


def _bits(each: Probed) -> str:
    change, low, high = (f"{value or 0.0:+.2f}" for value in (each.change, each.low, each.high))
    return f"{change} ({low} to {high})".replace("-", "−")


def _than_untuned(evidence: Evidence, what: Literal["ms", "tokens"]) -> str:
    untuned = _best(evidence, [a for a in evidence.arms if not evidence.kind(a).is_tuned])
    if not untuned:
        return "with nothing to compare"
    result = evidence.arms[untuned]
    value = result.latency_ms_p50 if what == "ms" else result.tokens_in
    return f"{name_of(untuned)} {value:.0f}"


# --- words -----------------------------------------------------------------------------------------------


def _best(evidence: Evidence, arms: Sequence[str]) -> str:
    return max(
        (a for a in arms if a in evidence.arms), key=lambda a: mean_of(evidence, a), default=""
    )


def _difference(pair: Pair) -> str:
    ends = f"95 %: {signed(pair.low)} to {signed(pair.high)}"
    return f"{name_of(pair.a)} against {name_of(pair.b)} {signed(pair.difference)} points ({ends})"


def _points(evidence: Evidence, arm: str) -> str:
    return f"{100 * mean_of(evidence, arm):.1f}"


def _examples(evidence: Evidence) -> str:
    if not evidence.num_examples:
        return "no examples"
    wrong = evidence.num_contradictions
    return f"{evidence.num_examples} examples, {wrong or 'none'} of them contradicting another one"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."

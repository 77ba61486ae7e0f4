"""The advice: from measured results and the use to one arm, its rule, its reasons, and how sure they make us.

The order is: gates (goal, baselines, enough questions), constraints of the use that drop arms, the best mean of what
is left, all arms not distinguishable from it, and of these the cheapest. A tie goes to the cheaper arm.

Rules: R1 needs data from outside the model; R2 stable terms and expression; R3 change and small data speak against
tuning; R4 sources must be findable; Sa own vocabulary; Sb several pieces joined; Sc automated flow; cost; tie.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pericia.config import UseConfig
from pericia.evaluate.arms import ARMS
from pericia.evaluate.results import between, break_even_requests
from pericia.evaluate.stats import CONFIDENCE, FEWEST_FAMILIES, questions_needed
from pericia.types import ArmResult, Pair, Recommendation

TOO_FEW = "not enough questions to tell"
MEND_DATA = "mend the data first"
NOT_GOOD = "no arm is good enough"
REFUSALS = (TOO_FEW, MEND_DATA, NOT_GOOD)

FEW_EXAMPLES = 100  # below, tuning seldom changes anything: a small data set is rule R3
CONTRADICTORY = 0.1  # share of examples with a second answer from which on the data are at fault
OFTEN = ("monthly", "weekly", "daily")
NAMES = {
    "prompt": "the plain prompt",
    "few_shot": "a prompt with solved examples",
    "rag": "retrieval (RAG)",
    "fine_tuned": "fine-tuning",
    "rag_fine_tuned": "retrieval with fine-tuning",
}
_RULES = {
    "prompt": "cost",
    "few_shot": "cost",
    "rag": "R1",
    "fine_tuned": "R2",
    "rag_fine_tuned": "Sc",
}
_MEANINGS = {
    "R1": "the answers need data from outside the model",
    "R2": "the knowledge and its expression are stable enough to be learnt",
    "R3": "facts that change often make tuning a burden",
    "R4": "only answers with findable sources can be corrected",
    "Sa": "the industry has a vocabulary of its own",
    "Sb": "the answers join several pieces of knowledge",
    "Sc": "right facts in a learnt form need both",
    "cost": "nothing cheaper is as good",
    "tie": "no arm was shown to be better than it, and it is the cheapest",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the advice rests on. `kinds` says of which kind most questions are, "" if unknown."""

    arms: Mapping[str, ArmResult]
    pairs: Sequence[Pair]
    primary: str
    num_questions: int
    num_families: int
    detectable: float
    smallest_gain: float
    use: UseConfig
    main_kind: str = ""
    num_examples: int = 0
    num_contradictions: int = 0
    thoughtless: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def recommend(evidence: Evidence) -> Recommendation:
    """Return the advice; `arm` is an arm's name or one of `REFUSALS`."""
    eligible, dropped = _eligible(evidence)
    if not eligible:
        return _no_arm(evidence, tuple(dropped.values()), "no arm keeps the limits of the use")
    best = max(eligible, key=lambda arm: _mean(evidence, arm))
    alike = [arm for arm in eligible if _is_as_good(evidence, arm, best)]
    chosen = min(_worth_it(evidence, alike), key=lambda arm: _cost(evidence, arm))
    reasons = (
        *_numbers(evidence, chosen, best, eligible),
        *dropped.values(),
        *_about_data(evidence),
    )
    if evidence.num_families < FEWEST_FAMILIES:
        return _too_few(evidence, chosen, reasons)
    if (fault := _not_good_enough(evidence, best)) != "":
        return _no_arm(evidence, reasons, fault)
    if _data_are_at_fault(evidence, chosen):
        return _mend_data(evidence, chosen, reasons)
    if _may_hide_a_gain(evidence, chosen, best):
        return _too_few(evidence, chosen, reasons)
    rule = _rule(evidence, chosen, eligible, dropped)
    return Recommendation(
        arm=chosen,
        rule=rule,
        sentence=_sentence(evidence, chosen, rule),
        reasons=reasons,
        confidence=_confidence(evidence, chosen, eligible),
        would_change=_would_change(evidence, chosen, best),
        next_step=_next_step(evidence, chosen),
    )


# --- gates and constraints -----------------------------------------------------------------------------


def _eligible(evidence: Evidence) -> tuple[list[str], dict[str, str]]:
    """Return the arms that the use allows, cheapest kind first, and of each dropped one why, with its number."""
    use, dropped = evidence.use, {}
    baselines = [arm for arm in ("prompt", "few_shot", "rag") if arm not in evidence.arms]
    for arm in (name for name in ARMS if name in evidence.arms):
        name, scored = _title(arm), f"it reached {_points(_mean(evidence, arm))}"
        latency = evidence.arms[arm].latency_ms_p50
        if use.citations_required and not ARMS[arm].needs_passages:
            dropped[arm] = f"{name} is out: it names no sources, and they are required ({scored})."
        elif use.latency_limit_ms is not None and latency > use.latency_limit_ms:
            dropped[arm] = (
                f"{name} is out: {latency:.0f} ms are over the limit of {use.latency_limit_ms:.0f} ms ({scored})."
            )
        elif not ARMS[arm].is_tuned:
            continue
        elif baselines:
            missing = ", ".join(baselines)
            dropped[arm] = (
                f"{name} is out: without the baseline {missing} nothing shows its gain ({scored})."
            )
        elif use.data_change in OFTEN:
            dropped[arm] = (
                f"{name} is out: the facts change {use.data_change}, and it would be trained each time ({scored})."
            )
        elif not use.goal.strip():
            dropped[arm] = (
                f"{name} is out: no goal is stated (key use.goal), and tuning without one is aimless ({scored})."
            )
    return [arm for arm in ARMS if arm in evidence.arms and arm not in dropped], dropped


def _not_good_enough(evidence: Evidence, best: str) -> str:
    mean = _mean(evidence, best)
    if mean < evidence.use.good_enough:
        return f"the best arm, {best}, reaches {_points(mean)}, and {_points(evidence.use.good_enough)} are asked for"
    for name, value in evidence.thoughtless.items():
        if mean <= value:
            return f"the best arm, {best}, reaches {_points(mean)}, and '{name}' alone {_points(value)}"
    return ""


def _data_are_at_fault(evidence: Evidence, chosen: str) -> bool:
    """Return whether contradictory examples stand behind a tuned arm that is advised, or worse than its base."""
    if evidence.num_contradictions < CONTRADICTORY * max(1, evidence.num_examples):
        return False
    harmed = any(
        tuned in evidence.arms
        and base in evidence.arms
        and between(evidence.pairs, tuned, base).verdict == "worse"
        for tuned, base in (("fine_tuned", "prompt"), ("rag_fine_tuned", "rag"))
    )
    return ARMS[chosen].is_tuned or harmed


def _may_hide_a_gain(evidence: Evidence, chosen: str, best: str) -> bool:
    """Return whether the best mean looks like a useful gain over the chosen arm that these questions cannot show."""
    return (
        chosen != best
        and evidence.detectable > evidence.smallest_gain
        and _mean(evidence, best) - _mean(evidence, chosen) >= evidence.detectable / 2
    )


# --- the choice ------------------------------------------------------------------------------------------


def _is_as_good(evidence: Evidence, arm: str, best: str) -> bool:
    if arm == best:
        return True
    pair = between(evidence.pairs, best, arm)
    return pair.verdict != "better" or pair.difference < evidence.smallest_gain


def _worth_it(evidence: Evidence, alike: Sequence[str]) -> list[str]:
    """Return the arms of a tie without the tuned ones that show no benefit above their cost.

    With nothing but a tie, the benefit is money: as right as the best untuned arm, and cheaper with its training.
    """
    untuned = [arm for arm in alike if not ARMS[arm].is_tuned]
    if not untuned:
        return list(alike)
    rival = max(untuned, key=lambda arm: _mean(evidence, arm))

    def pays(arm: str) -> bool:
        price, rival_price = (evidence.arms[a].cost_per_correct for a in (arm, rival))
        is_cheaper = price is not None and rival_price is not None and price < rival_price
        return is_cheaper and _mean(evidence, arm) > _mean(evidence, rival) - evidence.smallest_gain

    return [arm for arm in alike if not ARMS[arm].is_tuned or pays(arm)]


def _cost(evidence: Evidence, arm: str) -> tuple[float, int]:
    """Return what orders arms by cost: a correct answer's price where there are prices, then the order of ARMS."""
    price = evidence.arms[arm].cost_per_correct
    return (0.0 if price is None else price, list(ARMS).index(arm))


def _rule(
    evidence: Evidence, chosen: str, eligible: Sequence[str], dropped: Mapping[str, str]
) -> str:
    cheaper = [a for a in eligible if _cost(evidence, a) < _cost(evidence, chosen)]
    better_elsewhere = [a for a in dropped if _mean(evidence, a) > _mean(evidence, chosen)]
    if evidence.use.citations_required and chosen == "rag":
        return "R4"
    if (
        better_elsewhere
        and evidence.use.data_change in OFTEN
        and any(ARMS[a].is_tuned for a in better_elsewhere)
    ):
        return "R3"
    if not cheaper and len(eligible) > 1:
        rivals = [a for a in eligible if a != chosen]
        is_best = all(between(evidence.pairs, chosen, a).verdict == "better" for a in rivals)
        priced = evidence.arms[chosen].cost_per_correct is not None
        if not is_best:
            return "cost" if priced else "tie"
    if chosen == "rag" and evidence.main_kind == "several hops":
        return "Sb"
    if chosen == "fine_tuned" and evidence.main_kind == "term":
        return "Sa"
    return _RULES[chosen]


# --- words -------------------------------------------------------------------------------------------------


def _sentence(evidence: Evidence, chosen: str, rule: str) -> str:
    reached = _points(_mean(evidence, chosen))
    against = ""
    if not ARMS[chosen].is_tuned and any(ARMS[arm].is_tuned for arm in evidence.arms):
        against = " Do not fine-tune."
    return f"Use {NAMES[chosen]}: it reaches {reached}, and {_MEANINGS[rule]}.{against}"


def _numbers(
    evidence: Evidence, chosen: str, best: str, eligible: Sequence[str]
) -> tuple[str, ...]:
    score = evidence.arms[chosen].scores[evidence.primary]
    reasons = [
        f"{_title(chosen)} reaches {_points(score.mean)} ({_range(score.low, score.high)}) of {evidence.primary} "
        f"on {evidence.num_questions} questions."
    ]
    if chosen != best:
        reasons.append(
            f"{_title(best)} has the best mean, {_points(_mean(evidence, best))}, but not by a shown and useful gain."
        )
    for other in (arm for arm in eligible if arm != chosen):
        pair = between(evidence.pairs, chosen, other)
        verb = {"better": "is better than", "worse": "is worse than"}.get(
            pair.verdict, "is not distinguishable from"
        )
        small = ""
        if max(abs(pair.low), abs(pair.high)) < evidence.smallest_gain:
            small = "; any difference is too small to matter"
        reasons.append(
            f"{_title(chosen)} {verb} {NAMES[other]}: {signed(pair.difference)} points "
            f"({_range(pair.low, pair.high, with_sign=True)}, p {_p(pair.p)}){small}."
        )
    return tuple(reasons)


def _about_data(evidence: Evidence) -> tuple[str, ...]:
    reasons = list(evidence.left_out.values())
    tuned = [arm for arm in evidence.arms if ARMS[arm].is_tuned]
    if tuned and evidence.num_examples < FEW_EXAMPLES:
        reasons.append(
            f"{evidence.num_examples} examples are too little data to judge fine-tuning by (R3)."
        )
    if evidence.num_contradictions:
        reasons.append(
            f"{evidence.num_contradictions} of {evidence.num_examples} examples contradict another one."
        )
    return tuple(reasons)


def _confidence(evidence: Evidence, chosen: str, eligible: Sequence[str]) -> str:
    rivals = [between(evidence.pairs, chosen, arm) for arm in eligible if arm != chosen]
    shown = [pair for pair in rivals if pair.verdict == "better"]
    if not rivals:
        return "low: nothing was left to compare it with"
    if len(shown) == len(rivals):
        least = min(pair.low for pair in rivals)
        return f"high: better than every other arm, by at least {100 * least:.1f} points in the nearest comparison"
    hidden = max(-pair.low for pair in rivals if pair.verdict != "better")
    word = "high" if hidden < evidence.smallest_gain else "moderate" if shown else "low"
    return f"{word}: another arm could still be better by up to {100 * max(0.0, hidden):.1f} points"


def _would_change(evidence: Evidence, chosen: str, best: str) -> tuple[str, ...]:
    changes = []
    if chosen != best:
        gap = _mean(evidence, best) - _mean(evidence, chosen)
        needed = questions_needed(max(gap, evidence.smallest_gain), len(evidence.pairs))
        if needed > evidence.num_questions:
            changes.append(
                f"With {needed} questions a true gain of {NAMES[best]} of this size would show."
            )
    for arm in (a for a in evidence.arms if ARMS[a].is_tuned and a != chosen):
        requests = break_even_requests(evidence.arms[chosen], evidence.arms[arm])
        if requests:
            changes.append(f"{_title(arm)} pays for its training after {requests:,.0f} requests.")
    if evidence.use.data_change in OFTEN:
        changes.append("Facts that change yearly or never would let fine-tuning in.")
    return tuple(changes)


def _next_step(evidence: Evidence, chosen: str) -> str:
    if evidence.num_questions < 100:
        return "Serve it (pericia serve), and add questions: their answers decide what comes next."
    if ARMS[chosen].is_tuned:
        return "Serve it (pericia serve), and train again when the facts change."
    return "Serve it: pericia serve."


def _too_few(evidence: Evidence, chosen: str, reasons: tuple[str, ...]) -> Recommendation:
    needed = questions_needed(max(evidence.smallest_gain, 0.1), max(1, len(evidence.pairs)))
    families = evidence.num_families
    why = (
        f"they come from {families} sources and {FEWEST_FAMILIES} is the least for any verdict"
        if families < FEWEST_FAMILIES
        else f"they show differences above {_points(evidence.detectable)} only"
    )
    return Recommendation(
        arm=TOO_FEW,
        rule="tie",
        sentence=f"These {evidence.num_questions} questions are not enough to tell: {why}. Until then use {NAMES[chosen]}.",
        reasons=reasons,
        confidence="none: no arm was shown to be better",
        would_change=(
            f"About {needed} questions from separate documents show a difference of ten points.",
        ),
        next_step="Add questions with reference answers, and run again: only what is new is asked.",
    )


def _no_arm(evidence: Evidence, reasons: tuple[str, ...], fault: str) -> Recommendation:
    return Recommendation(
        arm=NOT_GOOD,
        rule="cost",
        sentence=f"No arm is good enough: {fault}.",
        reasons=reasons,
        confidence=f"measured on {evidence.num_questions} questions",
        would_change=("A stronger base model, or documents that hold the answers.",),
        next_step="Look at the answers in the report, then try another base model (key 'model').",
    )


def _mend_data(evidence: Evidence, chosen: str, reasons: tuple[str, ...]) -> Recommendation:
    share = evidence.num_contradictions / max(1, evidence.num_examples)
    return Recommendation(
        arm=MEND_DATA,
        rule="R3",
        sentence=f"Mend the data first: {100 * share:.0f} % of the examples contradict another one. "
        f"Until then use {NAMES[chosen if not ARMS[chosen].is_tuned else 'prompt']}.",
        reasons=reasons,
        confidence="the contradictions are counted, not estimated",
        would_change=("Examples without contradictions.",),
        next_step="Run: pericia check, mend the lines it names, and run again.",
    )


# --- numbers ---------------------------------------------------------------------------------------------


def _mean(evidence: Evidence, arm: str) -> float:
    return evidence.arms[arm].scores[evidence.primary].mean


def _title(arm: str) -> str:
    name = NAMES[arm]
    return name[0].upper() + name[1:]


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def signed(value: float) -> str:
    """Return a difference of shares in points, with its sign.

    Example:
        >>> signed(-0.031), signed(0.0)
        ('−3.1', '0.0')
    """
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text


def _range(low: float, high: float, *, with_sign: bool = False) -> str:
    ends = (signed(low), signed(high)) if with_sign else (f"{100 * low:.1f}", f"{100 * high:.1f}")
    return f"{100 * CONFIDENCE:.0f} %: {ends[0]} to {ends[1]}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

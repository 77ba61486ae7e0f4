"""The words of the advice: one plain sentence, how sure it is, what would change it, and the refusals to choose."""

from collections.abc import Sequence

from pericia.evaluate.evidence import Evidence, mean_of, name_of, points, title
from pericia.evaluate.results import between
from pericia.evaluate.stats import FEWEST_FAMILIES, questions_needed
from pericia.types import BreakEven, Recommendation

TOO_FEW = "not enough questions to tell"
MEND_DATA = "mend the data first"
NOT_GOOD = "no arm is good enough"
REFUSALS = (TOO_FEW, MEND_DATA, NOT_GOOD)

OFTEN = ("monthly", "weekly", "daily")  # changes that make tuning a burden


# each rule's name in words, and what it says; MISSION's four rules, its three scenarios, and the two of cost
RULES = {
    "R1": ("outside data", "the answers need data from outside the model"),
    "R2": ("stable knowledge", "the knowledge and its expression are stable enough to be learnt"),
    "R3": ("changing data", "facts that change often make tuning a burden"),
    "R4": ("findable sources", "only answers with findable sources can be corrected"),
    "Sa": ("own vocabulary", "the industry has a vocabulary of its own"),
    "Sb": ("joined knowledge", "the answers join several pieces of knowledge"),
    "Sc": ("automated flow", "right facts in a learnt form need both"),
    "cost": ("cost", "nothing cheaper is as good, or nothing as good is cheaper"),
    "tie": ("tie", "no arm was shown to be better than it, and it is the cheapest"),
}


def explain_rule(rule: str) -> str:
    """Return a rule as a sentence.

    Example:
        >>> explain_rule("R1")
        'Rule R1, outside data: the answers need data from outside the model.'
    """
    name, meaning = RULES[rule]
    return f"Rule {rule}, {name}: {meaning}."


def use_arm(
    evidence: Evidence,
    chosen: str,
    best: str,
    rule: str,
    reasons: tuple[str, ...],
    eligible: Sequence[str],
) -> Recommendation:
    """Return the advice to use an arm; `best` has the best mean of the eligible ones."""
    return Recommendation(
        arm=chosen,
        rule=rule,
        rule_in_words=explain_rule(rule),
        sentence=_sentence(evidence, chosen, rule),
        reasons=reasons,
        confidence=_confidence(evidence, chosen, eligible),
        would_change=_would_change(evidence, chosen, best),
        next_step=_next_step(evidence, chosen),
    )


def _sentence(evidence: Evidence, chosen: str, rule: str) -> str:
    reached = points(mean_of(evidence, chosen))
    against = ""
    if not evidence.kind(chosen).is_tuned and any(
        evidence.kind(arm).is_tuned for arm in evidence.arms
    ):
        against = " Do not fine-tune."
    return f"Use {name_of(chosen)}: it reaches {reached}, and {RULES[rule][1]}.{against}"


def _confidence(evidence: Evidence, chosen: str, eligible: Sequence[str]) -> str:
    rivals = [between(evidence.pairs, chosen, arm) for arm in eligible if arm != chosen]
    shown = [pair for pair in rivals if pair.verdict == "better"]
    if not rivals:
        return "low: nothing was left to compare it with"
    if len(shown) == len(rivals):
        least = min(pair.low for pair in rivals)
        return f"high: better than every other arm, by at least {100 * least:.1f} points in the nearest comparison"
    hidden = max(-pair.low for pair in rivals if pair.verdict != "better")
    if hidden <= 0:
        return "high: no other arm can be shown to differ, and none reached more"
    word = "high" if hidden < evidence.smallest_gain else "moderate" if shown else "low"
    return f"{word}: another arm could still be better by up to {100 * max(0.0, hidden):.1f} points"


def _would_change(evidence: Evidence, chosen: str, best: str) -> tuple[str, ...]:
    changes = []
    if chosen != best:
        gap = mean_of(evidence, best) - mean_of(evidence, chosen)
        needed = questions_needed(max(gap, evidence.smallest_gain), len(evidence.pairs))
        if needed > evidence.num_questions:
            changes.append(
                f"With {needed} questions a true gain of {name_of(best)} of this size would show."
            )
    for even in evidence.break_even:
        if even.cheap_to_make == chosen and even.requests:
            changes.append(f"{title(even.cheap_to_run)} pays for its training after {_span(even)}.")
    if evidence.use.data_change in OFTEN:
        changes.append("Facts that change yearly or never would let fine-tuning in.")
    return tuple(changes)


def _span(even: BreakEven) -> str:
    latest = "no end in sight" if even.high is None else f"{even.high:,.0f}"
    return f"{even.requests:,.0f} requests (95 %: {even.low or 0:,.0f} to {latest})"


def _next_step(evidence: Evidence, chosen: str) -> str:
    if evidence.num_questions < 100:
        return "Serve it (pericia serve), and add questions: their answers decide what comes next."
    if evidence.kind(chosen).is_tuned:
        return "Serve it (pericia serve), and train again when the facts change."
    return "Serve it: pericia serve."


def too_few(evidence: Evidence, chosen: str, reasons: tuple[str, ...]) -> Recommendation:
    needed = questions_needed(max(evidence.smallest_gain, 0.1), max(1, len(evidence.pairs)))
    families = evidence.num_families
    why = (
        f"they come from {families} sources and {FEWEST_FAMILIES} is the least for any verdict"
        if families < FEWEST_FAMILIES
        else f"they show differences above {points(evidence.detectable)} only"
    )
    return Recommendation(
        arm=TOO_FEW,
        rule="tie",
        sentence=f"These {evidence.num_questions} questions are not enough to tell: {why}. Until then use {name_of(chosen)}.",
        reasons=reasons,
        confidence="none: no arm was shown to be better",
        would_change=(
            f"About {needed} questions from separate documents show a difference of ten points.",
        ),
        next_step="Add questions with reference answers, and run again: only what is new is asked.",
    )


def no_arm(evidence: Evidence, reasons: tuple[str, ...], fault: str) -> Recommendation:
    return Recommendation(
        arm=NOT_GOOD,
        rule="cost",
        sentence=f"No arm is good enough: {fault}.",
        reasons=reasons,
        confidence=f"measured on {evidence.num_questions} questions",
        would_change=("A stronger base model, or documents that hold the answers.",),
        next_step="Look at the answers in the report, then try another base model (key 'model').",
    )


def mend_data(evidence: Evidence, chosen: str, reasons: tuple[str, ...]) -> Recommendation:
    share = evidence.num_contradictions / max(1, evidence.num_examples)
    return Recommendation(
        arm=MEND_DATA,
        rule="R3",
        sentence=f"Mend the data first: {100 * share:.0f} % of the examples contradict another one. "
        f"Until then use {name_of(chosen if not evidence.kind(chosen).is_tuned else 'prompt')}.",
        reasons=reasons,
        confidence="the contradictions are counted, not estimated",
        would_change=("Examples without contradictions.",),
        next_step="Run: pericia check, mend the lines it names, and run again.",
    )

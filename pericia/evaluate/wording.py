"""The words of the advice: one plain sentence, how sure it is, what would change it, and the refusals to choose."""

from collections.abc import Sequence

from pericia.evaluate.evidence import Evidence, mean_of, name_of, points
from pericia.evaluate.power import questions_needed
from pericia.evaluate.results import RIGHT, between
from pericia.evaluate.stats import fewest_families
from pericia.said import Figure, Said, said
from pericia.types import BreakEven, Recommendation

TOO_FEW = "not enough questions to tell"
MEND_DATA = "mend the data first"
NOT_GOOD = "no arm is good enough"
REFUSALS = (TOO_FEW, MEND_DATA, NOT_GOOD)

# Changes that make tuning a burden.
OFTEN = {"monthly": said("monthly"), "weekly": said("weekly"), "daily": said("daily")}


# each rule's name in words, and what it says: four rules, two of them together, three scenarios, and the two of cost
RULES = {
    "R1": (said("outside data"), said("the answers need data from outside the model")),
    "R2": (
        said("stable knowledge"),
        said("the knowledge and its expression are stable enough to be learnt"),
    ),
    "R3": (said("changing data"), said("facts that change often make tuning a burden")),
    "R4": (said("findable sources"), said("only answers with findable sources can be corrected")),
    "R1+R2": (
        said("facts and skill"),
        said("facts that are looked up need a model trained to use them"),
    ),
    "Sa": (said("own vocabulary"), said("the industry has a vocabulary of its own")),
    "Sb": (said("joined knowledge"), said("the answers join several pieces of knowledge")),
    "Sc": (said("automated flow"), said("right facts in a learnt form need both")),
    "cost": (said("cost"), said("nothing cheaper is as good, or nothing as good is cheaper")),
    "tie": (said("tie"), said("no arm was shown to be better than it, and it is the cheapest")),
}


def explain_rule(rule: str) -> str:
    """Return a rule as a sentence.

    Example:
        >>> explain_rule("R1")
        'Rule R1, outside data: the answers need data from outside the model.'
    """
    name, meaning = RULES[rule]
    return said("Rule %(rule)s, %(name)s: %(meaning)s.", rule=rule, name=name, meaning=meaning)


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
    about = {
        "arm": name_of(chosen),
        "n": Figure(100 * evidence.arms[chosen].scores[RIGHT].mean),
        "why": RULES[rule][1],
    }
    if not evidence.kind(chosen).is_tuned and any(
        evidence.kind(arm).is_tuned for arm in evidence.arms
    ):
        return said(
            "Use %(arm)s: it answers %(n)s of 100 questions right, and %(why)s. Do not fine-tune.",
            **about,
        )
    return said("Use %(arm)s: it answers %(n)s of 100 questions right, and %(why)s.", **about)


def _confidence(evidence: Evidence, chosen: str, eligible: Sequence[str]) -> str:
    rivals = [between(evidence.pairs, chosen, arm) for arm in eligible if arm != chosen]
    shown = [pair for pair in rivals if pair.verdict == "better"]
    if not rivals:
        return said("low: nothing was left to compare it with")
    if len(shown) == len(rivals):
        least = min(pair.low for pair in rivals)
        return said(
            "high: better than every other arm, by at least %(n)s points in the nearest comparison",
            n=Figure(100 * least, 1),
        )
    hidden = max(-pair.low for pair in rivals if pair.verdict != "better")
    if hidden <= 0:
        return said("high: no other arm can be shown to differ, and none reached more")
    n = Figure(100 * hidden, 1)
    if hidden < evidence.smallest_gain:
        return said("high: another arm could still be better by up to %(n)s points", n=n)
    if shown:
        return said("moderate: another arm could still be better by up to %(n)s points", n=n)
    return said("low: another arm could still be better by up to %(n)s points", n=n)


def _would_change(evidence: Evidence, chosen: str, best: str) -> tuple[str, ...]:
    changes = []
    if chosen != best:
        gap = mean_of(evidence, best) - mean_of(evidence, chosen)
        needed = questions_needed(max(gap, evidence.smallest_gain), len(evidence.pairs))
        if needed > evidence.num_questions:
            changes.append(
                said(
                    "With %(n)s questions a true gain of %(arm)s of this size would show.",
                    n=Figure(needed),
                    arm=name_of(best),
                )
            )
    for even in evidence.break_even:
        if even.cheap_to_make == chosen and even.requests:
            changes.append(
                said(
                    "%(arm)s pays for its training after %(span)s.",
                    arm=name_of(even.cheap_to_run),
                    span=_span(even),
                )
            )
    return tuple(changes)


def _span(even: BreakEven) -> Said:
    counts = {"n": Figure(even.requests or 0), "low": Figure(even.low or 0)}
    if even.high is None:
        return said("%(n)s requests (95 %%: %(low)s to no end in sight)", **counts)
    return said("%(n)s requests (95 %%: %(low)s to %(high)s)", high=Figure(even.high), **counts)


def _next_step(evidence: Evidence, chosen: str) -> str:
    if evidence.num_questions < 100:
        return said(
            "Serve it (pericia serve), and add questions: their answers decide what comes next."
        )
    if evidence.kind(chosen).is_tuned:
        return said("Serve it (pericia serve), and train again when the facts change.")
    return said("Serve it: pericia serve.")


def too_few(evidence: Evidence, chosen: str, reasons: tuple[str, ...]) -> Recommendation:
    needed = questions_needed(max(evidence.smallest_gain, 0.1), max(1, len(evidence.pairs)))
    families, least = evidence.num_families, fewest_families(len(evidence.pairs))
    if families < least:
        why = said(
            "they come from %(n)s sources and %(least)s is the least for any verdict",
            n=Figure(families),
            least=Figure(least),
        )
    else:
        why = said(
            "they show differences above %(points)s only", points=points(evidence.detectable)
        )
    return Recommendation(
        arm=TOO_FEW,
        rule="tie",
        sentence=said(
            "These %(n)s questions are not enough to tell: %(why)s. Until then use %(arm)s.",
            n=Figure(evidence.num_questions),
            why=why,
            arm=name_of(chosen),
        ),
        reasons=reasons,
        confidence=said("none: no arm was shown to be better"),
        would_change=(
            said(
                "About %(n)s questions from separate documents show a difference of ten points.",
                n=Figure(needed),
            ),
        ),
        next_step=said(
            "Add questions with reference answers, and run again: only what is new is asked."
        ),
    )


def no_arm(evidence: Evidence, reasons: tuple[str, ...], fault: str) -> Recommendation:
    return Recommendation(
        arm=NOT_GOOD,
        rule="cost",
        sentence=said("No arm is good enough: %(fault)s.", fault=fault),
        reasons=reasons,
        confidence=said("measured on %(n)s questions", n=Figure(evidence.num_questions)),
        would_change=(said("A stronger base model, or documents that hold the answers."),),
        next_step=said(
            "Look at the answers in the report, then try another base model (key 'model')."
        ),
    )


def mend_data(evidence: Evidence, chosen: str, reasons: tuple[str, ...]) -> Recommendation:
    share = evidence.num_contradictions / max(1, evidence.num_examples)
    return Recommendation(
        arm=MEND_DATA,
        rule="R3",
        sentence=said(
            "Mend the data first: %(n)s %% of the examples contradict another one. Until then use %(arm)s.",
            n=Figure(100 * share),
            arm=name_of(chosen if not evidence.kind(chosen).is_tuned else "prompt"),
        ),
        reasons=reasons,
        confidence=said("the contradictions are counted, not estimated"),
        would_change=(said("Examples without contradictions."),),
        next_step=said("Run: pericia check, mend the lines it names, and run again."),
    )

"""The advice: from measured results and the use to one arm, its rule, its reasons, and how sure they make us.

The order is: gates (goal, baselines, enough questions), constraints of the use that drop arms, the best mean of what
is left, all arms not distinguishable from it, and of these the cheapest. A tie goes to the cheaper arm.

Rules: R1 needs data from outside the model; R2 stable terms and expression; R3 change and small data speak against
tuning; R4 sources must be findable; Sa own vocabulary; Sb several pieces joined; Sc automated flow; cost; tie.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile

from pericia.evaluate.evidence import (
    CONTRADICTORY,
    Evidence,
    mean_of,
    name_of,
    points,
    reasons_of_data,
    reasons_of_scores,
    weak_spots,
)
from pericia.evaluate.kinds import JOINED, TERMS
from pericia.evaluate.results import between
from pericia.evaluate.stats import fewest_families
from pericia.evaluate.wording import MEND_DATA as MEND_DATA
from pericia.evaluate.wording import NOT_GOOD as NOT_GOOD
from pericia.evaluate.wording import OFTEN, mend_data, no_arm, too_few, use_arm
from pericia.evaluate.wording import REFUSALS as REFUSALS
from pericia.evaluate.wording import TOO_FEW as TOO_FEW
from pericia.said import Figure, said
from pericia.types import Recommendation

HIDDEN_FROM = 0.5  # share of the detectable difference from which a gap in the means may be a gain not yet shown
_RULES = {
    "prompt": "cost",
    "few_shot": "cost",
    "rag": "R1",
    "fine_tuned": "R2",
    "rag_fine_tuned": "R1+R2",
}


def recommend(evidence: Evidence) -> Recommendation:
    """Return the advice; `arm` is an arm's name or one of `REFUSALS`."""
    eligible, dropped = _eligible(evidence)
    if not eligible:
        return no_arm(evidence, tuple(dropped.values()), said("no arm keeps the limits of the use"))
    best = max(eligible, key=lambda arm: mean_of(evidence, arm))
    alike = [arm for arm in eligible if _is_as_good(evidence, arm, best)]
    chosen = min(_worth_it(evidence, alike), key=lambda arm: _cost(evidence, arm))
    reasons = (
        *reasons_of_scores(evidence, chosen, best, eligible),
        *weak_spots(evidence, chosen),
        *dropped.values(),
        *reasons_of_data(evidence),
    )
    if evidence.num_families < fewest_families(len(evidence.pairs)):
        untuned = [arm for arm in eligible if not evidence.kind(arm).is_tuned]
        return too_few(evidence, best if best in untuned or not untuned else chosen, reasons)
    if (fault := _not_good_enough(evidence, best)) != "":
        return no_arm(evidence, reasons, fault)
    if _data_are_at_fault(evidence, chosen):
        return mend_data(evidence, chosen, reasons)
    if _may_hide_a_gain(evidence, chosen, best):
        return too_few(evidence, chosen, reasons)
    rule = _rule(evidence, chosen, eligible, dropped)
    return use_arm(evidence, chosen, best, rule, reasons, eligible)


# --- gates and constraints -----------------------------------------------------------------------------


def _eligible(evidence: Evidence) -> tuple[list[str], dict[str, str]]:
    """Return the arms that the use allows, cheapest kind first, and of each dropped one why, with its number."""
    use = evidence.use
    dropped: dict[str, str] = {}
    baselines = [arm for arm in ("prompt", "few_shot", "rag") if arm not in evidence.arms]
    for arm in evidence.in_order():
        about = {"arm": name_of(arm), "points": points(mean_of(evidence, arm))}
        latency = evidence.arms[arm].latency_ms_p50
        if use.citations_required and not evidence.kind(arm).needs_passages:
            dropped[arm] = said(
                "%(arm)s is out: it names no sources, and they are required (it reached %(points)s).",
                **about,
            )
        elif use.latency_limit_ms is not None and latency > use.latency_limit_ms:
            dropped[arm] = said(
                "%(arm)s is out: %(ms)s ms are over the limit of %(limit)s ms (it reached %(points)s).",
                ms=Figure(latency),
                limit=Figure(use.latency_limit_ms),
                **about,
            )
        elif not evidence.kind(arm).is_tuned:
            continue
        elif baselines:
            dropped[arm] = said(
                "%(arm)s is out: without the baseline %(missing)s nothing shows its gain (it reached %(points)s).",
                missing=", ".join(baselines),
                **about,
            )
        elif use.data_change in OFTEN:
            dropped[arm] = said(
                "%(arm)s is out: the facts change %(often)s, and it would be trained each time (it reached %(points)s).",
                often=OFTEN[use.data_change],
                **about,
            )
        elif arm in evidence.setbacks:
            dropped[arm] = said(
                "%(arm)s is out: %(setback)s (it reached %(points)s).",
                setback=evidence.setbacks[arm],
                **about,
            )
        elif not use.goal.strip():
            dropped[arm] = said(
                "%(arm)s is out: no goal is stated (key use.goal), and tuning without one is aimless "
                "(it reached %(points)s).",
                **about,
            )
    return [arm for arm in evidence.in_order() if arm not in dropped], dropped


def _not_good_enough(evidence: Evidence, best: str) -> str:
    mean = mean_of(evidence, best)
    if mean < evidence.use.good_enough:
        return said(
            "the best arm, %(arm)s, reaches %(points)s, and %(wanted)s are asked for",
            arm=best,
            points=points(mean),
            wanted=points(evidence.use.good_enough),
        )
    for name, value in evidence.thoughtless.items():
        if mean <= value:
            return said(
                "the best arm, %(arm)s, reaches %(points)s, and '%(name)s' alone %(other)s",
                arm=best,
                points=points(mean),
                name=name,
                other=points(value),
            )
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
    return evidence.kind(chosen).is_tuned or harmed


def _may_hide_a_gain(evidence: Evidence, chosen: str, best: str) -> bool:
    """Return whether the best mean looks like a useful gain over the chosen arm that these questions cannot show."""
    return (
        chosen != best
        and evidence.detectable > evidence.smallest_gain
        and mean_of(evidence, best) - mean_of(evidence, chosen) >= HIDDEN_FROM * evidence.detectable
    )


# --- the choice ------------------------------------------------------------------------------------------


def _is_as_good(evidence: Evidence, arm: str, best: str) -> bool:
    if arm == best:
        return True
    pair = between(evidence.pairs, best, arm)
    return pair.verdict != "better" or pair.difference < evidence.smallest_gain


def _worth_it(evidence: Evidence, alike: Sequence[str]) -> list[str]:
    """Return the arms of a tie without the tuned ones that show no benefit above their cost.

    With nothing but a tie, the benefit is money: a request is cheaper, with its share of the training, than one of
    the best untuned arm. Shares of right answers are left out, since a tie says nothing about them.
    """
    untuned = [arm for arm in alike if not evidence.kind(arm).is_tuned]
    if not untuned:
        return list(alike)
    rival = evidence.arms[max(untuned, key=lambda arm: mean_of(evidence, arm))]
    is_priced = rival.cost_per_correct is not None
    return [
        arm
        for arm in alike
        if not evidence.kind(arm).is_tuned
        or (is_priced and evidence.arms[arm].cost_with_training < rival.cost_with_training)
    ]


def _cost(evidence: Evidence, arm: str) -> tuple[float, int]:
    """Return what orders tied arms by cost: a request with its training where there are prices, then the kind.

    That is the order by cost of a correct answer when the arms of a tie are taken to be right equally often.
    """
    return (evidence.arms[arm].cost_with_training, evidence.in_order().index(arm))


def _rule(
    evidence: Evidence, chosen: str, eligible: Sequence[str], dropped: Mapping[str, str]
) -> str:
    kind = evidence.arms[chosen].kind or chosen
    lesser = list(takewhile(lambda arm: arm != chosen, eligible))
    better_elsewhere = [a for a in dropped if mean_of(evidence, a) > mean_of(evidence, chosen)]
    if evidence.use.citations_required and kind == "rag":
        return "R4"
    if (
        better_elsewhere
        and evidence.use.data_change in OFTEN
        and any(evidence.kind(a).is_tuned for a in better_elsewhere)
    ):
        return "R3"
    needed = lesser and all(between(evidence.pairs, chosen, a).verdict == "better" for a in lesser)
    best = all(
        between(evidence.pairs, chosen, a).verdict == "better" for a in eligible if a != chosen
    )
    if not needed and not best:
        return "tie" if evidence.arms[chosen].cost_per_correct is None else "cost"
    if kind == "rag" and evidence.main_kind == JOINED:
        return "Sb"
    if kind == "fine_tuned" and evidence.main_kind == TERMS:
        return "Sa"
    if kind == "rag_fine_tuned" and evidence.has_form:
        return "Sc"
    return _RULES[kind]

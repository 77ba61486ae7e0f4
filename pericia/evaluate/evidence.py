"""What the advice rests on, and what of it can be said in numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pericia.config import ARM_NAMES, UseConfig
from pericia.evaluate.arms import ARMS, Arm
from pericia.evaluate.kinds import OfKind
from pericia.evaluate.results import between
from pericia.evaluate.stats import CONFIDENCE
from pericia.said import Figure, Said, said
from pericia.types import ArmResult, BreakEven, OldAnswers, Pair

CONTRADICTORY = 0.1  # share of examples with a second answer from which on the data are at fault
FEW_EXAMPLES = 100  # below, tuning seldom changes anything: a small data set is rule R3
FEWEST_OF_A_KIND = 5  # questions; fewer that go wrong are no weak spot yet
NAMES = {
    "prompt": said("the plain prompt"),
    "few_shot": said("a prompt with solved examples"),
    "rag": said("retrieval (RAG)"),
    "fine_tuned": said("fine-tuning"),
    "rag_fine_tuned": said("retrieval with fine-tuning"),
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
    break_even: Sequence[BreakEven] = ()
    old_answers: Sequence[OldAnswers] = ()
    setbacks: Mapping[str, str] = field(default_factory=dict)  # what a tuned arm has unlearnt
    by_kind: Sequence[OfKind] = ()
    shown_from: float = 0.0  # the difference that the answers themselves can show, 0 if unknown

    def kind(self, arm: str) -> Arm:
        """Return which of the five an arm is."""
        return ARMS[self.arms[arm].kind or arm]

    @property
    def has_form(self) -> bool:
        """Return whether a form of the answers is asked for, as by a flow that goes on with them."""
        forms = {"format_json", "format_pattern"}
        return any(forms & arm.scores.keys() for arm in self.arms.values())

    def in_order(self) -> list[str]:
        """Return the arms from the cheapest kind to the dearest, those of the config's own after their kind."""
        order = list(ARMS)
        return sorted(self.arms, key=lambda a: (order.index(self.arms[a].kind or a), a not in ARMS))


def reasons_of_scores(
    evidence: Evidence, chosen: str, best: str, eligible: Sequence[str]
) -> tuple[str, ...]:
    """Return what the chosen arm reached, and how each eligible other one compares."""
    score = evidence.arms[chosen].scores[evidence.primary]
    reasons = [
        said(
            "%(arm)s reaches %(points)s (%(span)s) of %(score)s on %(n)s questions.",
            arm=name_of(chosen),
            points=points(score.mean),
            span=span(score.low, score.high),
            score=evidence.primary,
            n=Figure(evidence.num_questions),
        )
    ]
    if chosen != best:
        reasons.append(
            said(
                "%(arm)s has the best mean, %(points)s, but not by a shown and useful gain.",
                arm=name_of(best),
                points=points(mean_of(evidence, best)),
            )
        )
    for other in (arm for arm in eligible if arm != chosen):
        pair = between(evidence.pairs, chosen, other)
        facts = said(
            "%(difference)s points (%(span)s, p %(p)s)",
            difference=Figure(100 * pair.difference, 1, is_signed=True),
            span=span(pair.low, pair.high, with_sign=True),
            p=p_value(pair.p),
        )
        if max(abs(pair.low), abs(pair.high)) < evidence.smallest_gain:
            facts = said("%(facts)s; any difference is too small to matter", facts=facts)
        arms = {"arm": name_of(chosen), "other": name_of(other), "facts": facts}
        if pair.verdict == "better":
            reasons.append(said("%(arm)s is better than %(other)s: %(facts)s.", **arms))
        elif pair.verdict == "worse":
            reasons.append(said("%(arm)s is worse than %(other)s: %(facts)s.", **arms))
        else:
            reasons.append(
                said("%(arm)s is not distinguishable from %(other)s: %(facts)s.", **arms)
            )
    return tuple(reasons)


def weak_spots(evidence: Evidence, chosen: str) -> tuple[str, ...]:
    """Return the kinds of questions on which the chosen arm is below what is good enough."""
    return tuple(
        said(
            "Weak spot: on the %(n)s questions of the kind '%(kind)s' it reaches %(points)s.",
            n=Figure(each.num_questions),
            kind=each.kind,
            points=points(each.means[chosen]),
        )
        for each in evidence.by_kind
        if each.kind
        and FEWEST_OF_A_KIND <= each.num_questions < evidence.num_questions
        and each.means[chosen] < evidence.use.good_enough
    )


def reasons_of_data(evidence: Evidence) -> tuple[str, ...]:
    """Return what the arms that did not run and the examples say."""
    reasons = [
        said("%(arm)s was left out: %(why)s", arm=name_of(arm), why=why)
        for arm, why in evidence.left_out.items()
    ]
    reasons += [
        said("%(arm)s was not measured (key evaluate.arms).", arm=name_of(arm))
        for arm in ARM_NAMES
        if arm not in evidence.arms and arm not in evidence.left_out
    ]
    tuned = [arm for arm in evidence.arms if evidence.kind(arm).is_tuned]
    if tuned and evidence.num_examples < FEW_EXAMPLES:
        reasons.append(
            said(
                "%(n)s examples are too little data to judge fine-tuning by (R3).",
                n=Figure(evidence.num_examples),
            )
        )
    reasons += [
        said(
            "%(arm)s answers %(n)s of %(total)s changed facts as they were before.",
            arm=name_of(each.arm),
            n=Figure(each.num_old),
            total=Figure(each.num_questions),
        )
        for each in evidence.old_answers
        if each.num_old
    ]
    if evidence.num_contradictions:
        reasons.append(
            said(
                "%(n)s of %(total)s examples contradict another one.",
                n=Figure(evidence.num_contradictions),
                total=Figure(evidence.num_examples),
            )
        )
    return tuple(reasons)


def mean_of(evidence: Evidence, arm: str) -> float:
    return evidence.arms[arm].scores[evidence.primary].mean


def name_of(arm: str) -> str:
    """Return an arm as a sentence calls it; an arm of the config by its own name."""
    return NAMES.get(arm, f"'{arm}'")


def points(value: float) -> Said:
    return said("%(n)s points", n=Figure(100 * value, 1))


def signed(value: float) -> str:
    """Return a difference of shares in points, with its sign.

    Example:
        >>> signed(-0.031), signed(0.0)
        ('−3.1', '0.0')
    """
    return str(Figure(100 * value, 1, is_signed=True))


def span(low: float, high: float, *, with_sign: bool = False) -> Said:
    return said(
        "%(level)s %%: %(low)s to %(high)s",
        level=Figure(100 * CONFIDENCE),
        low=Figure(100 * low, 1, with_sign),
        high=Figure(100 * high, 1, with_sign),
    )


def p_value(value: float) -> str:
    """Return a p-value as it is printed."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

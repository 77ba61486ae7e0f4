"""What the advice rests on, and what of it can be said in numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pericia.config import UseConfig
from pericia.evaluate.arms import ARMS, Arm
from pericia.evaluate.results import between
from pericia.evaluate.stats import CONFIDENCE
from pericia.types import ArmResult, BreakEven, OldAnswers, Pair

FEW_EXAMPLES = 100  # below, tuning seldom changes anything: a small data set is rule R3
NAMES = {
    "prompt": "the plain prompt",
    "few_shot": "a prompt with solved examples",
    "rag": "retrieval (RAG)",
    "fine_tuned": "fine-tuning",
    "rag_fine_tuned": "retrieval with fine-tuning",
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

    def kind(self, arm: str) -> Arm:
        """Return which of the five an arm is."""
        return ARMS[self.arms[arm].kind or arm]

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
        f"{title(chosen)} reaches {points(score.mean)} ({span(score.low, score.high)}) of {evidence.primary} "
        f"on {evidence.num_questions} questions."
    ]
    if chosen != best:
        reasons.append(
            f"{title(best)} has the best mean, {points(mean_of(evidence, best))}, but not by a shown and useful gain."
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
            f"{title(chosen)} {verb} {name_of(other)}: {signed(pair.difference)} points "
            f"({span(pair.low, pair.high, with_sign=True)}, p {p_value(pair.p)}){small}."
        )
    return tuple(reasons)


def reasons_of_data(evidence: Evidence) -> tuple[str, ...]:
    """Return what the arms left out and the examples say."""
    reasons = [f"{title(arm)} was left out: {why}" for arm, why in evidence.left_out.items()]
    tuned = [arm for arm in evidence.arms if evidence.kind(arm).is_tuned]
    if tuned and evidence.num_examples < FEW_EXAMPLES:
        reasons.append(
            f"{evidence.num_examples} examples are too little data to judge fine-tuning by (R3)."
        )
    reasons += [
        f"{title(each.arm)} answers {each.num_old} of {each.num_questions} changed facts as they were before."
        for each in evidence.old_answers
        if each.num_old
    ]
    if evidence.num_contradictions:
        reasons.append(
            f"{evidence.num_contradictions} of {evidence.num_examples} examples contradict another one."
        )
    return tuple(reasons)


def mean_of(evidence: Evidence, arm: str) -> float:
    return evidence.arms[arm].scores[evidence.primary].mean


def name_of(arm: str) -> str:
    """Return an arm as a sentence calls it; an arm of the config by its own name."""
    return NAMES.get(arm, f"'{arm}'")


def title(arm: str) -> str:
    text = name_of(arm)
    return text[0].upper() + text[1:]


def points(value: float) -> str:
    return f"{100 * value:.1f} points"


def signed(value: float) -> str:
    """Return a difference of shares in points, with its sign.

    Example:
        >>> signed(-0.031), signed(0.0)
        ('−3.1', '0.0')
    """
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in {"+0.0", "−0.0"} else text


def span(low: float, high: float, *, with_sign: bool = False) -> str:
    ends = (signed(low), signed(high)) if with_sign else (f"{100 * low:.1f}", f"{100 * high:.1f}")
    return f"{100 * CONFIDENCE:.0f} %: {ends[0]} to {ends[1]}"


def p_value(value: float) -> str:
    """Return a p-value as it is printed."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

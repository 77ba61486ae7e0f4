"""River 3: questions to a recommendation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pericia.types.answers import Answer

ArmName = str
Verdict = Literal["better", "worse", "not distinguishable"]
SideKind = Literal["gold", "curve"]  # what is asked beside an arm, to explain it


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question. No `answers` means that the documents do not answer it and a refusal is right."""

    id: str
    text: str
    answers: tuple[str, ...]
    sources: tuple[str, ...] = ()
    family: str = ""
    kind: str = ""
    old_answers: tuple[str, ...] = ()  # right before the documents changed

    @property
    def answerable(self) -> bool:
        return bool(self.answers)


@dataclass(frozen=True, slots=True)
class Row:
    """One question under one arm: what was asked, answered, scored and spent."""

    question_id: str
    arm: ArmName
    answer: Answer
    scores: Mapping[str, float]
    prompt_sha256: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over questions with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm reached on all questions. Costs are in the currency of the configured prices, 0 without prices."""

    n: int
    scores: Mapping[str, Score]
    tokens_in: float  # mean a request
    tokens_out: float
    latency_ms_p50: float
    latency_ms_p95: float
    cost_per_request: float = 0.0
    cost_one_off: float = 0.0
    cost_per_correct: float | None = None
    train_s: float = 0.0
    first_token_ms_p50: float | None = None
    first_token_ms_p95: float | None = None
    cost_with_training: float = 0.0  # a request's cost and its share of the training
    kind: str = ""  # which of the five arms it is; "" says that its name is its kind


@dataclass(frozen=True, slots=True)
class Pair:
    """The paired difference `a - b` of one score on the same questions; `p` is adjusted over all pairs (Holm)."""

    a: ArmName
    b: ArmName
    score: str
    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class BreakEven:
    """After how many requests the arm that is `cheap_to_run` has paid for its training; None is never.

    `low` and `high` are the ends of the 95 % interval, from the interval of the saving a request.
    """

    cheap_to_make: ArmName
    cheap_to_run: ArmName
    requests: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Track:
    """The results on one part of the questions, such as those about documents that training has seen.

    `advice` is what these questions alone would advise.
    """

    name: str
    num_questions: int
    num_families: int
    detectable: float
    arms: Mapping[ArmName, ArmResult]
    pairs: tuple[Pair, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Reading:
    """An arm that reads, beside itself given the right passage alone, on the questions that name a source.

    `lost` is `given - found`, paired: what finding the passage, and telling it from others, costs.
    """

    arm: ArmName
    num_questions: int
    found: Score
    given: Score
    lost: Score


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a tuned arm reaches after so many examples; after none it is the arm that it was tuned from."""

    arm: ArmName
    num_examples: int
    score: Score


@dataclass(frozen=True, slots=True)
class OldAnswers:
    """How often an arm says what was right before the documents changed; `share` is lower the better."""

    arm: ArmName
    num_questions: int
    num_old: int
    share: Score


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The advice. `arm` may also be one of `recommend.REFUSALS` such as "not enough questions to tell"."""

    arm: str
    rule: str
    sentence: str
    reasons: tuple[str, ...]
    confidence: str
    would_change: tuple[str, ...] = ()
    next_step: str = ""
    rule_in_words: str = ""  # empty where no arm is advised


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run found out; recomputed from the rows of its folder, never stored apart from them.

    `arms` and `pairs` are those of the deciding track; `rows` and `questions` are all.
    """

    arms: Mapping[ArmName, ArmResult]
    pairs: tuple[Pair, ...]
    recommendation: Recommendation
    rows: tuple[Row, ...]
    questions: tuple[Question, ...]
    primary_score: str
    detectable: float
    facts: Mapping[str, object] = field(default_factory=dict)  # versions, hashes, seeds, hardware
    track: str = ""  # the questions that arms, pairs and recommendation rest on
    tracks: tuple[Track, ...] = ()
    break_even: tuple[BreakEven, ...] = ()
    readings: tuple[Reading, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    old_answers: tuple[OldAnswers, ...] = ()

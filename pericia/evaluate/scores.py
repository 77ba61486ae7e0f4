"""Scores that need no judge: an answer beside its question, 0..1, higher is better.

Every score reads the answer through `plain_answer` and compares through `normalise`. A question without reference
answers asks for a refusal: scores of correctness are then 1.0 for a refusal and 0.0 for anything else, and a refusal
of an answerable question is 0.0. `SCORES` is the table; None means that a score does not apply to an answer.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pericia.evaluate.matches import (
    MARKER,
    exact,
    format_json,
    json_fields,
    json_object,
    k_precision,
    numeric,
    plain_answer,
    set_f1,
    terminology,
    token_f1,
    token_recall,
)
from pericia.evaluate.normalise import normalise
from pericia.types import Answer, Citation, Passage, Question

RIGHT_FROM = 0.5  # an answer counts as right from this value of the primary score on
SUPPORTED_FROM = 0.5  # a passage supports a sentence of which it holds this share of the words

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?!\[)|\n+")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a score looks at. `terms` are the house words of the use."""

    answer: Answer
    question: Question
    language: str = "en"
    terms: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return plain_answer(self.answer.text)


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """A row of the table of scores. `may_decide` is true where the score is defined for every answer."""

    function: Callable[[Attempt], float | None]
    line: str
    source: str
    may_decide: bool = False


# --- answers with their passages ---------------------------------------------------------------------


def is_same_source(name: str, other: str) -> bool:
    """Return whether two names mean one file: equal, or one is the end of the other's path.

    Example:
        >>> is_same_source("pumps.md", "handbook/pumps.md"), is_same_source("umps.md", "pumps.md")
        (True, False)
    """
    first, second = (n.replace("\\", "/").removeprefix("./").casefold() for n in (name, other))
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


def citation_precision(attempt: Attempt) -> float | None:
    """Return the share of citations that are verified and whose passage supports the answer; None without any.

    A passage supports the sentences that cite it when it holds at least half of their words.
    """
    citations = attempt.answer.citations
    if attempt.answer.refused or not citations:
        return None
    return sum(_is_valid(citation, attempt) for citation in citations) / len(citations)


def citation_recall(attempt: Attempt) -> float | None:
    """Return the share of the answer's sentences that carry a verified citation; None for arms without passages."""
    if attempt.answer.refused or not attempt.answer.passages:
        return None
    verified = {c.number for c in attempt.answer.citations if c.verified}
    cited = [bool(_numbers(sentence) & verified) for sentence in _sentences(attempt)]
    return sum(cited) / len(cited) if cited else None


def source_recall(attempt: Attempt) -> float | None:
    """Return the share of the question's sources among the passages; None without sources or passages."""
    ranks = _source_ranks(attempt)
    return None if ranks is None else sum(rank is not None for rank in ranks) / len(ranks)


def source_rank(attempt: Attempt) -> float | None:
    """Return 1 / rank of the first passage of a right source, 0.0 when none is there (its mean is MRR)."""
    ranks = _source_ranks(attempt)
    if ranks is None:
        return None
    return max((1 / rank for rank in ranks if rank is not None), default=0.0)


def abstention(attempt: Attempt) -> float:
    """Return 1.0 if the answer refuses exactly when the documents hold no answer, else 0.0."""
    return float(attempt.answer.refused != attempt.question.answerable)


def _is_valid(citation: Citation, attempt: Attempt) -> bool:
    passages = attempt.answer.passages
    if not citation.verified or not 1 <= citation.number <= len(passages):
        return False
    citing = [s for s in _sentences(attempt) if citation.number in _numbers(s)]
    said = plain_answer(" ".join(citing)) or attempt.text
    share = k_precision(said, [passages[citation.number - 1].chunk.text], attempt.language)
    return share is not None and share >= SUPPORTED_FROM


def _sentences(attempt: Attempt) -> list[str]:
    return [s for s in _SENTENCE_END.split(attempt.answer.text) if plain_answer(s)]


def _numbers(sentence: str) -> set[int]:
    return {int(number) for number in re.findall(r"\d+", " ".join(MARKER.findall(sentence)))}


def _source_ranks(attempt: Attempt) -> list[int | None] | None:
    passages, sources = attempt.answer.passages, attempt.question.sources
    if not passages or not sources:
        return None
    return [_first_rank(source, passages) for source in sources]


def _first_rank(source: str, passages: Sequence[Passage]) -> int | None:
    for rank, passage in enumerate(passages, start=1):
        if is_same_source(source, passage.chunk.source):
            return rank
    return None


# --- the table -----------------------------------------------------------------------------------------


def _of_correctness(
    score: Callable[[str, Sequence[str], str], float],
) -> Callable[[Attempt], float | None]:
    """Return the score with the rule for refusals that stands at the top of this module."""

    def scored(attempt: Attempt) -> float:
        if attempt.answer.refused or not attempt.question.answerable:
            return abstention(attempt)
        return score(attempt.text, attempt.question.answers, attempt.language)

    return scored


def _of_json(
    score: Callable[[str, Sequence[str], str], float],
) -> Callable[[Attempt], float | None]:
    scored = _of_correctness(score)

    def where_json_is_due(attempt: Attempt) -> float | None:
        is_due = any(json_object(answer) for answer in attempt.question.answers)
        return scored(attempt) if is_due else None

    return where_json_is_due


def _terminology(attempt: Attempt) -> float | None:
    return terminology(attempt.text, attempt.question.answers, attempt.terms, attempt.language)


def _k_precision(attempt: Attempt) -> float | None:
    passages = attempt.answer.passages
    if attempt.answer.refused or not passages:
        return None
    return k_precision(attempt.text, [p.chunk.text for p in passages], attempt.language)


_SQUAD = "SQuAD evaluate-v2.0.py"
_TACL = "Adlakha et al., TACL 2024"
SCORES: dict[str, ScoreKind] = {
    "exact": ScoreKind(_of_correctness(exact), "same words as a reference", _SQUAD, True),
    "token_f1": ScoreKind(_of_correctness(token_f1), "words shared with a reference", _SQUAD, True),
    "token_recall": ScoreKind(
        _of_correctness(token_recall), "a reference's words said", _TACL, True
    ),
    "numeric": ScoreKind(
        _of_correctness(numeric), "same quantity after units and scale", "own", True
    ),
    "set_f1": ScoreKind(
        _of_correctness(set_f1), "items shared with a reference", "tatqa_metric.py", True
    ),
    "abstention": ScoreKind(abstention, "refused exactly when nothing answers", "own", True),
    "format_json": ScoreKind(_of_json(format_json), "a JSON object with the right keys", "own"),
    "json_fields": ScoreKind(_of_json(json_fields), "fields of the object that are right", "own"),
    "terminology": ScoreKind(_terminology, "house terms used where due", "own"),
    "k_precision": ScoreKind(_k_precision, "words that stand in the passages", _TACL),
    "citation_precision": ScoreKind(
        citation_precision, "citations that hold", "after ALCE, 2305.14627"
    ),
    "citation_recall": ScoreKind(
        citation_recall, "sentences with a citation that holds", "after ALCE"
    ),
    "source_recall": ScoreKind(
        source_recall, "right sources among the passages", "recall@k by source"
    ),
    "source_rank": ScoreKind(
        source_rank, "1 / rank of the first right source", "TREC-8 QA, Voorhees 1999"
    ),
}


def score_answer(attempt: Attempt) -> dict[str, float]:
    """Return every score that applies, by name."""
    values = {name: kind.function(attempt) for name, kind in SCORES.items()}
    return {name: value for name, value in values.items() if value is not None}


def outcome(attempt: Attempt, primary: float) -> str:
    """Return in words what became of the question, so that blame falls on the step that earned it.

    `primary` is the value of the primary score; an answer is right from `RIGHT_FROM` on.
    """
    answer, question = attempt.answer, attempt.question
    if not question.answerable:
        return "refused rightly" if answer.refused else "should have refused"
    if primary >= RIGHT_FROM:
        if not answer.passages:
            return "right"
        return "right and cited" if citation_precision(attempt) else "right, not cited"
    if answer.passages and not _holds_evidence(attempt):
        return "evidence not retrieved"
    if answer.refused:
        return "refused wrongly"
    if answer.finish_reason == "length":
        return "cut off"
    return "retrieved, not used" if answer.passages else "wrong"


def _holds_evidence(attempt: Attempt) -> bool:
    if (ranks := _source_ranks(attempt)) is not None:
        return all(rank is not None for rank in ranks)
    texts = normalise("\n".join(p.chunk.text for p in attempt.answer.passages), attempt.language)
    return any(normalise(a, attempt.language) in texts for a in attempt.question.answers)

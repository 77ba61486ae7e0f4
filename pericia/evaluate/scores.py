"""Scores that need no judge: an answer beside its question, 0..1, higher is better.

Every score reads the answer through `plain_answer` and compares through `normalise`. A question without reference
answers asks for a refusal: scores of correctness are then 1.0 for a refusal and 0.0 for anything else, and a refusal
of an answerable question is 0.0. `SCORES` is the table; None means that a score does not apply to an answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pericia.evaluate.behaviour import (
    abstention,
    allowed_terms,
    answered,
    current,
    declined,
    format_pattern,
    refusal_precision,
)
from pericia.evaluate.matches import (
    choice,
    exact,
    format_json,
    json_fields,
    json_object,
    k_precision,
    numeric,
    set_f1,
    terminology,
    token_f1,
    token_recall,
)
from pericia.evaluate.normalise import normalise
from pericia.evaluate.sourcing import (
    Attempt,
    all_sources,
    citation_precision,
    citation_recall,
    evidence_cited,
    source_ndcg,
    source_rank,
    source_ranks,
    source_recall,
)

SCORES_VERSION = 3  # changes when a score does: stored answers are then scored again
RIGHT_FROM = 0.5  # an answer counts as right from this value of the primary score on


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """A row of the table of scores. `may_decide` is true where the score is defined for every answer.

    All are 0..1 and higher is better; `formula` is what is computed for one answer, before the mean over questions.
    """

    function: Callable[[Attempt], float | None]
    line: str
    formula: str
    source: str
    may_decide: bool = False


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
_ALCE = "after ALCE, 2305.14627"
SCORES: dict[str, ScoreKind] = {
    "exact": ScoreKind(
        _of_correctness(exact), "same words as a reference", "1 if equal, else 0", _SQUAD, True
    ),
    "token_f1": ScoreKind(
        _of_correctness(token_f1),
        "words shared with a reference",
        "2 · shared / (words of the answer + words of the reference)",
        _SQUAD,
        True,
    ),
    "token_recall": ScoreKind(
        _of_correctness(token_recall),
        "a reference's words said",
        "shared / words of the reference",
        _TACL,
        True,
    ),
    "numeric": ScoreKind(
        _of_correctness(numeric),
        "same quantity after units and scale",
        "F1 of quantities paired one to one",
        "own; scales as TAT-QA",
        True,
    ),
    "set_f1": ScoreKind(
        _of_correctness(set_f1),
        "items shared with a reference",
        "F1 of items paired one to one by token_f1",
        "tatqa_metric.py",
        True,
    ),
    "choice": ScoreKind(
        _of_correctness(choice),
        "the right option of a multiple choice",
        "1 if the answer's label is the reference's, 0 also when it shows none",
        "label accuracy",
        True,
    ),
    "abstention": ScoreKind(
        abstention, "refused exactly when nothing answers", "1 if so, else 0", "own", True
    ),
    "answered": ScoreKind(
        answered, "answerable questions not refused", "1 − rate of wrong refusals", "own"
    ),
    "declined": ScoreKind(
        declined, "unanswerable questions refused", "recall of refusals", "SQuAD 2.0, NoAns"
    ),
    "refusal_precision": ScoreKind(
        refusal_precision, "refusals that were due", "due / refusals", "own"
    ),
    "current": ScoreKind(
        current,
        "what has changed is not answered as before",
        "0 if an old answer is said and no present one, else 1",
        "own",
    ),
    "format_json": ScoreKind(
        _of_json(format_json),
        "a JSON object with the right keys",
        "1 if it parses and its keys are the reference's",
        "own",
    ),
    "json_fields": ScoreKind(
        _of_json(json_fields),
        "fields of the object that are right",
        "fields equal by exact / fields of the reference",
        "own",
    ),
    "format_pattern": ScoreKind(
        format_pattern,
        "answers of the form asked for",
        "1 if evaluate.pattern matches the whole answer",
        "own",
    ),
    "terminology": ScoreKind(
        _terminology,
        "house terms used where due",
        "terms used / terms of the references",
        "own",
    ),
    "allowed_terms": ScoreKind(
        allowed_terms,
        "no word that the house does not say",
        "1 if no term of evaluate.forbidden_terms is used, else 0",
        "own",
    ),
    "k_precision": ScoreKind(
        _k_precision,
        "words that stand in the passages",
        "words in the passages / words of the answer",
        _TACL,
    ),
    "citation_precision": ScoreKind(
        citation_precision,
        "citations that hold",
        "verified citations whose passage supports the answer / citations",
        _ALCE,
    ),
    "citation_recall": ScoreKind(
        citation_recall,
        "sentences with a citation that holds",
        "sentences with a verified citation / sentences",
        _ALCE,
    ),
    "evidence_cited": ScoreKind(
        evidence_cited,
        "right sources that are cited",
        "sources with a verified citation / sources",
        _ALCE,
    ),
    "source_recall": ScoreKind(
        source_recall,
        "right sources among the passages",
        "recall@k by source",
        "Manning et al. 2008, ch. 8",
    ),
    "source_rank": ScoreKind(
        source_rank,
        "how early the first right source comes",
        "1 / its rank; the mean is MRR",
        "TREC-8 QA, Voorhees 1999",
    ),
    "source_ndcg": ScoreKind(
        source_ndcg,
        "how early all right sources come",
        "nDCG@k: Σ 1/log2(rank + 1) over its ideal",
        "Järvelin and Kekäläinen 2002",
    ),
    "all_sources": ScoreKind(
        all_sources,
        "all sources of a question with several",
        "1 if all are among the passages",
        "own",
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
    if current(attempt) == 0.0:
        return "out of date"
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
    if 0.0 in (_of_json(format_json)(attempt), format_pattern(attempt)):
        return "format broken"
    return "retrieved, not used" if answer.passages else "wrong"


def _holds_evidence(attempt: Attempt) -> bool:
    if (ranks := source_ranks(attempt)) is not None:
        return all(rank is not None for rank in ranks)
    texts = normalise("\n".join(p.chunk.text for p in attempt.answer.passages), attempt.language)
    return any(normalise(a, attempt.language) in texts for a in attempt.question.answers)

"""Kinds of questions: those that a rule of choice speaks about, and what each arm reached on them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pericia.types import Question, Row

# kinds of questions that a rule speaks about, whatever word a file of questions has for them
JOINED, TERMS = "several sources", "terms"
UNANSWERABLE, CHANGED = "no answer in the documents", "changed"
_KINDS = {
    **dict.fromkeys(("several hops", "hops", "join", "joined"), JOINED),
    **dict.fromkeys(("term", "vocabulary"), TERMS),
}


@dataclass(frozen=True, slots=True)
class OfKind:
    """What each arm reached on the questions of one kind; so few that they carry no verdict."""

    kind: str
    num_questions: int
    means: Mapping[str, float]


def kind_of(question: Question) -> str:
    """Return of which kind a question is, "" where nobody says; one with several sources joins them.

    Example:
        >>> kind_of(Question("q", "?", ("a",), ("x.md", "y.md"))), kind_of(Question("q", "?", ()))
        ('several sources', 'no answer in the documents')
    """
    if not question.answerable:
        return UNANSWERABLE
    if question.old_answers:
        return CHANGED
    return JOINED if len(question.sources) > 1 else _KINDS.get(question.kind, question.kind)


def means_by_kind(
    rows: Sequence[Row], questions: Sequence[Question], arms: Sequence[str], primary: str
) -> tuple[OfKind, ...]:
    """Return the means of each kind of questions, the most frequent kind first."""
    kinds = {question.id: kind_of(question) for question in questions}
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.question_id in kinds and row.arm in arms:
            values.setdefault((kinds[row.question_id], row.arm), []).append(row.scores[primary])
    return tuple(
        OfKind(kind, count, {arm: float(np.mean(values[kind, arm])) for arm in arms})
        for kind, count in Counter(kinds.values()).most_common()
    )

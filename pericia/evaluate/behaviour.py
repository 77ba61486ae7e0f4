"""Scores of how an answer behaves: it refuses when it should, is up to date, and keeps the form and the terms asked for."""

import re
from collections.abc import Sequence

from pericia.evaluate.normalise import says
from pericia.evaluate.sourcing import Attempt


def abstention(attempt: Attempt) -> float:
    """Return 1.0 if the answer refuses exactly when the documents hold no answer, else 0.0.

    Example:
        >>> from pericia.types import Answer, Question
        >>> refusal = Answer("I don't know.", refused=True)
        >>> [abstention(Attempt(refusal, Question("q", "?", right))) for right in ((), ("9 bar",))]
        [1.0, 0.0]
    """
    return float(attempt.answer.refused != attempt.question.answerable)


def answered(attempt: Attempt) -> float | None:
    """Return 1.0 for an answerable question that was not refused; 1 - the mean is the rate of wrong refusals.

    Example:
        >>> from pericia.types import Answer, Question
        >>> wrong = Answer("7 bar")  # an answer all the same; whether it is right is for other scores
        >>> [answered(Attempt(wrong, Question("q", "?", right))) for right in (("9 bar",), ())]
        [1.0, None]
    """
    return float(not attempt.answer.refused) if attempt.question.answerable else None


def declined(attempt: Attempt) -> float | None:
    """Return 1.0 for a refusal of a question that nothing answers; the mean is the recall of refusals.

    Example:
        >>> from pericia.types import Answer, Question
        >>> asked = Question("u", "Who paints pump P3?", ())
        >>> declined(Attempt(Answer("No.", refused=True), asked)), declined(Attempt(Answer("Ann"), asked))
        (1.0, 0.0)
    """
    return None if attempt.question.answerable else float(attempt.answer.refused)


def refusal_precision(attempt: Attempt) -> float | None:
    """Return, for a refusal, whether nothing answers the question; None for an answer.

    Example:
        >>> from pericia.types import Answer, Question
        >>> refusal = Answer("I don't know.", refused=True)
        >>> [refusal_precision(Attempt(refusal, Question("q", "?", r))) for r in ((), ("9 bar",))]
        [1.0, 0.0]
    """
    return float(not attempt.question.answerable) if attempt.answer.refused else None


def current(attempt: Attempt) -> float | None:
    """Return 0.0 if the answer says an old answer and no present one, else 1.0; None where nothing has changed.

    Example:
        >>> from pericia.types import Answer, Question
        >>> changed = Question("q", "How much?", ("26 bar",), old_answers=("24 bar",))
        >>> current(Attempt(Answer("24 bar"), changed)), current(Attempt(Answer("26 bar"), changed))
        (0.0, 1.0)
    """
    question = attempt.question
    if not question.old_answers:
        return None
    return float(
        not _says_any(attempt, question.old_answers) or _says_any(attempt, question.answers)
    )


def format_pattern(attempt: Attempt) -> float | None:
    """Return 1.0 if the whole answer has the form that the use asks for; None for refusals and without a form.

    Example:
        >>> from pericia.types import Answer, Question
        >>> asked = Question("q", "Which code?", ("K-12",))
        >>> [format_pattern(Attempt(Answer(t), asked, pattern="[A-Z]-[0-9]+")) for t in ("K-12", "K 12")]
        [1.0, 0.0]
    """
    if not attempt.pattern or attempt.answer.refused:
        return None
    return float(re.fullmatch(attempt.pattern, attempt.text) is not None)


def allowed_terms(attempt: Attempt) -> float | None:
    """Return 1.0 if the answer uses no forbidden term, else 0.0; None for refusals and where none is forbidden.

    Example:
        >>> from pericia.types import Answer, Question
        >>> asked = Question("q", "What turns?", ("the impeller",))
        >>> said = Attempt(Answer("The fan wheel turns."), asked, forbidden_terms=("fan wheel",))
        >>> allowed_terms(said)
        0.0
    """
    if not attempt.forbidden_terms or attempt.answer.refused:
        return None
    return float(not _says_any(attempt, attempt.forbidden_terms))


def _says_any(attempt: Attempt, phrases: Sequence[str]) -> bool:
    return any(says(attempt.text, phrase, attempt.language) for phrase in phrases)

"""A question becomes one that stands by itself: an able model writes it anew, else rules complete it from the chat."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pericia import follow_up
from pericia.library import Library
from pericia.models import MODELS, Model
from pericia.said import said
from pericia.types import Answer, Message, Usage


@dataclass(frozen=True, slots=True)
class Understood:
    """A question as it is searched and answered; `usage` is what a model spent to complete it."""

    question: str
    completed_by: Literal["nobody", "rules", "model"] = "nobody"
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()

    def explain(self, answer: Answer) -> Answer:
        """Return the answer with what understanding its question took."""
        spent = replace(
            answer.usage,
            tokens_in=answer.usage.tokens_in + self.usage.tokens_in,
            tokens_out=answer.usage.tokens_out + self.usage.tokens_out,
            latency_ms=answer.usage.latency_ms + self.usage.latency_ms,
        )
        return replace(answer, usage=spent, notes=(*self.notes, *answer.notes))


def understand(
    question: str, library: Library, model: Model, *, history: Sequence[Message] = ()
) -> Understood:
    """Return the question as it is meant after `history`: as an able model writes it anew, else as rules complete it.

    Raises:
        ModelError: the model failed.
    """
    if library.settings.follow_ups == "off" or not any(turn.role == "user" for turn in history):
        return Understood(question, notes=library.notes)
    if library.settings.follow_ups == "auto" and model.name not in MODELS:
        written = follow_up.by_model(question, history, model)
        if written is not None:
            meant, usage = written
            notes = (*library.notes, *_read_as(question, meant))
            return Understood(meant, "model", usage, notes)
    return _by_rules(question, history, library) or Understood(question, notes=library.notes)


def with_chat(meant: Understood, history: Sequence[Message], library: Library) -> Understood | None:
    """Return a question that seemed to stand by itself, and finds nothing, with what it can borrow from the chat."""
    if library.settings.follow_ups == "off" or meant.completed_by != "nobody":
        return None
    return _by_rules(meant.question, history, library, always=True)


def _by_rules(
    question: str, history: Sequence[Message], library: Library, *, always: bool = False
) -> Understood | None:
    """Return the question as rules complete it; None where they leave it as it is."""
    asked = [turn.content for turn in history if turn.role == "user"]
    language = library.language_of(" ".join([*asked[-1:], question]))
    meant = follow_up.by_rules(question, history, language, always=always)
    if meant == question:
        return None
    return Understood(meant, "rules", notes=(*library.notes, *_read_as(question, meant)))


def _read_as(question: str, meant: str) -> tuple[str, ...]:
    if meant == question:
        return ()
    return (said("The question was read as: %(question)s", question=meant),)

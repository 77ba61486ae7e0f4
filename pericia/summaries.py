"""Summaries written by a model, in place of the sentences that a document begins with.

A summary is searched and never cited, so that a wrong one can cost a place in the order and never an answer. Where the
model fails, the extract stays and the document is summarised at the next sync; where it declines, the extract stays.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pericia import models
from pericia.errors import PericiaError
from pericia.models import MODELS, Model
from pericia.prompts import is_refusal, summary_request
from pericia.said import joined, said
from pericia.types import Document

MAX_NEW_TOKENS = 160
_OPENING_CHARS = 12_000  # of a document: about 3,000 tokens, what it is about stands there
_FAILURES = 3  # one after the other: the rest is not asked for

_LAST_SENTENCE = re.compile(r"^.*[.!?。…]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """A summary and the model `by` which the document is done with, as after it declined; `note` says why none came."""

    text: str = ""
    by: str = ""
    note: str = ""


@dataclass(slots=True)
class Summarist:
    """Asks the model of a name, which is loaded when the first document needs it."""

    name: str
    load: Callable[[], Model]
    _model: Model | None = None
    _failed: int = field(default=0, init=False)

    @property
    def unable(self) -> str:
        """Why the model is not asked at all, in words: the bundled ones only answer questions."""
        if self.name not in MODELS:
            return ""
        return said("'%(model)s' cannot write them, so they are extracts.", model=self.name)

    def write(self, document: Document) -> Written:
        """Return the summary of a document, or why there is none."""
        if not document.blocks:
            return Written(by=self.name)
        if self._failed >= _FAILURES:
            note = said("It has no summary by the model, which failed %(n)s times.", n=_FAILURES)
            return Written(note=note)
        try:
            if self._model is None:
                self._model = self.load()
            made = self._model.generate(
                summary_request(document.title, _opening(document, self._model)),
                max_new_tokens=MAX_NEW_TOKENS,
            )
        except PericiaError as error:
            self._failed = _FAILURES if self._model is None else self._failed + 1
            note = said("It has no summary by the model: %(reason)s", reason=error.message)
            return Written(note=joined([note, error.hint]))
        self._failed = 0
        text = " ".join(made.text.split())
        if made.finish_reason == "length" and (whole := _LAST_SENTENCE.match(text)):
            text = whole[0]
        if not text or is_refusal(text):
            return Written(by=self.name, note=said("The model declined to write its summary."))
        return Written(text, self.name)


def summarist(
    choice: Literal["extractive", "model"], model_name: str, upstream: str = ""
) -> Summarist | None:
    """Return who writes the summaries of a config; None where they are extracts."""
    if choice == "extractive":
        return None
    return Summarist(model_name, lambda: models.load(model_name, upstream))


def _opening(document: Document, model: Model) -> str:
    """Return as much of a document's beginning as the model reads."""
    text = document.text[:_OPENING_CHARS]
    room = model.context_tokens - MAX_NEW_TOKENS
    while text and model.count_tokens(summary_request(document.title, text).messages) > room:
        text = text[: len(text) * 3 // 4]
    return text

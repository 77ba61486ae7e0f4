"""The model `quote`: no language model, but the sentence of the passages that fits the question best, cited.

A sentence scores by the question's words that it holds, each weighted by its rarity in the passages (BM25 over
sentences). What a passage's heading says counts for its sentences; a question for an amount prefers numbers.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pericia import analyser
from pericia.prompts import REFUSAL
from pericia.types import Generation, Message, Passage, Prompt, Usage

MIN_SHARE = 0.3  # of the question's weight; below, no sentence is about the question

_AMOUNT = re.compile(
    r"\b(how (many|much|long|often|hot|high|far|old|big)|what (is the )?(number|price|cost|limit|pressure|temperature)"
    r"|when|cu[aá]nt[oa]s?|cu[aá]ndo|quant[oa]s?|quando|колко|кога)\b",
    re.IGNORECASE,
)


def load_quote() -> "QuoteModel":
    """Return the model."""
    return QuoteModel()


@dataclass(frozen=True, slots=True)
class _Candidate:
    text: str
    number: int  # of its passage in the prompt
    words: frozenset[str]
    heading_words: frozenset[str]


class QuoteModel:
    """See `Model`. Answers depend on `prompt.question` and `prompt.passages` alone; adapters do not apply."""

    name = "quote"
    context_tokens = 1_000_000

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """See `Model.generate`."""
        started = time.perf_counter()
        text = _best_sentence(prompt.question, prompt.passages) or REFUSAL
        if on_text is not None:
            on_text(text)
        latency_ms = (time.perf_counter() - started) * 1000
        tokens_in = self.count_tokens(prompt.messages)
        return Generation(text, Usage(tokens_in, len(text.split()), latency_ms, latency_ms))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See `Model.count_tokens`; a token is a word here."""
        return sum(len(message.content.split()) for message in messages)


def _words(text: str, language: str) -> frozenset[str]:
    """Return the words of a text by which sentences are compared; "work" and "works" are one."""
    unit: analyser.Unit | None = "stem" if analyser.best_unit(language) == "surface" else None
    return frozenset(analyser.tokens(text, language, unit))


def _best_sentence(question: str, passages: Sequence[Passage]) -> str:
    """Return the best sentence or cell with its reference, "" when none is about the question."""
    language = analyser.guess_language(" ".join([question, *(p.chunk.text for p in passages)]))
    asked = _words(question, language)
    candidates = list(_candidates(passages, language))
    if not asked or not candidates:
        return ""
    frequency = Counter(word for c in candidates for word in asked & (c.words | c.heading_words))
    weights = {w: math.log(1 + len(candidates) / (0.5 + frequency[w])) for w in asked}
    whole = sum(weights.values())
    mean_length = sum(len(c.words) for c in candidates) / len(candidates)
    wants_amount = _AMOUNT.search(question) is not None

    def share(candidate: _Candidate) -> float:
        found = sum(weights[w] for w in asked & candidate.words)
        return (
            found
            + 0.5 * sum(weights[w] for w in asked & (candidate.heading_words - candidate.words))
        ) / whole

    def score(candidate: _Candidate) -> float:
        length = 0.75 + 0.25 * len(candidate.words) / mean_length
        amount = 1.15 if wants_amount and any(c.isdigit() for c in candidate.text) else 1.0
        return share(candidate) / length * amount * (1 + 0.2 / candidate.number)

    best = max(candidates, key=score)
    if share(best) < MIN_SHARE:
        return ""
    return f"{_asked_cells(best.text, asked, language)} [{best.number}]"


def _candidates(passages: Sequence[Passage], language: str) -> list[_Candidate]:
    found = []
    for number, passage in enumerate(passages, start=1):
        chunk = passage.chunk
        heading_words = _words(" ".join(chunk.headings), language)
        for start, end in analyser.sentences(chunk.text):
            text = chunk.text[start:end]
            words = _words(text, language)
            if words and text.rstrip(":") not in chunk.headings and not text.endswith("?"):
                found.append(_Candidate(" ".join(text.split()), number, words, heading_words))
    return found


def _asked_cells(text: str, asked: frozenset[str], language: str) -> str:
    """Return the cells of a row whose headers the question names, without those whose value it already gives.

    Example:
        >>> _asked_cells("Model: PX-20 | Price: 310 EUR", _words("price of PX-20", "en"), "en")
        'Price: 310 EUR'
    """
    cells = [cell.partition(": ") for cell in text.split(" | ")]
    if len(cells) < 2 or not all(colon for _, colon, _ in cells):
        return text
    named = [
        f"{header}: {value}"
        for header, _, value in cells
        if asked & _words(header, language) and not _words(value, language) <= asked
    ]
    return " | ".join(named) or text

"""Scores of what stands behind an answer: the passages that were found for it and the citations that it gives.

All are 0..1, higher is better, and None where they do not apply. Ranks count from 1; k is the number of passages
that the model was given.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from pericia.evaluate.matches import MARKER, k_precision, plain_answer
from pericia.types import Answer, Citation, Passage, Question

SUPPORTED_FROM = 0.5  # a passage supports a sentence of which it holds this share of the words

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?!\[)|\n+")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a score looks at. `terms` are the house words of the use, `forbidden_terms` those that it does not say.

    `pattern` is the form that every answer must have.
    """

    answer: Answer
    question: Question
    language: str = "en"
    terms: tuple[str, ...] = ()
    pattern: str = ""
    forbidden_terms: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return plain_answer(self.answer.text)


def is_same_source(name: str, other: str) -> bool:
    """Return whether two names mean one file: equal, or one is the end of the other's path.

    Example:
        >>> is_same_source("pumps.md", "handbook/pumps.md"), is_same_source("umps.md", "pumps.md")
        (True, False)
    """
    first, second = (n.replace("\\", "/").removeprefix("./").casefold() for n in (name, other))
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


# --- ranked lists --------------------------------------------------------------------------------------


def recall(ranks: Sequence[int | None]) -> float:
    """Return the share of relevant items that were found; `ranks` holds the rank of each, None where it was not.

    Source: recall@k as in Manning, Raghavan, Schütze, Introduction to Information Retrieval, 2008, ch. 8.

    Example:
        >>> recall([1, None, 4])
        0.6666666666666666
    """
    return sum(rank is not None for rank in ranks) / len(ranks)


def reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """Return 1 / rank of the first relevant item, 0.0 when none was found; its mean over questions is MRR.

    Source: Voorhees, The TREC-8 Question Answering Track Report, 1999.

    Example:
        >>> reciprocal_rank([4, 2, None])
        0.5
    """
    return max((1 / rank for rank in ranks if rank is not None), default=0.0)


def ndcg(ranks: Sequence[int | None], k: int) -> float:
    """Return the discounted gain, Σ 1/log2(rank + 1), over that of the ideal order of k places.

    Source: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS 2002; gains are 0 or 1.

    Example:
        >>> round(ndcg([2, None], k=5), 4)  # (1 / log2 3) / (1 / log2 2 + 1 / log2 3)
        0.3869
    """
    gained = sum(1 / log2(rank + 1) for rank in ranks if rank is not None)
    return gained / sum(1 / log2(rank + 1) for rank in range(1, min(k, len(ranks)) + 1))


# --- passages ------------------------------------------------------------------------------------------


def source_recall(attempt: Attempt) -> float | None:
    """Return the recall of the question's sources among the passages. See `recall`.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> asked = Question("q", "?", ("9 bar",), ("pumps.md", "prices.csv"))
        >>> source_recall(Attempt(Answer("9 bar", passages=(pumps,)), asked))
        0.5
    """
    ranks = source_ranks(attempt)
    return None if ranks is None else recall(ranks)


def source_rank(attempt: Attempt) -> float | None:
    """Return 1 / rank of the first passage of a right source. See `reciprocal_rank`.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> other = Passage(Chunk("c2", "d2", "oils.md", "Oil L-46.", 0, 9, Place(line=1)), 1, 1.0)
        >>> asked = Question("q", "?", ("9 bar",), ("pumps.md",))
        >>> source_rank(Attempt(Answer("9 bar", passages=(other, pumps)), asked))
        0.5
    """
    ranks = source_ranks(attempt)
    return None if ranks is None else reciprocal_rank(ranks)


def source_ndcg(attempt: Attempt) -> float | None:
    """Return the discounted gain of the first passage of each source. See `ndcg`.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> other = Passage(Chunk("c2", "d2", "oils.md", "Oil L-46.", 0, 9, Place(line=1)), 1, 1.0)
        >>> asked = Question("q", "?", ("9 bar",), ("pumps.md",))
        >>> round(source_ndcg(Attempt(Answer("9 bar", passages=(other, pumps)), asked)), 4)  # 1 / log2 3
        0.6309
    """
    ranks = source_ranks(attempt)
    return None if ranks is None else ndcg(ranks, len(attempt.answer.passages))


def all_sources(attempt: Attempt) -> float | None:
    """Return 1.0 if every source of a question with several is among the passages, else 0.0; None with one source.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> asked = Question("q", "?", ("9 bar",), ("pumps.md", "prices.csv"))
        >>> all_sources(Attempt(Answer("9 bar", passages=(pumps,)), asked))
        0.0
    """
    ranks = source_ranks(attempt)
    return None if ranks is None or len(ranks) < 2 else float(recall(ranks) == 1.0)


def source_ranks(attempt: Attempt) -> list[int | None] | None:
    """Return the rank of the first passage of each source of the question; None without sources or passages."""
    passages, sources = attempt.answer.passages, attempt.question.sources
    if not passages or not sources:
        return None
    return [_first_rank(source, passages) for source in sources]


def _first_rank(source: str, passages: Sequence[Passage]) -> int | None:
    for rank, passage in enumerate(passages, start=1):
        if is_same_source(source, passage.chunk.source):
            return rank
    return None


# --- citations -----------------------------------------------------------------------------------------


def citation_precision(attempt: Attempt) -> float | None:
    """Return the share of citations that are verified and whose passage supports the answer; None without any.

    A passage supports the sentences that cite it when it holds at least half of their words.

    Source: after Gao et al., Enabling LLMs to Generate Text with Citations (ALCE), 2305.14627, with words in place of
    an entailment model.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> first, second = (Citation(n, "pumps.md", "P3 holds 9 bar.", n == 1) for n in (1, 2))
        >>> answer = Answer("P3 holds 9 bar [1][2].", (first, second), passages=(pumps,))
        >>> citation_precision(Attempt(answer, Question("q", "?", ("9 bar",))))  # [2] is no passage
        0.5
    """
    citations = attempt.answer.citations
    if attempt.answer.refused or not citations:
        return None
    return sum(_is_valid(citation, attempt) for citation in citations) / len(citations)


def citation_recall(attempt: Attempt) -> float | None:
    """Return the share of the answer's sentences that carry a verified citation; None for arms without passages.

    Source: after ALCE, as `citation_precision`.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> cited = (Citation(1, "pumps.md", "P3 holds 9 bar.", True),)
        >>> answer = Answer("P3 holds 9 bar [1]. It is blue.", cited, passages=(pumps,))
        >>> citation_recall(Attempt(answer, Question("q", "?", ("9 bar",))))
        0.5
    """
    if attempt.answer.refused or not attempt.answer.passages:
        return None
    verified = {c.number for c in attempt.answer.citations if c.verified}
    cited = [bool(_numbers(sentence) & verified) for sentence in _sentences(attempt)]
    return sum(cited) / len(cited) if cited else None


def evidence_cited(attempt: Attempt) -> float | None:
    """Return the share of the question's sources that a verified citation names; None without sources or passages.

    Source: after ALCE, as `citation_precision`.

    Example:
        >>> from pericia.types import Answer, Chunk, Citation, Passage, Place, Question
        >>> pumps = Passage(Chunk("c1", "d1", "pumps.md", "P3 holds 9 bar.", 0, 15, Place(line=1)), 1, 1.0)
        >>> cited = (Citation(1, "pumps.md", "P3 holds 9 bar.", True),)
        >>> asked = Question("q", "?", ("9 bar",), ("pumps.md", "prices.csv"))
        >>> evidence_cited(Attempt(Answer("9 bar [1]", cited, passages=(pumps,)), asked))
        0.5
    """
    if attempt.answer.refused or not attempt.answer.passages or not attempt.question.sources:
        return None
    named = [citation.source for citation in attempt.answer.citations if citation.verified]
    found = [any(is_same_source(s, name) for name in named) for s in attempt.question.sources]
    return sum(found) / len(found)


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

"""Sentences that say the same of the same thing but for a number or a "not": one of their documents is out of date.

Found by words alone, so only what is put alike is found. Two sentences are compared only where both are surely about the
same: they begin with the same code, or their documents are editions of one, or of one kind and section.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from pericia import analyser
from pericia.editions import Edition, edition, is_newer
from pericia.said import said
from pericia.types import Chunk, Citation, Passage

ALIKE = 0.6  # of the words of both that are no numbers
_WORD = re.compile(r"[^\W_]+(?:[-./,:'’][^\W_]+)*")
_SHORTEST = 2  # words beside the number: "Price: 310" is about nothing
_SUBJECT_WORDS = 3  # at the beginning of a sentence, where its subject stands
_KIND_LETTERS = 4  # of a word that two file names share

EditionOf = Callable[[Chunk], Edition]


def newest_first(passages: Sequence[Passage], edition_of: EditionOf) -> list[Passage]:
    """Return the passages with each that is contradicted by a newer document behind the one that contradicts it."""
    ordered = list(passages)
    claims = {p.chunk.id: _claims(p.chunk) for p in passages}
    for first, second in combinations(range(len(ordered)), 2):
        one, other = ordered[first].chunk, ordered[second].chunk
        if one.source == other.source:
            continue
        if not _disagree(claims[one.id], claims[other.id], are_related(one, other)):
            continue
        if is_newer(edition_of(other), edition_of(one)):
            ordered[first], ordered[second] = ordered[second], ordered[first]
    return [replace(passage, rank=rank) for rank, passage in enumerate(ordered, start=1)]


def notes_on(
    citations: Sequence[Citation], passages: Sequence[Passage], edition_of: EditionOf
) -> tuple[str, ...]:
    """Return a sentence for each document that contradicts a verified quote, and whether it is newer or older."""
    notes: dict[str, None] = {}
    for citation in citations:
        if not (citation.verified and 1 <= citation.number <= len(passages)):
            continue
        cited = passages[citation.number - 1].chunk
        for passage in passages:
            chunk = passage.chunk
            if chunk.source == cited.source or chunk.kind == "summary":
                continue
            related = are_related(cited, chunk)
            for start, end in analyser.sentences(chunk.text):
                sentence = chunk.text[start:end]
                if contradicts(citation.quote, sentence, chunk.language, related=related):
                    newer = is_newer(edition_of(chunk), edition_of(cited))
                    quoted = " ".join(sentence.split())
                    notes[_note(newer, quoted, chunk.source)] = None
                    break
    return tuple(notes)


def _note(is_newer: bool | None, quote: str, source: str) -> str:
    if is_newer is None:
        return said(
            "Another document says otherwise: “%(quote)s” (%(source)s)", quote=quote, source=source
        )
    if is_newer:
        return said(
            "A newer document says otherwise: “%(quote)s” (%(source)s)", quote=quote, source=source
        )
    return said(
        "An older document says otherwise: “%(quote)s” (%(source)s)", quote=quote, source=source
    )


def are_related(one: Chunk, other: Chunk) -> bool:
    """Return whether the documents are editions of one, or of one kind and the passages of the same section there."""
    first, second = (edition(chunk.source, "", 0).series.split() for chunk in (one, other))
    if first == second:
        return True
    kinds = {word for word in first if len(word) >= _KIND_LETTERS} & set(second)
    numbers = [{word for word in words if not word.isalpha()} for words in (first, second)]
    same_section = bool(one.headings) and one.headings == other.headings
    return same_section and bool(kinds) and numbers[0] == numbers[1]


def contradicts(one: str, other: str, language: str, *, related: bool = True) -> bool:
    """Return whether two sentences say the same of the same thing, but with another number, or one with a "not".

    `related` are sentences of documents about the same thing; others must begin with the same code.

    Example:
        >>> contradicts("Refunds are paid within 30 days.", "Refunds are paid within 14 days.", "en")
        True
        >>> contradicts("PX-20 works at 24 bar.", "PX-40 works at 26 bar.", "en")
        False
    """
    return _opposed(_claim(one, language), _claim(other, language), related)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a sentence says: its words, with codes and names whole; its numbers; and whether it says "not"."""

    words: frozenset[str]
    numbers: Counter[str]
    is_negated: bool
    subject: frozenset[str]  # the codes that it begins with

    @property
    def names(self) -> frozenset[str]:
        return frozenset(word for word in self.words if any(c.isdigit() for c in word))


def _opposed(one: _Claim, other: _Claim, related: bool) -> bool:
    if not related and not one.subject & other.subject:
        return False
    if min(len(one.words), len(other.words)) < _SHORTEST or one.names != other.names:
        return False
    if len(one.words & other.words) < ALIKE * len(one.words | other.words):
        return False
    if one.is_negated != other.is_negated:
        return one.numbers == other.numbers
    only_one, only_other = one.numbers - other.numbers, other.numbers - one.numbers
    return only_one.total() == only_other.total() == 1


def _disagree(claims: Sequence[_Claim], others: Sequence[_Claim], related: bool) -> bool:
    return any(_opposed(one, other, related) for one in claims for other in others)


def _claims(chunk: Chunk) -> list[_Claim]:
    if chunk.kind == "summary":
        return []
    return [_claim(chunk.text[a:b], chunk.language) for a, b in analyser.sentences(chunk.text)]


def _claim(sentence: str, language: str) -> _Claim:
    """Return what a sentence says; a number behind a capitalised word is part of a name: Kiln 2."""
    stop_words = analyser.STOP_WORDS.get(language, frozenset())
    words: set[str] = set()
    numbers: Counter[str] = Counter()
    negated = False
    before = ""
    for word in _WORD.findall(sentence):
        small = word.casefold()
        if small in analyser.NEGATIONS:
            negated = not negated
        elif word[0].isdigit() and not any(c.isalpha() for c in word):
            is_name = before[:1].isupper() and before.casefold() not in stop_words
            if is_name and f"{before} {word}" in sentence:
                words.add(f"{before} {word}")
            else:
                numbers[analyser.numbers(word)[0] if analyser.numbers(word) else word] += 1
        elif small not in stop_words:
            words.add(word if any(c.isdigit() for c in word) else analyser.fold(small))
        before = word
    first = _WORD.findall(sentence)[:_SUBJECT_WORDS]
    subject = {w for w in first if any(map(str.isdigit, w)) and any(map(str.isalpha, w))}
    return _Claim(frozenset(words), numbers, negated, frozenset(subject))

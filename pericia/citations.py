"""References of an answer are resolved and checked by rules, without a judge.

`[n]` is verified if passage n was shown, a sentence or row of it supports the claim (shares words with it), and every
number of the claim stands in that passage; and if the file is still the one that was indexed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pericia import analyser
from pericia.catalogue import Catalogue
from pericia.types import Chunk, Citation, Passage
from pericia.workspace import sha256_of_file

_REFERENCE = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_ROWS = re.compile(r"([A-Z]+)(\d+)(?::([A-Z]+)(\d+))?$")


def cite(text: str, question: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return one citation for each sentence and number in it, in the order of the text.

    The question decides between sentences of a passage that support a short claim equally well.
    """
    found: dict[tuple[int, str], Citation] = {}
    for claim, number in _claims(text):
        citation = _citation(claim, number, question, passages)
        found.setdefault((number, citation.quote), citation)
    return tuple(found.values())


def checked_files(citations: Sequence[Citation], catalogue: Catalogue) -> tuple[Citation, ...]:
    """Return the citations, unverified where the file is no longer the one that was indexed."""
    return tuple(_checked_file(citation, catalogue) for citation in citations)


def _checked_file(citation: Citation, catalogue: Catalogue) -> Citation:
    entered = catalogue.files.get(citation.source)
    if not citation.verified or entered is None:
        return citation
    path = Path(entered.path)
    if not path.is_file():
        return replace(citation, verified=False, reason="the file is gone since it was indexed")
    if sha256_of_file(path) != entered.sha256:
        return replace(citation, verified=False, reason="the file has changed since it was indexed")
    return citation


def _claims(text: str) -> Iterator[tuple[str, int]]:
    """Yield each sentence without its references, and each number that it refers to."""
    claim = ""
    for start, end in analyser.sentences(text):
        sentence = text[start:end]
        stated = _REFERENCE.sub(" ", sentence).strip(" .;,\n")
        claim = stated or claim  # "It holds 42 bar. [1]" refers to the sentence before
        for match in _REFERENCE.finditer(sentence):
            for number in re.findall(r"\d+", match.group(1)):
                yield claim, int(number)


def _citation(claim: str, number: int, question: str, passages: Sequence[Passage]) -> Citation:
    if not 1 <= number <= len(passages):
        reason = f"there is no passage {number}; {len(passages)} were shown"
        return Citation(number, "", "", verified=False, reason=reason)
    chunk = passages[number - 1].chunk
    start, end, support = _best_quote(claim, question, chunk)
    reason = _fault(claim, chunk, support)
    line, cell = _line_and_cell(chunk, start)
    return Citation(
        number=number,
        source=chunk.source,
        quote=chunk.text[start:end],
        verified=not reason,
        page=chunk.place.page,
        line=line,
        cell=cell,
        reason=reason,
        sheet=chunk.place.sheet,
    )


def _best_quote(claim: str, question: str, chunk: Chunk) -> tuple[int, int, int]:
    """Return start, end and number of shared words of the sentence that supports the claim best; the first of equals."""
    claimed = set(analyser.surface(claim, chunk.language))
    asked = set(analyser.surface(question, chunk.language))
    best = (0, len(chunk.text), 0)
    best_score = (-1, -1)
    for start, end in analyser.sentences(chunk.text):
        held = set(analyser.surface(chunk.text[start:end], chunk.language))
        score = (len(claimed & held), len(asked & held))
        if score > best_score:
            best, best_score = (start, end, score[0]), score
    return best


def _fault(claim: str, chunk: Chunk, support: int) -> str:
    """Return why a claim is not supported by its passage, "" if it is."""
    if chunk.kind == "summary":
        return "a summary is no evidence"
    held = set(analyser.numbers(" ".join([*chunk.headings, chunk.text])))
    missing = [number for number in analyser.numbers(claim) if number not in held]
    if missing:
        return f"the number {missing[0]} does not stand in the passage"
    if support == 0 and analyser.surface(claim, chunk.language):
        return "the passage shares no word with the sentence"
    return ""


def _line_and_cell(chunk: Chunk, start: int) -> tuple[int | None, str | None]:
    """Return the line and the row's cells of the character `start`: one line of text is one line or row of the source."""
    breaks = chunk.text.count("\n", 0, start)
    place = chunk.place
    line = None if place.line is None else place.line + breaks
    rows = _ROWS.match(place.cell or "")
    if rows is None or rows.group(4) in (None, rows.group(2)):
        return line, place.cell
    left, first, right, last = rows.groups()
    row = min(int(first) + breaks, int(last))
    return line, f"{left}{row}:{right}{row}"

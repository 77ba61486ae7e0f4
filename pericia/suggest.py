"""Passages become drafts of examples: what a table row or a line `name: value` states, asked and answered.

Nothing is invented: an answer is the cell or value itself, and its row is kept as the quote. A person approves drafts
one by one; what was decided is remembered, so that it is not proposed again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Literal

from pericia.errors import NotFoundError
from pericia.similarity import words
from pericia.types import Chunk
from pericia.workspace import lock, read_json_lines, sha256_of, write_json_lines

MOST = 60
DRAFTS = "drafts.jsonl"  # in the state folder
Decision = Literal["draft", "approved", "rejected"]
_ASK = {
    "en": "What is the {name} of {subject}?",
    "es": "¿Cuál es {name} de {subject}?",
    "pt": "Qual é {name} de {subject}?",
    "bg": "Какво е {name} на {subject}?",
}
_PAIR = re.compile(r"^[\s*•·-]*([^:|\n]{2,40}): +([^|\n]{1,80}?)\s*$")
_MOST_CHARS = 80  # of a subject or an answer: what is longer is a text, not a fact


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed example; `quote` is the row or line of `source` that states the answer."""

    id: str
    question: str
    answer: str
    source: str
    quote: str
    state: Decision = "draft"


def propose(
    chunks: Sequence[Chunk], *, known: Collection[str], most: int = MOST
) -> tuple[Draft, ...]:
    """Return up to `most` drafts, taken in turn from each source; `known` questions are left out.

    Example:
        >>> from pericia.types import Place
        >>> row = "Model: PX-20 | Oil: L-46"
        >>> [(d.question, d.answer) for d in propose([Chunk("c", "d", "p.csv", row, 0, 24, Place())], known=())]
        [('What is the oil of PX-20?', 'L-46')]
    """
    seen = {" ".join(words(question)) for question in known}
    by_source: defaultdict[str, list[Draft]] = defaultdict(list)
    for chunk in chunks:
        if chunk.kind == "summary":
            continue
        for question, answer, quote in _facts(chunk):
            key = " ".join(words(question))
            if key not in seen:
                seen.add(key)
                id_ = sha256_of([question, answer, chunk.source])[:12]
                by_source[chunk.source].append(Draft(id_, question, answer, chunk.source, quote))
    in_turn = chain.from_iterable(zip_longest(*by_source.values()))
    return tuple([draft for draft in in_turn if draft is not None][:most])


def read_drafts(path: Path) -> tuple[Draft, ...]:
    """Return all drafts of a file, decided or not; none where there is no file."""
    if not path.exists():
        return ()
    return tuple(Draft(**row) for _, row in read_json_lines(path))


def add_drafts(path: Path, drafts: Sequence[Draft]) -> int:
    """Append drafts that the file does not hold, and return how many those are."""
    with lock(path.parent / "drafting", "drafts"):
        kept = read_drafts(path)
        held = {draft.id for draft in kept}
        new = [draft for draft in drafts if draft.id not in held]
        write_json_lines(path, [asdict(draft) for draft in (*kept, *new)])
    return len(new)


def decide(path: Path, id_: str, change: Callable[[Draft], Draft]) -> Draft:
    """Return a draft after a person has changed or judged it.

    Raises:
        NotFoundError: there is no such draft.
    """
    with lock(path.parent / "drafting", "drafts"):
        drafts = read_drafts(path)
        found = next((draft for draft in drafts if draft.id == id_), None)
        if found is None:
            raise NotFoundError(f"There is no draft '{id_}'.", hint="It may have been decided.")
        changed = replace(change(found), id=id_)
        rows = [asdict(changed if draft.id == id_ else draft) for draft in drafts]
        write_json_lines(path, rows)
    return changed


def _facts(chunk: Chunk) -> Iterator[tuple[str, str, str]]:
    """Yield question, answer and quote of every fact that a chunk states as a row or a pair."""
    ask = _ASK.get(chunk.language, _ASK["en"])
    for line in chunk.text.split("\n"):
        cells = [part.partition(": ") for part in line.split(" | ")]
        if len(cells) > 1 and all(name and mark for name, mark, _ in cells):
            subject = cells[0][2].strip()
            for name, _, value in cells[1:]:
                if _is_fact(subject, value):
                    yield (
                        ask.format(name=_plain(name), subject=subject),
                        value.strip(),
                        line.strip(),
                    )
        elif (pair := _PAIR.match(line)) and chunk.headings:
            subject, value = chunk.headings[-1], pair[2].strip()
            if _is_fact(subject, value):
                yield ask.format(name=_plain(pair[1]), subject=subject), value, line.strip()


def _is_fact(subject: str, value: str) -> bool:
    texts = (subject.strip(), value.strip())
    return all(0 < len(text) <= _MOST_CHARS and text not in "-–—?" for text in texts)


def _plain(name: str) -> str:
    """Return a column's name as it stands in a sentence; abbreviations and codes keep their letters."""
    name = name.strip()
    return name if name[1:2].isupper() or not name[:1].isupper() else name[0].lower() + name[1:]

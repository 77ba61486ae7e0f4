"""Where a reader has to look, known by construction: what some heads of the bundled model are shown in training.

The generator knows what every answer is copied from, so attention need not be found by trial. The end of a name in a
passage looks back at the question if it is asked for (NAME), the end of a label likewise (LABEL), and at the start of
the text if it is not; each word of a value looks at the name that it belongs to (OWNER), at its label (TAG)
and at the number of its passage (MARK); each word of an answer looks at the place that it is copied from, a citation at
the value that knows its number, and what is copied from nowhere at the start of the text (SOURCE).
Each kind is shown to a head of two layers that follow one another, because what one misses the next can mend.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pericia.lab.episodes import Episode, Stated
from pericia.prompts import REFUSAL

NAME, LABEL, OWNER, TAG, MARK, SOURCE = range(6)
HEADS = {  # (layer, head)
    NAME: ((1, 0), (2, 2)),
    LABEL: ((1, 1), (2, 3)),
    OWNER: ((2, 0), (3, 1)),
    TAG: ((2, 1), (3, 2)),
    MARK: ((2, 4), (3, 3)),
    SOURCE: ((3, 0), (4, 0)),
}
ASKED = 1.5  # weight of a name or a label that is asked for: the others are many
FIRST_WORD = 4.0  # weight of the look that decides what is copied
NOWHERE = 0  # the first position of every text
_HEAD = re.compile(r"\n\n\[(\d+)\] ")
_CITED = re.compile(r" \[(\d+)\]$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A message in a row of token ids: its text, the first token's index, and where each token starts in the text."""

    text: str
    first: int
    starts: Sequence[int]

    def token(self, place: int) -> int:
        """Return the index in the row of the token that holds the character at `place`."""
        return self.first + bisect_right(self.starts, place) - 1

    def tokens(self, begin: int, end: int) -> range:
        """Return the indices of the tokens that hold the characters from `begin` to before `end`."""
        return range(self.token(begin), self.token(end - 1) + 1)


@dataclass(frozen=True, slots=True)
class Look:
    """The position `at` looks at any of `targets`, none of them after it; `weight` is its share in the mean."""

    kind: int
    at: int
    targets: tuple[int, ...]
    weight: float = 1.0


def looks_of(episode: Episode, pieces: Sequence[Piece]) -> list[Look]:
    """Return the looks of an episode with passages or with solved examples; `pieces` are its messages in order."""
    if episode.skill == "follow":
        return [look for turn in range(4, len(pieces), 2) for look in _copies(pieces[: turn + 1])]
    user = pieces[1]
    if not _HEAD.search(user.text):
        # Closed book: there is nothing to look at, so the reading heads stay out of it.
        return [Look(SOURCE, piece.first - 1 + len("\n"), (NOWHERE,)) for piece in pieces[2::2]]
    spans = _passages(user.text)
    looks = _names(episode, user, spans)
    for fact in episode.facts:
        looks += _statement(fact, episode, user, spans)
    for piece in pieces[2::2]:
        looks += _sources(piece, user, spans)
    return [look for look in looks if max(look.targets) <= look.at]


def _passages(text: str) -> dict[int, tuple[int, int]]:
    """Return where the text of each numbered passage begins and ends."""
    heads = [*_HEAD.finditer(text)]
    ends = [head.start() for head in heads[1:]] + [text.rfind("\n\nQuestion: ")]
    return {int(head[1]): (head.end(), end) for head, end in zip(heads, ends, strict=True)}


def _names(episode: Episode, user: Piece, spans: dict[int, tuple[int, int]]) -> list[Look]:
    """Return where the names in the passages look: the asked one at the question, the others nowhere."""
    looks = []
    asked = user.text.find(episode.asked, 0, spans[1][0]) if episode.asked else -1
    for begin, end in spans.values():
        for name in {fact.name for fact in episode.facts} | {episode.asked} - {""}:
            for place in _places(user.text, name, begin, end):
                last = user.token(place + len(name) - 1)
                if name != episode.asked:
                    looks.append(Look(NAME, last, (NOWHERE,)))
                elif asked >= 0:
                    target = user.token(asked + len(name) - 1)
                    looks.append(Look(NAME, last, (target,), ASKED))
    return looks


def _statement(
    fact: Stated, episode: Episode, user: Piece, spans: dict[int, tuple[int, int]]
) -> Iterator[Look]:
    """Yield where the value and the label of a fact look; none where the value stands in a passage twice."""
    begin, end = spans[fact.passage]
    places = _places(user.text, fact.value, begin, end)
    if len(places) != 1:
        return
    words = user.tokens(places[0], places[0] + len(fact.value))
    mark = (user.token(user.text.rindex("[", 0, begin) + 1),)
    yield from (Look(MARK, word, mark) for word in words)
    owner = user.text.rfind(fact.name, begin, places[0])
    if owner >= 0:
        end_of_name = (user.token(owner + len(fact.name) - 1),)
        yield from (Look(OWNER, word, end_of_name) for word in words)
    line = max(user.text.rfind(stop, begin, places[0]) for stop in ("\n", " | ", ". "))
    label = user.text.lower().rfind(fact.label.lower(), max(begin, line), places[0])
    if label >= 0:
        last = user.token(label + len(fact.label) - 1)
        yield from (Look(TAG, word, (last,)) for word in words)
        if fact.label == episode.label:
            yield Look(LABEL, last, _asked_words(episode, user, spans[1][0]), ASKED)
        elif episode.label:
            yield Look(LABEL, last, (NOWHERE,))


def _asked_words(episode: Episode, user: Piece, end: int) -> tuple[int, ...]:
    """Return the last token of the label in the first question, or where it is paraphrased all tokens but the name's."""
    begin = user.text.find("Question: ") + len("Question: ")
    close = user.text.find("\n\n", begin)
    label = user.text.find(episode.label, begin, close)
    if label >= 0:
        return (user.token(label + len(episode.label) - 1),)
    name = user.text.find(episode.asked, begin, end) if episode.asked else -1
    taken = set(user.tokens(name, name + len(episode.asked))) if name >= 0 else set()
    return tuple(token for token in user.tokens(begin, close) if token not in taken)


def _sources(answer: Piece, user: Piece, spans: dict[int, tuple[int, int]]) -> Iterator[Look]:
    """Yield where the words of an answer, and the number that it cites, are copied from."""
    start = len("\n")
    if answer.text[start:] == REFUSAL:
        yield Look(SOURCE, answer.token(start) - 1, (NOWHERE,), FIRST_WORD)
    cited = _CITED.search(answer.text)
    if not cited or int(cited[1]) not in spans:
        return
    begin, end = spans[int(cited[1])]
    places = _places(user.text, answer.text[start : cited.start()], begin, end)
    if not places:
        return
    for token in answer.tokens(start, cited.start()):
        letter = max(start, answer.starts[token - answer.first]) - start
        weight = FIRST_WORD if letter == 0 else 1.0
        yield Look(SOURCE, token - 1, tuple(user.token(p + letter) for p in places), weight)
    size = cited.start() - start
    value = {token for place in places for token in user.tokens(place, place + size)}
    yield Look(SOURCE, answer.token(cited.start(1)) - 1, tuple(sorted(value)), FIRST_WORD)


def _copies(pieces: Sequence[Piece]) -> Iterator[Look]:
    """Yield where the last answer is copied from: what the question says from there, the rest from earlier answers."""
    question, answer = pieces[-2:]
    place, text = len("\n"), answer.text
    # By token, because one that begins with the space of the piece before belongs to the piece after it.
    looks: dict[int, Look] = {}
    while place < len(text):
        begin, end, source = max(
            (_longest(text, place, piece) for piece in (question, *pieces[-3::-2])),
            key=lambda found: found[1] - found[0],
        )
        if begin == end:
            place += 1
            continue
        for token in answer.tokens(place, place + end - begin):
            letter = max(0, answer.starts[token - answer.first] - place)
            weight = FIRST_WORD / 2 if letter == 0 else 1.0
            looks[token] = Look(SOURCE, token - 1, (source.token(begin + letter),), weight)
        place += end - begin
    yield from looks.values()


def _longest(text: str, place: int, source: Piece) -> tuple[int, int, Piece]:
    """Return where the longest start of `text[place:]` stands in a source; an empty span if it does not."""
    begin = end = 0
    size = 1
    while place + size <= len(text):
        found = source.text.find(text[place : place + size])
        if found < 0:
            break
        begin, end, size = found, found + size, size + 1
    return begin, end, source


def _places(text: str, part: str, begin: int, end: int) -> list[int]:
    """Return where a part stands as a whole word between `begin` and `end`."""
    pattern = rf"(?<!\w){re.escape(part)}(?!\w)"
    return [found.start() for found in re.compile(pattern).finditer(text, begin, end)]

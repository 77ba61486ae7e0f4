"""Where a reader has to look, known by construction: what some heads of the bundled model are shown in training.

The generator knows what every answer is copied from, so attention need not be found by trial. The end of a name in a
passage looks back at the question if it is asked for (NAME), the end of a label likewise (LABEL), and at the start of
the text if it is not; each word of a value looks at the name that it belongs to (OWNER), at its label (TAG)
and at the number of its passage (MARK); each word of an answer looks at the place that it is copied from, a citation at
the value that knows its number, and what is copied from nowhere at the start of the text (SOURCE).
In solved examples each piece of an answer looks at what it repeats, or depends on, in its own question (PIECE), and the
place before a piece at the same piece of the answers before (SLOT), so that SOURCE can take what the form asks for.
Each kind is shown to a head of two layers that follow one another, because what one misses the next can mend.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pericia.lab.episodes import Episode, Stated
from pericia.prompts import REFUSAL

NAME, LABEL, OWNER, TAG, MARK, SOURCE, PIECE, SLOT = range(8)
HEADS = {  # (layer, head)
    NAME: ((1, 0), (2, 2)),
    LABEL: ((1, 1), (2, 3)),
    OWNER: ((2, 0), (3, 1)),
    TAG: ((2, 1), (3, 2)),
    MARK: ((2, 4), (3, 3)),
    SOURCE: ((3, 0), (4, 0)),
    PIECE: ((1, 2), (2, 5)),
    SLOT: ((2, 6), (3, 4)),
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
        return [*_examples(episode, pieces)]
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


def _examples(episode: Episode, pieces: Sequence[Piece]) -> Iterator[Look]:
    """Yield the looks of solved examples; `pieces` are the system message, then questions and answers in turn."""
    turns = list(zip(pieces[1::2], pieces[2::2], strict=True))
    if not episode.answerable:
        # The values come from nowhere, so only the refusal can be foreseen.
        answer = turns[-1][1]
        yield Look(SOURCE, answer.token(len("\n")) - 1, (NOWHERE,), FIRST_WORD)
    elif episode.keys:
        yield from _labels(episode.keys, turns)
    else:
        yield from _forms(turns)


def _labels(keys: Sequence[str], turns: Sequence[tuple[Piece, Piece]]) -> Iterator[Look]:
    """Yield the looks of answers that depend on one word: at that word, and from the last answer at the one it repeats."""
    start = len("\n")
    for key, (question, answer) in zip(keys, turns, strict=True):
        place = _places(question.text, key, 0, len(question.text))[-1]  # a noun may say it too
        word = (question.token(place + len(key) - 1),)
        for token in answer.tokens(start, len(answer.text)):
            yield Look(PIECE, token, word)
        yield Look(PIECE, answer.token(start) - 1, word, FIRST_WORD)
    last = turns[-1][1]
    same = [answer for _, answer in turns[:-1] if answer.text == last.text]
    for place, token in enumerate(last.tokens(start, len(last.text))):
        sources = tuple(answer.token(start) + place for answer in same)
        yield Look(SOURCE, token - 1, sources, FIRST_WORD if place == 0 else 1.0)


@dataclass(frozen=True, slots=True)
class Copied:
    """Tokens of an answer, one look at its source each; `own` if that is the answer's own question."""

    tokens: tuple[int, ...]
    sources: tuple[int, ...]
    own: bool


def _forms(turns: Sequence[tuple[Piece, Piece]]) -> Iterator[Look]:
    """Yield the looks of answers that are built in one way of pieces of their questions and of words said before."""
    copies = [
        [*_copies(question, answer, [before for _, before in turns[:number]])]
        for number, (question, answer) in enumerate(turns)
    ]
    own = [[copied for copied in found if copied.own] for found in copies]
    for number, found in enumerate(copies):
        for copied in found:
            for token, source in zip(copied.tokens, copied.sources, strict=True):
                opens = token == copied.tokens[0]
                if number:
                    yield Look(SOURCE, token - 1, (source,), FIRST_WORD / 2 if opens else 1.0)
                if copied.own:
                    yield Look(PIECE, token, (source,))
        alike = [before for before in own[:number] if len(before) == len(own[number])]
        for slot, copied in enumerate(own[number] if alike else ()):
            yield Look(SLOT, copied.tokens[0] - 1, tuple(b[slot].tokens[0] for b in alike))


def _copies(question: Piece, answer: Piece, before: Sequence[Piece]) -> Iterator[Copied]:
    """Yield from left to right the longest pieces of an answer that its question or an earlier answer says."""
    place, text = len("\n"), answer.text
    found: list[Copied] = []
    while place < len(text):
        begin, end, source = max(
            (_longest(text, place, piece) for piece in (question, *reversed(before))),
            key=lambda found: found[1] - found[0],
        )
        if begin == end:
            place += 1
            continue
        looks = {
            token: source.token(begin + max(0, answer.starts[token - answer.first] - place))
            for token in answer.tokens(place, place + end - begin)
        }
        if found and found[-1].tokens[-1:] == (min(looks),):
            # A token that begins with the space of one piece belongs to the piece after it.
            found[-1] = Copied(found[-1].tokens[:-1], found[-1].sources[:-1], found[-1].own)
        found.append(Copied(tuple(looks), tuple(looks.values()), source is question))
        place += end - begin
    yield from (copied for copied in found if copied.tokens)


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

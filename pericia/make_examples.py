"""Indexed documents become examples to learn from: by forms, or by a model whose answers are checked in the passage.

With passages, an example is the whole prompt that the product sends: the passage that answers among others that do
not (distractors), and for a share of the questions only others, where the right answer is to decline.
Every example carries its file, page, line or cell, and the quote that it rests on.
Source: Zhang et al., RAFT: Adapting Language Model to Domain Specific RAG, 2024 (distractors, prompts without the
passage that answers).
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import Any

from pericia.duplicates import leaking, without_duplicates
from pericia.errors import InputError, ModelError
from pericia.examples import as_chat
from pericia.models import Model
from pericia.prompts import INSTRUCTION, REFUSAL, example_request, open_book_prompt
from pericia.similarity import words
from pericia.suggest import propose
from pericia.types import Chunk, Context, Example, Message, Passage, Question

REPLY_TOKENS = 200
_TURN = re.compile(r"(?im)^\W*(?P<kind>question|answer)\W*[:.]\s*(?P<text>.+?)\s*$")
_ABOUT_THE_TEXT = re.compile(r"\b(passage|the text|this text|the document|above|below)\b", re.I)


@dataclass(frozen=True, slots=True)
class MadeExample:
    """An example with the place that it rests on; `kind` says whether a form or a model asked."""

    example: Example
    kind: str
    chunk: Chunk
    quote: str
    refuses: bool = False

    def as_row(self) -> dict[str, Any]:
        """Return the row of a file of examples."""
        place = asdict(self.chunk.place)
        places = {k: v for k, v in place.items() if v is not None and k != "box"}
        return {
            "messages": as_chat(self.example.messages),
            "source": self.example.source,
            "id": self.example.id,
            "place": {**places, "quote": self.quote, "made_by": self.kind},
        }


@dataclass(frozen=True, slots=True)
class Making:
    """The examples made, and how many were left out for which reason."""

    made: tuple[MadeExample, ...]
    left_out: Mapping[str, int]


def make_examples(
    chunks: Sequence[Chunk],
    *,
    most: int,
    seed: int = 0,
    writer: Model | None = None,
    held_out: Sequence[Question] = (),
    find: Callable[[str], Context] | None = None,
    instruction: str = INSTRUCTION,
    refusal_share: float = 0.15,
) -> Making:
    """Return up to `most` examples, taken in turn from each document; none gives a held-out question away.

    `writer` asks and answers instead of the forms. With `find`, which brings back the passages of a question, the
    examples are whole prompts with passages, `refusal_share` of them without the one that answers.

    Raises:
        InputError: nothing could be made.
    """
    left_out: Counter[str] = Counter()
    found = _written(chunks, writer, left_out, seed) if writer else _by_forms(chunks, most)
    made: list[MadeExample] = []
    for example in found:
        made.append(example)
        if len(made) >= most:
            break
    kept, duplicates = without_duplicates([one.example for one in made])
    given_away = {id(example) for example, _, _ in leaking(kept, held_out)}
    left_out["said twice"] += len(duplicates)
    left_out["asked by a held-out question"] += len(given_away)
    sound = {id(example) for example in kept} - given_away
    made = [one for one in made if id(one.example) in sound]
    if find is not None:
        rng = random.Random(seed)
        made = [_with_passages(one, find, instruction, refusal_share, rng) for one in made]
    if not made:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise InputError(
            f"No example could be made of {len(chunks)} passages"
            + (f": {reasons}." if reasons else "."),
            hint="Forms need tables or lines 'name: value'; a model can ask about any text: --writer",
        )
    return Making(tuple(made), dict(left_out))


def _by_forms(chunks: Sequence[Chunk], most: int) -> Iterator[MadeExample]:
    by_source: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_source[chunk.source].append(chunk)
    for draft in propose(chunks, known=(), most=most):
        own = [c for c in by_source[draft.source] if draft.quote in c.text and c.kind != "summary"]
        yield _made(draft.question, draft.answer, own[0], draft.quote, "form")


def _written(
    chunks: Sequence[Chunk], writer: Model, left_out: Counter[str], seed: int
) -> Iterator[MadeExample]:
    """Yield what the model asks and answers about each passage, if the passage really says so."""
    by_source: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        if chunk.kind != "summary":
            by_source[chunk.source].append(chunk)
    rng = random.Random(seed)
    for own in by_source.values():
        rng.shuffle(own)
    for chunk in chain.from_iterable(zip_longest(*by_source.values())):
        if chunk is None:
            continue
        try:
            reply = writer.generate(example_request(chunk.text), max_new_tokens=REPLY_TOKENS)
        except (InputError, ModelError):
            left_out["passage too long for the model"] += 1
            continue
        pairs = list(read_reply(reply.text))
        if not pairs:
            left_out["no question and answer in the reply"] += 1
        for question, answer in pairs:
            quote = quote_of(answer, chunk.text)
            if quote is None:
                left_out["answer does not stand in the passage"] += 1
            elif _ABOUT_THE_TEXT.search(question) or len(words(question)) < 3:
                left_out["question means nothing without the passage"] += 1
            elif " ".join(words(answer)) in " ".join(words(question)):
                left_out["question gives its answer"] += 1
            else:
                yield _made(question, answer, chunk, quote, writer.name)


def read_reply(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield the pairs of a reply, lines "Question: …" each followed by "Answer: …".

    Example:
        >>> list(read_reply("Question: How hot?\nAnswer: 900 °C"))
        [('How hot?', '900 °C')]
    """
    question = ""
    for turn in _TURN.finditer(text):
        if turn["kind"].lower() == "question":
            question = turn["text"]
        elif question:
            yield question, turn["text"]
            question = ""


def quote_of(answer: str, text: str) -> str | None:
    """Return the line of a passage that holds the words of an answer one after the other; None if none does."""
    wanted = words(answer)
    for line in text.split("\n"):
        said = words(line)
        runs = (said[i : i + len(wanted)] for i in range(len(said) - len(wanted) + 1))
        if wanted and any(run == wanted for run in runs):
            return line.strip()
    return None


def _made(question: str, answer: str, chunk: Chunk, quote: str, kind: str) -> MadeExample:
    messages = (Message("user", question), Message("assistant", answer))
    example = Example(messages, f"{chunk.id}-{len(quote)}-{len(question)}", 0, chunk.source)
    return MadeExample(example, kind, chunk, quote)


def _with_passages(
    one: MadeExample,
    find: Callable[[str], Context],
    instruction: str,
    refusal_share: float,
    rng: random.Random,
) -> MadeExample:
    """Return the example as the product's prompt, with the passage that answers, or declining without it."""
    question, answer = one.example.question, one.example.answer
    found = list(find(question).passages)
    wanted = " ".join(words(answer))

    def holds(passage: Passage) -> bool:
        return wanted in " ".join(words(passage.chunk.text))

    others = [passage for passage in found if not holds(passage)]
    refuses = bool(others) and rng.random() < refusal_share
    if refuses:
        shown, said = others, REFUSAL
    else:
        gold = [n for n, p in enumerate(found) if p.chunk.source == one.example.source and holds(p)]
        if not gold:  # retrieval missed it: it takes the place of the worst
            at = rng.randrange(max(1, len(found)))
            found = found[:-1]
            found.insert(at, Passage(one.chunk, at + 1, 0.0))
            gold = [at]
        shown, said = found, f"{answer} [{gold[0] + 1}]"
    prompt = open_book_prompt(question, Context(tuple(shown)), instruction)
    messages = (*prompt.messages, Message("assistant", said))
    made = Example(messages, one.example.id, 0, one.example.source)
    return MadeExample(made, one.kind, one.chunk, one.quote, refuses)

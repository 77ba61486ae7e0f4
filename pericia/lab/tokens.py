"""The tokenizer of the bundled model, and episodes as batches of token ids with a loss weight each.

Byte-level BPE in which digits stand alone, with Phi-3's markers as added tokens. `CHAT_TEMPLATE` is TRL's
`phi3.jinja` byte for byte, because TRL recognises it by comparing the whole string (a test compares them).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pericia.lab.episodes import Episode
from pericia.lab.looks import Look, Piece, looks_of

VOCABULARY = 3072
MAX_TOKENS = 4096
END_OF_TEXT, ASSISTANT, END, SYSTEM, USER = (
    "<|endoftext|>",
    "<|assistant|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
)
PROMPT, ANSWER, PADDING, REPEAT = range(4)  # roles of a position in the loss
MARKERS = (END_OF_TEXT, ASSISTANT, END, SYSTEM, USER)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Return a byte-level BPE of `VOCABULARY` tokens learned from the texts; the markers come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(marker, special=True, normalized=False) for marker in MARKERS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def wrap_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Return the tokenizer as transformers knows it, with markers, chat template and length."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=MAX_TOKENS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def marker_id(tokenizer: Tokenizer, marker: str) -> int:
    """Return the id of a marker."""
    number: int | None = tokenizer.token_to_id(marker)
    assert number is not None, f"the tokenizer lacks {marker}"
    return number


@dataclass(frozen=True, slots=True)
class Row:
    """An episode in tokens: ids, uint16; the role of each, uint8; and where the reading heads have to look."""

    ids: np.ndarray
    roles: np.ndarray
    looks: list[Look]


def encode(tokenizer: Tokenizer, episodes: Sequence[Episode]) -> list[Row]:
    """Return for each episode its ids and roles: prompt, answer, or the question's second saying.

    Encoding runs piece by piece between markers, which gives the ids of the rendered chat template.
    """
    pieces = [f"\n{message.content}" for episode in episodes for message in episode.messages]
    encoded = iter(tokenizer.encode_batch(pieces, add_special_tokens=False))
    marker = {role: marker_id(tokenizer, f"<|{role}|>") for role in ("system", "user", "assistant")}
    end, stop = marker_id(tokenizer, END), marker_id(tokenizer, END_OF_TEXT)
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    rows = []
    for episode in episodes:
        ids: list[int] = []
        mask: list[int] = []
        said_pieces: list[Piece] = []
        for message in episode.messages:
            encoding = next(encoded)
            piece = encoding.ids
            starts = [start for start, _ in encoding.offsets]
            said_pieces.append(Piece(f"\n{message.content}", len(ids) + 1, starts))
            if message.role == "assistant":
                roles = [PROMPT] * len(newline) + [ANSWER] * (len(piece) - len(newline) + 1)
            else:
                repeat = message.content.rfind("\n\nQuestion: ") + len("\n\nQuestion: ")
                said = repeat > len("\n\nQuestion: ")
                roles = [
                    REPEAT if said and start > repeat else PROMPT for start, _ in encoding.offsets
                ]
                roles.append(PROMPT)
            ids += [marker[message.role], *piece, end, *newline]
            mask += [PROMPT, *roles, *[PROMPT] * len(newline)]
        ids.append(stop)
        mask.append(ANSWER)
        looks = looks_of(episode, said_pieces)
        rows.append(Row(np.array(ids, dtype=np.uint16), np.array(mask, dtype=np.uint8), looks))
    return rows


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids[i, t]`, padded with 0 on the right; `mask[i, t]` is the role of that position; `looks` as (i, look)."""

    ids: np.ndarray
    mask: np.ndarray
    looks: list[tuple[int, Look]]

    @classmethod
    def of(cls, rows: Sequence[Row], width: int = 0) -> "Batch":
        """Return rows side by side, padded to `width` or to the longest."""
        width = width or max(len(row.ids) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.full((len(rows), width), PADDING, dtype=np.uint8)
        for index, row in enumerate(rows):
            ids[index, : len(row.ids)] = row.ids
            mask[index, : len(row.ids)] = row.roles
        return cls(ids, mask, [(i, look) for i, row in enumerate(rows) for look in row.looks])


def make_batches(rows: Sequence[Row], batch_tokens: int, rng: Random) -> list[Batch]:
    """Return batches of rows of about one length, `batch_tokens` each, in random order."""
    rows = sorted(rows, key=lambda row: len(row.ids))
    batches: list[Batch] = []
    while rows:
        width = -(-len(rows[-1].ids) // 32) * 32
        count = max(1, batch_tokens // width)
        batches.append(Batch.of(rows[-count:], width))
        rows = rows[:-count]
    rng.shuffle(batches)
    return batches


def texts_of(episodes: Iterable[Episode]) -> Iterator[str]:
    """Yield every message of the episodes."""
    for episode in episodes:
        yield from (message.content for message in episode.messages)

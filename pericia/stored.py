"""What is the same in every store: how chunks and tokens are written to come back as they were, and what may be asked."""

import json
from dataclasses import asdict
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from pericia.errors import ConflictError
from pericia.types import Chunk, Place

_TOKEN_CHARS = 200  # an index key has a limit of its own in every store; words are shorter, encoded data are not


def chunk_to_json(chunk: Chunk) -> str:
    """Return the text that stands for a chunk in a store."""
    return json.dumps(asdict(chunk), ensure_ascii=False)


def chunk_from_json(stored: str) -> Chunk:
    """Return the chunk that `chunk_to_json` wrote."""
    fields = json.loads(stored)
    place = fields.pop("place")
    place["box"] = tuple(place["box"]) if place["box"] else None
    for name in ("headings", "groups"):
        fields[name] = tuple(fields[name])
    return Chunk(**fields, place=Place(**place))


def stored_token(token: str) -> str:
    """Return a token as it is stored and searched: a very long one by its beginning and its hash, never dropped.

    Example:
        >>> stored_token("a-113/b"), len(stored_token("x" * 5000))
        ('a-113/b', 216)
    """
    if len(token) <= _TOKEN_CHARS:
        return token
    return token[:_TOKEN_CHARS] + sha256(token.encode()).hexdigest()[:16]


def check_dimensions(question: NDArray[np.float32], num_dimensions: int) -> None:
    """Raise ConflictError unless a question's vector has the shape of those that it is to be compared with."""
    if question.shape != (num_dimensions,):
        raise ConflictError(
            f"A question of {question.shape[-1]} dimensions cannot search vectors of {num_dimensions}.",
            hint="Ask with the embedder that the index was made with.",
        )

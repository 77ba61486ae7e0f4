"""How chunks and tokens are written in a store, the same in every store, so that they come back as they were."""

import json
from dataclasses import asdict
from hashlib import sha256

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

"""Small documents for the stores: vectors and tokens made from a name, so that they can be made again."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from pericia.types import Chunk, Entry, Place

DIMENSIONS = 16


def document_id(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:24]


def vector_of(name: str) -> NDArray[np.float32]:
    seed = int.from_bytes(sha256(name.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.linalg.norm(vector)


def entry(document: str, number: int, text: str, groups: Sequence[str] = ()) -> Entry:
    chunk = Chunk(
        id=document_id(f"{document}#{number}"),
        document_id=document_id(document),
        source=f"{document}'s file.txt",
        text=text,
        start=number * 100,
        end=number * 100 + len(text),
        place=Place(page=1, line=number + 1, box=(0.0, 1.0, 2.0, 3.5)),
        headings=("Heading",),
        num_tokens=len(text.split()),
        groups=tuple(groups),
    )
    return Entry(chunk, vector_of(f"{document}{number}{text}"), text)


def document(name: str, generation: str, size: int = 3, groups: Sequence[str] = ()) -> list[Entry]:
    """Return a document whose chunks all carry the word of their generation."""
    return [entry(name, i, f"{generation} {name} part{i}", groups) for i in range(size)]

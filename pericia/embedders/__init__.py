"""Embedders: texts become vectors of length 1, so that their product is the cosine."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pericia.lookup import load_object

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    name: str  # identifies weights and settings: vectors of two names must never meet in one table
    num_dimensions: int
    max_tokens: int  # longer texts would be cut, so chunks are made shorter

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return one row a text, (n, num_dimensions) float32, each of length 1."""
        ...

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """Return one row a question, as `embed_passages` but with the model's own prefix for questions."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return the length of a text in this model's tokens, without special tokens."""
        ...


EMBEDDERS = {"minilm": "pericia.embedders.minilm:load"}


_ANY_FOLDER = {"folder": "pericia.embedders.local:load_folder"}


def load(name: str) -> Embedder:
    """Return the embedder of a name of `EMBEDDERS`, or a sentence-transformers folder or hub name."""
    if name in EMBEDDERS:
        embedder: Embedder = load_object(EMBEDDERS, name, "embedder")()
    else:
        embedder = load_object(_ANY_FOLDER, "folder", "embedder")(name)
    return embedder

"""Embedders: texts become vectors of length 1, so that their product is the cosine."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Contextual(Protocol):
    """What an embedder is as well if the texts of one call can lend each other meaning: then a call is one document."""

    reads_context: bool


@runtime_checkable
class Metered(Protocol):
    """What an embedder is as well if its tokens are counted by somebody else."""

    num_tokens_sent: int

    @property
    def cost_usd(self) -> float | None:
        """What was spent so far, None where the price is not known."""
        ...


EMBEDDERS = {"minilm": "pericia.embedders.minilm:load"}

_OTHERS = {
    "remote": "pericia.embedders.remote:load",
    "folder": "pericia.embedders.local:load_folder",
}
_REMOTE = ("openai:", "jina:", "http://", "https://")


def load(name: str) -> Embedder:
    """Return the embedder of a name.

    That is one of `EMBEDDERS`, a sentence-transformers folder or hub name, or a remote one: `openai:MODEL`,
    `jina:MODEL`, `https://HOST/v1?model=MODEL`, with options behind `?` (see `embedders/remote.py`).

    Raises:
        NotFoundError: the folder is none. ConfigError: a remote name is wrong, or its key is missing.
        ModelError: the model cannot be loaded.
    """
    if name in EMBEDDERS:
        embedder: Embedder = load_object(EMBEDDERS, name, "embedder")()
        return embedder
    other = "remote" if name.startswith(_REMOTE) else "folder"
    embedder = load_object(_OTHERS, other, "embedder")(name)
    return embedder


def reads_context(embedder: Embedder) -> bool:
    """Return whether a text's vector depends on the texts embedded with it."""
    return isinstance(embedder, Contextual) and embedder.reads_context

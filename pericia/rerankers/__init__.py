"""Rerankers: a model that reads a question together with each passage puts the passages in a better order."""

from collections.abc import Sequence
from typing import Protocol

from pericia.lookup import load_object


class Reranker(Protocol):
    name: str

    def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers the question, 0..1; what is too long for the model is cut at its end."""
        ...


_ANY = {"folder": "pericia.rerankers.cross_encoder:load_folder"}


def load(name: str) -> Reranker:
    """Return the reranker of a name: a folder or hub name of a sentence-transformers CrossEncoder.

    Raises:
        NotFoundError: the folder is none. ModelError: it cannot be loaded, or gives no single score.
    """
    reranker: Reranker = load_object(_ANY, "folder", "reranker")(name)
    return reranker

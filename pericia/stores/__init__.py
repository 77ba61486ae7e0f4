"""Vector stores: chunks with their vectors and lexical tokens, searched by either."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pericia.lookup import load_object
from pericia.types import Chunk, Entry, Hit


class VectorStore(Protocol):
    def replace(self, entries_by_document: Mapping[str, Sequence[Entry]]) -> None:
        """Make the entries the only ones of their documents, in one commit: readers see all old or all new ones.

        A document with no entries is removed.
        """
        ...

    def search_dense(
        self, vector: NDArray[np.float32], k: int, groups: Sequence[str] | None = None
    ) -> list[Hit]:
        """Return up to k hits, nearest first, ties by chunk id. `groups` None means no access control."""
        ...

    def search_lexical(
        self, tokens: Sequence[str], k: int, groups: Sequence[str] | None = None
    ) -> list[Hit]:
        """Return up to k hits that share a token with the question, best BM25 first, ties by chunk id."""
        ...

    def chunks(self, document_id: str | None = None) -> list[Chunk]:
        """Return the stored chunks, of one document or of all, ordered by document and start."""
        ...

    def count(self) -> int: ...

    def optimize(self) -> str:
        """Compact and build what indexes are worth it; returns a fault in words, or "" when all went well."""
        ...


STORES = {"lance": "pericia.stores.lance:LanceStore"}


def load(name: str, folder: Path, embedder_name: str, num_dimensions: int) -> VectorStore:
    """Return the store of a name of `STORES`; one table for each embedder.

    Raises:
        NotFoundError: no such store. ConflictError: the table holds another embedder's vectors.
    """
    open_store = load_object(STORES, name, "vector store", extra=name)
    store: VectorStore = open_store(folder, embedder_name, num_dimensions)
    return store

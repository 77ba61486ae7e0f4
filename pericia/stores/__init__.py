"""Vector stores: chunks with their vectors and lexical tokens, searched by either.

To add one, write `stores/<name>.py` and name it in `STORES`; the conformance suite in `tests/stores` then runs for it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pericia.errors import ConfigError
from pericia.lookup import load_object
from pericia.types import Chunk, Entry, Hit


class VectorStore(Protocol):
    def replace(self, entries_by_document: Mapping[str, Iterable[Entry]]) -> None:
        """Make the entries the only ones of their documents, in one commit: readers see all old or all new ones.

        A document with no entries is removed. Entries may be made as they are taken, so that a large document is
        never in memory whole; they may be taken a second time after a lost race.
        """
        ...

    def search_dense(
        self,
        vector: NDArray[np.float32],
        k: int,
        groups: Sequence[str] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[Hit]:
        """Return up to k hits, nearest first, ties by chunk id.

        `groups` None means no access control, otherwise only chunks without groups or with one of these are ranked;
        `documents` are the ids that the search is limited to, None for all. Both apply before ranking.
        """
        ...

    def search_lexical(
        self,
        tokens: Sequence[str],
        k: int,
        groups: Sequence[str] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[Hit]:
        """Return up to k hits that share a token with the question, best BM25 first, ties by chunk id.

        Rarity of a word and mean length are those of the whole store. `groups` and `documents` as in `search_dense`.
        """
        ...

    def chunks(self, document_id: str | None = None) -> list[Chunk]:
        """Return the stored chunks, of one document or of all, ordered by document and start."""
        ...

    def vectors(self, chunk_ids: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Return the stored vectors by chunk id; ids that are not stored are left out."""
        ...

    def count(self) -> int: ...

    def sizes(self) -> dict[str, int]:
        """Return how many chunks each document has, by its id; cheap, as no chunk is read."""
        ...

    def optimize(self) -> str:
        """Compact and build what indexes are worth it; returns a fault in words, or "" when all went well."""
        ...


STORES = {
    "lance": "pericia.stores.lance.store:LanceStore",
    "postgresql": "pericia.stores.postgres.store:PostgresStore",
}
_SERVERS = frozenset({"postgresql"})  # named by the address of a database, not by the name alone


def load(where: str, folder: Path, embedder_name: str, num_dimensions: int) -> VectorStore:
    """Return the store at `where`: a name of `STORES`, or an address such as "postgresql://user@host/database".

    `folder` is the index's own; an embedded store lies in it, of one on a server it keeps the id.

    Raises:
        NotFoundError: no such store. ConfigError: the address is no good.
        StoreError: the server does not answer.
        ConflictError: the table holds another embedder's vectors.
    """
    opened = _store_class(where)
    if "://" in where:
        store: VectorStore = opened(where, folder, embedder_name, num_dimensions)
    else:
        store = opened(folder, embedder_name, num_dimensions)
    return store


def drop(where: str, folder: Path) -> None:
    """Delete what a store keeps of an index, in its folder or on its server, for good. Raises as `load`."""
    dropped = _store_class(where)
    if "://" in where:
        dropped.drop(where, folder)
    else:
        dropped.drop(folder)


def _store_class(where: str) -> Any:
    name, _, address = where.partition("://")
    found = load_object(STORES, name, "vector store", extra=name)
    if (name in _SERVERS) != bool(address):
        shown = f"{name}://user@host/database" if name in _SERVERS else name
        raise ConfigError(f"The store '{where}' has no good address.", hint=f"Write: {shown}")
    return found

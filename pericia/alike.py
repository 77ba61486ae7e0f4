"""Items like these, as a shop recommends: the passages, rows or documents nearest in meaning to others.

given items -> the mean of their vectors -> its nearest neighbours, without the given ones
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pericia.errors import NotFoundError
from pericia.said import said
from pericia.stores import VectorStore
from pericia.types import Hit

MOST_PASSAGES = 500  # of each document, evenly spread: enough for its mean
_FIRST = 50


def passages_alike(
    chunk_ids: Collection[str],
    *,
    store: VectorStore,
    k: int,
    groups: Sequence[str] | None = None,
) -> list[Hit]:
    """Return up to k passages or rows like the given ones, nearest first; the score is the cosine to their mean.

    Only what `groups` may read is found, None: everything.

    Raises:
        NotFoundError: none of the given passages is stored.
    """
    near = _nearest(_mean(chunk_ids, store), store, groups)
    others = (h for h in near if h.chunk.kind != "summary" and h.chunk.id not in chunk_ids)
    return list(islice(others, k))


def documents_alike(
    document_ids: Collection[str],
    *,
    store: VectorStore,
    k: int,
    groups: Sequence[str] | None = None,
) -> list[Hit]:
    """Return what is most like the given documents in up to k others: the best hit of each, nearest first.

    See `passages_alike`.
    """
    ids: list[str] = []
    for document_id in document_ids:
        own = [chunk.id for chunk in store.chunks(document_id)]
        ids += own[:: 1 + len(own) // MOST_PASSAGES]
    best: dict[str, Hit] = {}
    for hit in _nearest(_mean(ids, store), store, groups):
        if hit.chunk.document_id not in document_ids:
            best.setdefault(hit.chunk.document_id, hit)
        if len(best) == k:
            break
    return list(best.values())


def _mean(chunk_ids: Collection[str], store: VectorStore) -> NDArray[np.float32]:
    """Return the mean direction of stored vectors, of length 1."""
    vectors = list(store.vectors(chunk_ids).values())
    if not vectors:
        raise NotFoundError(
            said("None of these passages is indexed."), hint=said("Run: pericia add")
        )
    total: NDArray[np.float32] = np.sum(vectors, axis=0, dtype=np.float32)
    return total / max(float(np.linalg.norm(total)), 1e-12)


def _nearest(
    vector: NDArray[np.float32], store: VectorStore, groups: Sequence[str] | None
) -> Iterator[Hit]:
    """Yield everything stored, nearest first; the store is asked for twice as much whenever that is used up."""
    seen: set[str] = set()
    k = _FIRST
    while True:
        hits = store.search_dense(vector, k, groups)
        yield from (hit for hit in hits if hit.chunk.id not in seen)
        if len(hits) < k:
            return
        seen |= {hit.chunk.id for hit in hits}
        k *= 2

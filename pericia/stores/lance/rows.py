"""Entries as rows of a table, rows as hits, and which rows a search may rank."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from pericia.stored import chunk_from_json, chunk_to_json, stored_token
from pericia.types import Entry, Hit

BATCH_ROWS = 1000


def schema_of(embedder_name: str, num_dimensions: int) -> pa.Schema:
    """Return the columns. Text has 64-bit offsets: a compaction of over 2 GiB would overflow 32 bits."""
    text = pa.large_string()
    return pa.schema(
        [
            pa.field("id", text),
            pa.field("document_id", text),
            pa.field("groups", pa.list_(text)),
            pa.field("tokens", text),
            pa.field("chunk", text),
            pa.field("vector", pa.list_(pa.float32(), num_dimensions)),
        ],
        metadata={"embedder": embedder_name, "num_dimensions": str(num_dimensions)},
    )


def reader(
    entries_by_document: Mapping[str, Iterable[Entry]],
    schema: pa.Schema,
    stale: AbstractSet[str] = frozenset(),
) -> pa.RecordBatchReader:
    """Return the entries as a stream of batches, so that they are not all in memory at once.

    The chunks `stale` that are not among the entries follow as empty rows.
    """

    def rows() -> Iterator[dict[str, Any]]:
        left = set(stale)
        for entry in chain.from_iterable(entries_by_document.values()):
            left.discard(entry.chunk.id)
            yield _row(entry)
        for chunk_id in left:
            yield dict.fromkeys(schema.names) | {"id": chunk_id}

    made = rows()
    batches = (
        pa.RecordBatch.from_pylist([first, *islice(made, BATCH_ROWS - 1)], schema) for first in made
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _row(entry: Entry) -> dict[str, Any]:
    chunk = entry.chunk
    assert np.isfinite(entry.vector).all(), chunk.id  # else it would be stored without one
    return {
        "id": chunk.id,
        "document_id": chunk.document_id,
        "groups": [_group_key(group) for group in chunk.groups],
        "tokens": " ".join(map(stored_token, entry.tokens.split(" "))),
        "chunk": chunk_to_json(chunk),
        "vector": entry.vector,
    }


def hits_of(found: pa.Table, score: Callable[[Mapping[str, Any]], float], k: int) -> list[Hit]:
    hits = [Hit(chunk_from_json(row["chunk"]), score(row)) for row in found.to_pylist()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k]


def filtered(query: Any, groups: Sequence[str] | None, documents: Collection[str] | None) -> Any:
    """Return the query limited to what may be ranked: one filter, which an async query applies before ranking."""
    conditions = []
    if groups is not None:
        public = "array_length(`groups`) = 0"
        keys = ", ".join(f"'{_group_key(group)}'" for group in groups)
        conditions.append(f"({public} OR array_has_any(`groups`, [{keys}]))" if keys else public)
    if documents is not None:
        ids = ", ".join(map(quoted, sorted(documents)))
        conditions.append(f"document_id IN ({ids})" if ids else "false")
    return query.where(" AND ".join(conditions)) if conditions else query


def _group_key(group: str) -> str:
    """Return the hash that stands for a group in filters, where a name would need quoting."""
    return sha256(group.encode()).hexdigest()[:16]


def quoted(key: str) -> str:
    assert key.isalnum(), key  # our own hashes, never file names
    return f"'{key}'"

"""The shapes of vector stores, of the files in them, and of what a search finds."""

import time
from collections.abc import Sequence
from typing import Any

from pericia.errors import NotFoundError
from pericia.jobs import AttachedFile, StoreRecord
from pericia.server.attachments import attached_id, score
from pericia.server.citing import named_file
from pericia.server.house import House
from pericia.server.open_stores import own_store_id
from pericia.server.wire import RequestError
from pericia.types import Passage

STATES = ("in_progress", "completed", "failed", "cancelled")


def result_shape(house: House, store_id: str, passage: Passage) -> dict[str, Any]:
    """Return a passage as a result of a search."""
    chunk = passage.chunk
    file_id, filename = named_file(chunk.source)
    place = {"page": chunk.place.page, "line": chunk.place.line, "cell": chunk.place.cell}
    attributes: dict[str, Any] = {k: v for k, v in place.items() if v is not None}
    if store_id != own_store_id(house):
        attributes |= house.ledger.get(AttachedFile, attached_id(store_id, file_id)).attributes
    return {
        "file_id": file_id,
        "filename": filename,
        "score": score(passage),
        "attributes": attributes,
        "content": [{"type": "text", "text": chunk.text}],
    }


def counts(found: Sequence[AttachedFile]) -> dict[str, int]:
    """Return how many files are in each state, and in all."""
    by_state = {state: sum(one.status == state for one in found) for state in STATES}
    return {**by_state, "total": len(found)}


def store_shape(house: House, record: StoreRecord) -> dict[str, Any]:
    """Return a vector store as OpenAI shows it."""
    found: list[AttachedFile] = house.ledger.all(AttachedFile, store_id=record.id)
    num = counts(found)
    return {
        "id": record.id,
        "object": "vector_store",
        "created_at": int(record.created_at),
        "name": record.name,
        "description": record.description or None,
        "usage_bytes": sum(one.num_bytes for one in found),
        "file_counts": num,
        "status": "in_progress" if num["in_progress"] else "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": int(time.time()),
        "metadata": dict(record.labels),
    }


def own_shape(house: House) -> dict[str, Any]:
    """Return the industry's own index as a vector store."""
    try:
        files = house.room.library().catalogue.files
    except NotFoundError:  # nothing is indexed yet: the store is there and empty
        files = {}
    record = StoreRecord(own_store_id(house), 0, house.config.name, "", {})
    num = {**counts([]), "completed": len(files), "total": len(files)}
    size = sum(entered.size for entered in files.values())
    return {**store_shape(house, record), "file_counts": num, "usage_bytes": size}


def file_shape(one: AttachedFile) -> dict[str, Any]:
    """Return a file of a vector store as OpenAI shows it."""
    return {
        "id": one.file_id,
        "object": "vector_store.file",
        "usage_bytes": one.num_bytes,
        "created_at": int(one.created_at),
        "vector_store_id": one.store_id,
        "status": one.status,
        "last_error": dict(one.error) or None,
        "chunking_strategy": {"type": "other"},
        "attributes": dict(one.attributes),
    }


def batch_shape(house: House, store_id: str, batch_id: str) -> dict[str, Any]:
    """Return files that came together, with the state of each counted.

    Raises:
        RequestError: there is no such batch.
    """
    found = house.ledger.all(AttachedFile, store_id=store_id, batch_id=batch_id)
    if not found:
        text = f"No such file batch in the vector store '{store_id}': {batch_id}"
        raise RequestError(text, code="not_found", status=404)
    num = counts(found)
    ended = "cancelled" if num["cancelled"] else "completed"
    return {
        "id": batch_id,
        "object": "vector_store.files_batch",
        "created_at": int(min(one.created_at for one in found)),
        "vector_store_id": store_id,
        "status": "in_progress" if num["in_progress"] else ended,
        "file_counts": num,
    }

"""Vector stores opened to be searched: the industry's own, or those that requests made, limited by a filter."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pericia.errors import NotFoundError
from pericia.jobs import AttachedFile, StoreRecord
from pericia.library import Library
from pericia.server.filters import matches
from pericia.server.house import House
from pericia.server.store_schemas import Filter


def own_store_id(house: House) -> str:
    """Return the id under which the industry's own index is a vector store."""
    return f"vs_{house.config.name}"


def open_stores(
    house: House, store_ids: Sequence[str], wanted: Filter | None, *, is_empty_ok: bool = False
) -> list[tuple[Library, Collection[str] | None]]:
    """Return the libraries of stores, each with the documents that a filter leaves (None: all).

    Raises:
        NotFoundError: there is no such store, or (unless `is_empty_ok`) nothing in it can be searched.
    """
    found: list[tuple[Library, Collection[str] | None]] = []
    for store_id in store_ids:
        is_own = store_id == own_store_id(house)
        try:
            library = house.room.library() if is_own else house.attachments.library(store_id)
        except NotFoundError:
            if not is_own:
                house.ledger.get(StoreRecord, store_id)
            if is_empty_ok:
                continue
            raise
        documents = None
        if wanted is not None:
            attributes: dict[str, Mapping[str, Any]] = (
                {source: {} for source in library.catalogue.files}
                if is_own
                else {
                    one.file_id: one.attributes
                    for one in house.ledger.all(AttachedFile, store_id=store_id)
                }
            )
            kept = {name for name, values in attributes.items() if matches(wanted, values)}
            documents = (
                [e.document_id for s, e in library.catalogue.files.items() if s in kept]
                if is_own
                else house.attachments.documents(library.catalogue, kept)
            )
        found.append((library, documents))
    return found

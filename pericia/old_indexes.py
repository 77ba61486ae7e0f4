"""What another store or embedder kept of an index: moved where it can be, then deleted, so that no removed text stays."""

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pericia import stores
from pericia.catalogue import Catalogue, read_catalogue, write_catalogue
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.errors import PericiaError
from pericia.staging import Entries
from pericia.stores import VectorStore
from pericia.workspace import ARMS

Notes = list[tuple[str, str]]
DOCUMENTS_A_COMMIT = 30


def move_from_earlier_store(
    own: Path, store: VectorStore, store_name: str, embedder: Embedder, settings: RetrievalConfig
) -> Notes:
    """Copy what another store holds of the index in `own` into `store`, then delete it there; return what went wrong.

    Nothing is read or embedded again. The earlier store answers until all is copied, and a killed move begins anew.
    What cannot be copied is left to be indexed anew.
    """
    known = read_catalogue(own)
    if known.store in ("", store_name):
        return []
    try:
        earlier = stores.load(known.store, own, embedder.name, embedder.num_dimensions)
        _copy(known, earlier, store, settings)
    except PericiaError as error:
        reason = f"its index was not moved, so all is indexed anew: {error.message}"
        return [(f"the store '{known.store}'", reason), *_dropped(known.store, own)]
    write_catalogue(own, replace(known, store=store_name))
    return _dropped(known.store, own)


def _copy(
    known: Catalogue, earlier: VectorStore, store: VectorStore, settings: RetrievalConfig
) -> None:
    """Put the documents of the catalogue into a store, each whole."""
    ids = iter(sorted({entered.document_id for entered in known.files.values()}))
    while some := list(islice(ids, DOCUMENTS_A_COMMIT)):
        store.replace(
            {document_id: _entries(earlier, document_id, settings) for document_id in some}
        )


def _entries(earlier: VectorStore, document_id: str, settings: RetrievalConfig) -> Entries:
    chunks = earlier.chunks(document_id)
    vectors = earlier.vectors([chunk.id for chunk in chunks])
    whole = [chunk for chunk in chunks if chunk.id in vectors]
    return Entries(whole, lambda chunk: vectors[chunk.id], settings)


def _dropped(store_name: str, own: Path) -> Notes:
    try:
        stores.drop(store_name, own)
    except PericiaError as error:
        return [(f"the store '{store_name}'", f"its index was not deleted: {error.message}")]
    return []


def drop_other_embedders(folder: Path, own: Path) -> Notes:
    """Delete the indexes of other embedders, now that the one in `own` is complete; return what went wrong.

    That of an arm which a run measures stays as long as it holds nothing but what `own` holds.
    """
    notes = []
    there = {source: entered.sha256 for source, entered in read_catalogue(own).files.items()}
    others = [path.parent for path in folder.glob("*/catalogue.json") if path.parent != own]
    for path in (folder / ARMS).glob("*/*/catalogue.json"):
        files = read_catalogue(path.parent).files.items()
        if any(there.get(source) != entered.sha256 for source, entered in files):
            others.append(path.parent)
    for other in others:
        try:
            stores.drop(read_catalogue(other).store or "lance", other)
        except PericiaError as error:
            notes.append(("an earlier index", f"not deleted: {error.message}"))
            continue
        shutil.rmtree(other)
    return notes

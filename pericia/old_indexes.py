"""What another store or embedder kept of an index is deleted when the new one stands: no removed text may stay behind."""

import shutil
from pathlib import Path

from pericia import stores
from pericia.catalogue import read_catalogue
from pericia.errors import PericiaError

Notes = list[tuple[str, str]]


def drop_earlier_store(own: Path, store_name: str) -> Notes:
    """Delete what another store holds of the index in `own`, now that there is one in its place; return what went wrong."""
    known = read_catalogue(own)
    if known.store in ("", store_name):
        return []
    try:
        stores.drop(known.store, own)
    except PericiaError as error:
        return [(f"the store '{known.store}'", f"its index was not deleted: {error.message}")]
    return []


def drop_other_embedders(folder: Path, own: Path) -> Notes:
    """Delete the indexes of other embedders, now that the one in `own` is complete; return what went wrong."""
    notes = []
    for other in folder.iterdir():
        if other.is_dir() and other != own and (other / "catalogue.json").exists():
            try:
                stores.drop(read_catalogue(other).store or "lance", other)
            except PericiaError as error:
                notes.append(("an earlier index", f"not deleted: {error.message}"))
                continue
            shutil.rmtree(other)
    return notes

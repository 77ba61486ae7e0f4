"""Prove that an index holds what the files hold, no more and no less."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pericia.catalogue import Catalogue, Entered, read_catalogue
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.index import index_folder, indexed_text, lexical_tokens, open_store
from pericia.stores import VectorStore
from pericia.types import Chunk, Hit
from pericia.workspace import sha256_of_file

NUM_PROBES = 100
# How many hits are looked through for a passage: in a large table thousands of rows differ by one number only.
_DEPTHS = (20, 200, 2000)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown to hold, in sentences, and what is wrong; without faults all is proven."""

    shown: tuple[str, ...]
    faults: tuple[str, ...]


def verify(
    *, folder: Path, store_name: str, embedder: Embedder, settings: RetrievalConfig
) -> Proof:
    """Return the proof that files = documents = passages = vectors = full-text rows.

    Every file and every stored row is looked at; `NUM_PROBES` passages, evenly spread, are searched by their own
    vector and by their own words. Text that is in no file any more cannot be found: no row of the store and no hit
    belongs to anything else than a file as it is now.
    """
    known = read_catalogue(index_folder(folder, embedder.name))
    store = open_store(folder, store_name, embedder)
    stored = store.chunks()
    probes = stored[:: max(1, len(stored) // NUM_PROBES)][:NUM_PROBES]
    faults = [
        *_files(known.files),
        *_rows(known, stored, store.count()),
        *_searches(probes, known, store, embedder, settings),
    ]
    shown = (
        f"{len(known.files)} files are {len(known.files)} documents, unchanged since they were indexed.",
        f"{len(stored)} passages are {store.count()} rows, each with its vector and its words.",
        f"{len(probes)} passages are found by their own vector and by their own words.",
        "Nothing else is stored or found: text that was removed is gone.",
    )
    return Proof(() if faults else shown, tuple(faults))


def _files(files: Mapping[str, Entered]) -> Iterator[str]:
    for source, entered in sorted(files.items()):
        path = Path(entered.path)
        if not path.is_file():
            yield f"'{source}' is indexed, but the file is gone."
        elif sha256_of_file(path) != entered.sha256:
            yield f"'{source}' has changed since it was indexed."


def _rows(known: Catalogue, stored: Sequence[Chunk], num_rows: int) -> Iterator[str]:
    if known.announced:
        yield "An update of the index was stopped half-way; run: pericia add"
    counts = Counter(chunk.document_id for chunk in stored)
    for source, entered in sorted(known.files.items()):
        found = counts.pop(entered.document_id, 0)
        if found != entered.num_chunks:
            yield f"'{source}' has {found} passages in the store instead of {entered.num_chunks}."
    for source in sorted({c.source for c in stored if c.document_id in counts}):
        yield f"'{source}' is in the store, but not in the catalogue: text that was removed is still there."
    if num_rows != len(stored):
        yield f"The store counts {num_rows} passages and lists {len(stored)}."


def _searches(
    probes: Sequence[Chunk],
    known: Catalogue,
    store: VectorStore,
    embedder: Embedder,
    settings: RetrievalConfig,
) -> Iterator[str]:
    ids = {entered.document_id for entered in known.files.values()}
    vectors = embedder.embed_passages([indexed_text(chunk) for chunk in probes])
    strangers: set[str] = set()
    for chunk, vector in zip(probes, vectors, strict=True):
        legs = {"vector": partial(store.search_dense, vector)}
        if words := lexical_tokens(chunk, settings):
            legs["words"] = partial(store.search_lexical, words)
        for leg, search in legs.items():
            hits = _hits_until(chunk, search)
            strangers |= {hit.chunk.source for hit in hits if hit.chunk.document_id not in ids}
            if all(hit.chunk.text != chunk.text for hit in hits):
                yield f"A passage of '{chunk.source}' is not found by its own {leg}."
    for source in sorted(strangers):
        yield f"Text of '{source}' is found, but not in the catalogue: it should be gone."


def _hits_until(chunk: Chunk, search: Callable[[int], list[Hit]]) -> list[Hit]:
    """Return the hits of the first depth at which the chunk is found, else of the last."""
    hits: list[Hit] = []
    for depth in _DEPTHS:
        hits = search(depth)
        if len(hits) < depth or any(hit.chunk.text == chunk.text for hit in hits):
            break
    return hits

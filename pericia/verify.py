"""Prove that an index holds what the files hold, no more and no less."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pericia.catalogue import Catalogue, Entered, read_catalogue
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder, reads_context
from pericia.index import index_folder, open_store
from pericia.staging import indexed_text, lexical_tokens
from pericia.stores import VectorStore
from pericia.types import Chunk, Hit
from pericia.workspace import sha256_of_file

NUM_PROBES = 100
NUM_EMBEDDED = 20
SAME_TEXT = 0.98  # cosine: the same text embedded twice, in another batch and with less precision
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
    sizes = store.sizes()
    num_passages = sum(sizes.values())
    probes = _probes(store, sizes)
    faults = [
        *_files(known.files),
        *_rows(known, store, sizes),
        *_vectors(probes, store, embedder),
        *_searches(probes, known, store, settings),
    ]
    shown = (
        f"{len(known.files)} files are {len(sizes)} documents, unchanged since they were indexed.",
        f"{num_passages} passages are {store.count()} rows, each with its vector and its words.",
        f"{len(probes)} passages are found by their own vector and by their own words.",
        "Nothing else is stored or found: text that was removed is gone.",
    )
    return Proof(() if faults else shown, tuple(faults))


def _probes(store: VectorStore, sizes: Mapping[str, int]) -> list[Chunk]:
    """Return up to `NUM_PROBES` passages, evenly spread over the store."""
    step = max(1.0, sum(sizes.values()) / NUM_PROBES)
    found: list[Chunk] = []
    passed = 0
    for document_id, size in sorted(sizes.items()):
        places = range(len(found), int((passed + size - 1) / step) + 1)
        if places:
            chunks = store.chunks(document_id)
            found += [chunks[int(place * step) - passed] for place in places]
        passed += size
    return found


def _files(files: Mapping[str, Entered]) -> Iterator[str]:
    for source, entered in sorted(files.items()):
        path = Path(entered.path)
        if not path.is_file():
            yield f"'{source}' is indexed, but the file is gone."
        elif sha256_of_file(path) != entered.sha256:
            yield f"'{source}' has changed since it was indexed."


def _rows(known: Catalogue, store: VectorStore, sizes: Mapping[str, int]) -> Iterator[str]:
    if known.announced:
        yield "An update of the index was stopped half-way; run: pericia add"
    strays = dict(sizes)
    for source, entered in sorted(known.files.items()):
        found = strays.pop(entered.document_id, 0)
        if found != entered.num_chunks:
            yield f"'{source}' has {found} passages in the store instead of {entered.num_chunks}."
    for source in sorted({chunk.source for key in strays for chunk in store.chunks(key)[:1]}):
        yield f"'{source}' is in the store, but not in the catalogue: text that was removed is still there."
    if store.count() != sum(sizes.values()):
        yield f"The store counts {store.count()} passages and lists {sum(sizes.values())}."


def _vectors(probes: Sequence[Chunk], store: VectorStore, embedder: Embedder) -> Iterator[str]:
    """Yield the probes that have no vector, or one of another text; of the last, a few are embedded again."""
    stored = store.vectors([chunk.id for chunk in probes])
    for source in sorted({chunk.source for chunk in probes if chunk.id not in stored}):
        yield f"A passage of '{source}' has no vector."
    some = [] if reads_context(embedder) else [c for c in probes if c.id in stored]
    some = some[:: max(1, len(some) // NUM_EMBEDDED)]
    again = embedder.embed_passages([indexed_text(chunk) for chunk in some])
    for chunk, vector in zip(some, again, strict=True):
        if stored[chunk.id] @ vector < SAME_TEXT:
            yield f"A passage of '{chunk.source}' has the vector of another text."


def _searches(
    probes: Sequence[Chunk], known: Catalogue, store: VectorStore, settings: RetrievalConfig
) -> Iterator[str]:
    ids = {entered.document_id for entered in known.files.values()}
    vectors = store.vectors([chunk.id for chunk in probes])
    strangers: set[str] = set()
    for chunk in probes:
        legs: dict[str, Callable[[int], list[Hit]]] = {}
        if chunk.id in vectors:
            legs["vector"] = partial(store.search_dense, vectors[chunk.id])
        words = lexical_tokens(chunk, settings)
        if words and chunk.kind != "summary":  # a summary is stored with the words of its document
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

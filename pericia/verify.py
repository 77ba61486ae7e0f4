"""Prove that an index holds what the files hold, no more and no less."""

from pathlib import Path

from pericia.catalogue import read_catalogue
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.index import index_folder, indexed_text, lexical_tokens, open_store
from pericia.workspace import sha256_of_file

NUM_PROBES = 50


def verify(
    *, folder: Path, store_name: str, embedder: Embedder, settings: RetrievalConfig
) -> list[str]:
    """Return what is wrong with the index in sentences, none when all is proven.

    Files = documents = chunks = vectors = lexical rows; probes are found by their own vector and rare words, and
    nothing is found that no file holds.
    """
    known = read_catalogue(index_folder(folder, embedder.name))
    store = open_store(folder, store_name, embedder)
    stored = store.chunks()
    faults = []
    for source, entered in sorted(known.files.items()):
        path = Path(entered.path)
        if not path.is_file():
            faults.append(f"'{source}' is indexed, but the file is gone.")
        elif sha256_of_file(path) != entered.sha256:
            faults.append(f"'{source}' has changed since it was indexed.")
        found = sum(chunk.document_id == entered.document_id for chunk in stored)
        if found != entered.num_chunks:
            faults.append(
                f"'{source}' has {found} passages in the store instead of {entered.num_chunks}."
            )
    ids = {entered.document_id for entered in known.files.values()}
    stray = sorted({chunk.source for chunk in stored if chunk.document_id not in ids})
    faults += [f"'{source}' is in the store, but not in the catalogue." for source in stray]
    if store.count() != len(stored):
        faults.append(f"The store counts {store.count()} passages and lists {len(stored)}.")
    probes = stored[:: max(1, len(stored) // NUM_PROBES)]
    vectors = embedder.embed_passages([indexed_text(chunk) for chunk in probes])
    for chunk, vector in zip(probes, vectors, strict=True):
        words = lexical_tokens(chunk, settings)
        by_words = {hit.chunk.text for hit in store.search_lexical(words, 20)}
        by_vector = {hit.chunk.text for hit in store.search_dense(vector, 20)}
        for leg, found_texts in (
            ("words", by_words if words else {chunk.text}),
            ("vector", by_vector),
        ):
            if chunk.text not in found_texts:
                faults.append(f"A passage of '{chunk.source}' is not found by its own {leg}.")
    return faults

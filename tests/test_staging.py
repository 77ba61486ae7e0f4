from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pericia import stores
from pericia.changes import Change
from pericia.config import RetrievalConfig
from pericia.embedders import Vectors
from pericia.staging import Embedding, Reading, SyncEvent, batches
from pericia.types import Chunk, Document
from pericia.vector_journal import VectorJournal
from tests.fakes import FakeEmbedder
from tests.passages import passage

SETTINGS = RetrievalConfig(language="en", lexical_unit="surface")


class KeepingEmbedder(FakeEmbedder):
    """Keeps the texts of each call."""

    def __init__(self, reads_context: bool = False) -> None:
        self.reads_context = reads_context
        self.calls: list[list[str]] = []

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        return super().embed_passages(texts)


def reading(tmp_path: Path, name: str, *texts: str) -> Reading:
    path = tmp_path / name
    path.write_text("\n".join(texts), encoding="utf-8")
    key = passage(name).chunk.id
    made = [replace(passage(text, source=name).chunk, document_id=key) for text in texts]
    document = Document(key, name, "", name, "\n".join(texts), ())
    return Reading(Change(path, name, "", path.stat(), None), document, made)


def embed(tmp_path: Path, embedder: KeepingEmbedder, *group: Reading) -> list[SyncEvent]:
    store = stores.load("lance", tmp_path / "store", embedder.name, embedder.num_dimensions)
    events: list[SyncEvent] = []
    with VectorJournal(tmp_path / "journal", 4) as journal:
        embedding = Embedding(embedder, journal, store, events.append)
        embedding.add(group)
        for one in group:
            entries = list(embedding.entries(one, SETTINGS))
            assert len(entries) == len(one.chunks)
            assert next(iter(embedding.entries(one, SETTINGS))).tokens == entries[0].tokens
    return events


def test_equal_texts_of_two_documents_are_embedded_once(tmp_path: Path) -> None:
    embedder = KeepingEmbedder()
    group = (reading(tmp_path, "a", "kiln", "pump"), reading(tmp_path, "b", "kiln"))
    [event] = embed(tmp_path, embedder, *group)
    assert embedder.calls == [["kiln", "pump"]]
    assert (event.done, event.total) == (3, 3)


def test_where_passages_lend_each_other_meaning_documents_stay_apart(tmp_path: Path) -> None:
    embedder = KeepingEmbedder(reads_context=True)
    group = (reading(tmp_path, "a", "kiln", "pump"), reading(tmp_path, "b", "kiln"))
    embed(tmp_path, embedder, *group)
    assert embedder.calls == [["kiln", "pump"], ["kiln"]]


def test_a_summary_is_found_by_the_words_of_its_document(tmp_path: Path) -> None:
    one = reading(tmp_path, "a", "kiln runs hot", "pump holds bar")
    summary: Chunk = replace(passage("about machines", source="a").chunk, kind="summary")
    one = Reading(one.change, one.document, [summary, *one.chunks])
    store = stores.load("lance", tmp_path / "store", "letters", 4)
    with VectorJournal(tmp_path / "journal", 4) as journal:
        embedding = Embedding(KeepingEmbedder(), journal, store, lambda event: None)
        embedding.add([one])
        entries = {e.chunk.kind: e for e in embedding.entries(one, SETTINGS)}
    assert set(entries["summary"].tokens.split()) == {
        "kiln",
        "runs",
        "hot",
        "pump",
        "holds",
        "bar",
        "machines",
    }


@pytest.mark.parametrize(("sizes", "expected"), [([200, 100, 5], [2, 1]), ([], []), ([600], [1])])
def test_small_documents_share_a_commit(
    sizes: list[int], expected: list[int], tmp_path: Path
) -> None:
    readings = [reading(tmp_path, f"d{i}", *["x"] * size) for i, size in enumerate(sizes)]
    assert [len(batch) for batch in batches(readings)] == expected

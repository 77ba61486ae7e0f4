from pathlib import Path

import pytest

from pericia import alike
from pericia.alike import documents_alike, passages_alike
from pericia.config import RetrievalConfig
from pericia.errors import NotFoundError
from pericia.index import open_store, sync
from pericia.stores import VectorStore
from tests.fakes import FakeEmbedder

# The embedder counts letters: mostly a, a and b, mostly b, mostly c.
TEXTS = {
    "aa.md": "aaaa a.\n\n# More\n\naaa aab.",
    "ab.md": "aaab bb.",
    "bb.md": "bbbb abb.",
    "cc.md": "cccc c.\n\n# More\n\nccc ccd.",
}


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in TEXTS.items():
        (docs / name).write_text(text, encoding="utf-8")
    (docs / "items.csv").write_text("Name,Kind\nccd,x\naaa,y\naab,z\n", encoding="utf-8")
    settings = RetrievalConfig(language="en", access={"bb.md": ("board",)})
    folder, embedder = tmp_path / "index", FakeEmbedder()
    sync([docs], folder=folder, store_name="lance", embedder=embedder, settings=settings, root=docs)
    return open_store(folder, "lance", embedder)


def document_id(store: VectorStore, source: str) -> str:
    return next(chunk.document_id for chunk in store.chunks() if chunk.source == source)


def test_documents_come_by_their_likeness_each_once_without_the_given_ones(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike, "_FIRST", 1)  # the store is asked again and again
    given = [document_id(store, "ab.md")]
    texts = [h.chunk.source for h in documents_alike(given, store=store, k=9)]
    assert len(texts) == len(set(texts)) == 4
    texts.remove("items.csv")
    assert texts == ["aa.md", "bb.md", "cc.md"]
    given = [document_id(store, "cc.md")]
    every = documents_alike(given, store=store, k=9)
    assert documents_alike(given, store=store, k=2) == every[:2]
    assert [hit.score for hit in every] == sorted((h.score for h in every), reverse=True)


def test_rows_are_items_too_and_several_are_given_by_their_mean(store: VectorStore) -> None:
    rows = {c.text.split("|")[0].strip(): c.id for c in store.chunks() if c.kind == "table"}
    given = [key for text, key in rows.items() if "aaa" in text]
    found = passages_alike(given, store=store, k=50)
    assert not {hit.chunk.id for hit in found} & set(given)
    assert all(hit.chunk.kind != "summary" for hit in found)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    ordered = [hit.chunk.source for hit in found if hit.chunk.kind == "text"]
    assert ordered[0] == "aa.md"
    assert ordered[-1] == "cc.md"


def test_nothing_is_found_that_a_group_may_not_read(store: VectorStore) -> None:
    given = [document_id(store, "ab.md")]
    sources = [h.chunk.source for h in documents_alike(given, store=store, k=9, groups=[])]
    assert "bb.md" not in sources
    allowed = documents_alike(given, store=store, k=9, groups=["board"])
    assert "bb.md" in [hit.chunk.source for hit in allowed]


def test_what_is_not_indexed_is_named(store: VectorStore) -> None:
    with pytest.raises(NotFoundError, match="None of these passages is indexed"):
        passages_alike(["0" * 64], store=store, k=3)
    with pytest.raises(NotFoundError):
        documents_alike(["0" * 64], store=store, k=3)

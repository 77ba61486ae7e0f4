from dataclasses import replace
from pathlib import Path

import pytest

from pericia import index
from pericia.catalogue import Catalogue, read_catalogue, write_catalogue
from pericia.config import RetrievalConfig
from pericia.index import sync
from pericia.stores import VectorStore
from pericia.types import Entry
from pericia.verify import Proof, verify
from tests.fakes import FakeEmbedder
from tests.passages import passage

SETTINGS = RetrievalConfig(language="en")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an index of three documents, which lie beside it in `docs`."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "kiln.md").write_text("# Kiln\n\nThe kiln runs at 900 degrees.\n", encoding="utf-8")
    (docs / "pump.txt").write_text("The pump holds 42 bar.\n", encoding="utf-8")
    rows = "".join(f"PX-{i},{i}\n" for i in range(400))
    (docs / "prices.csv").write_text(f"Model,Price\n{rows}", encoding="utf-8")
    sync(
        [docs],
        folder=tmp_path / "index",
        store_name="lance",
        embedder=FakeEmbedder(),
        settings=SETTINGS,
        root=docs,
    )
    return tmp_path / "index"


def prove(folder: Path) -> Proof:
    return verify(folder=folder, store_name="lance", embedder=FakeEmbedder(), settings=SETTINGS)


def store_of(folder: Path) -> VectorStore:
    return index.open_store(folder, "lance", FakeEmbedder())


def own(folder: Path) -> Path:
    return index.index_folder(folder, "letters")


def test_a_whole_index_is_proven_in_numbers(folder: Path) -> None:
    proof = prove(folder)
    assert proof.faults == ()
    assert "3 files are 3 documents" in proof.shown[0]
    assert "405 passages are 405 rows" in proof.shown[1]
    assert "100 passages are found by their own vector" in proof.shown[2]


def test_it_names_files_that_changed_or_are_gone(folder: Path) -> None:
    (folder.parent / "docs" / "kiln.md").write_text("changed", encoding="utf-8")
    (folder.parent / "docs" / "pump.txt").unlink()
    said = " ".join(prove(folder).faults)
    assert "'kiln.md' has changed" in said
    assert "'pump.txt' is indexed, but the file is gone" in said


def test_it_names_passages_that_are_missing(folder: Path) -> None:
    document_id = read_catalogue(own(folder)).files["prices.csv"].document_id
    store_of(folder).replace({document_id: []})
    assert "'prices.csv' has 0 passages in the store instead of 401." in prove(folder).faults


def test_it_names_removed_text_that_can_still_be_found(folder: Path) -> None:
    chunk = passage("The pump holds 42 bar of secret.", source="secret.txt").chunk
    [vector] = FakeEmbedder().embed_passages([chunk.text])
    store_of(folder).replace({chunk.document_id: [Entry(chunk, vector, "pump holds 42 bar")]})
    proof = prove(folder)
    assert proof.shown == ()
    assert any("'secret.txt' is in the store" in fault for fault in proof.faults)
    assert any("'secret.txt' is found" in fault for fault in proof.faults)


def test_it_names_a_passage_with_the_words_or_the_vector_of_another(folder: Path) -> None:
    store = store_of(folder)
    [chunk] = [c for c in store.chunks() if c.source == "pump.txt" and c.kind == "text"]
    [other] = FakeEmbedder().embed_passages(["dddddddd"])
    for document in (
        "prices.csv",
        "kiln.md",
    ):  # so that this one is among the passages embedded again
        store.replace({read_catalogue(own(folder)).files[document].document_id: []})
    changed = Entry(replace(chunk, text="x"), other, "other")
    store.replace({chunk.document_id: [changed]})
    said = " ".join(prove(folder).faults)
    assert "'pump.txt' is not found by its own words" in said
    assert "'pump.txt' has the vector of another text" in said


def test_it_names_an_update_that_was_stopped_half_way(folder: Path) -> None:
    known = read_catalogue(own(folder))
    write_catalogue(own(folder), Catalogue(known.files, ("abc",)))
    assert any("stopped half-way" in fault for fault in prove(folder).faults)

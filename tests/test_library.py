import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pericia import embedders, models, staging
from pericia.answer import answer
from pericia.catalogue import read_catalogue
from pericia.config import Config, RetrievalConfig
from pericia.editions import Edition
from pericia.index import index_folder, sync
from pericia.library import Library, open_library
from pericia.types import Answer
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder


def test_a_document_is_dated_by_what_it_says_then_by_its_name_then_by_its_file(
    tmp_path: Path,
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    texts = {
        "travel-v2.md": "# Travel\n\nFly economy.",
        "hotels.md": "# Hotels, 3 March 2024\n\nBook early.",
        "taxis-2021-05.md": "# Taxis\n\nKeep the receipt.",
        "trains.md": "# Trains\n\nTake the second class.",
    }
    for name, text in texts.items():
        (docs / name).write_text(text, encoding="utf-8")
        os.utime(docs / name, (1_700_000_000, 1_700_000_000))
    workspace = Workspace(tmp_path)
    index(workspace, FakeEmbedder(), "letters", [docs])
    library = open_library(workspace, Config(), FakeEmbedder())
    chunks = {Path(chunk.source).name: chunk for chunk in library.store.chunks()}
    file_ns = 1_700_000_000 * 10**9
    assert {name: library.edition_of(chunk) for name, chunk in chunks.items()} == {
        "travel-v2.md": Edition("travel", (2,), None, file_ns),
        "hotels.md": Edition("hotels", None, date(2024, 3, 3), file_ns),
        "taxis-2021-05.md": Edition("taxis", None, date(2021, 5, 1), file_ns),
        "trains.md": Edition("trains", None, None, file_ns),
    }
    assert library.is_newer(chunks["hotels.md"], chunks["taxis-2021-05.md"])
    assert not library.is_newer(chunks["hotels.md"], chunks["trains.md"])
    elsewhere = replace(chunks["hotels.md"], source="other.md")
    assert library.edition_of(elsewhere) == Edition("other", None, None, 0)


def workspace_of(root: Path) -> Workspace:
    (root / "docs").mkdir()
    for number in range(3):
        text = f"Pump P-{number} holds {40 + number} bar."
        (root / "docs" / f"pump-{number}.txt").write_text(text, encoding="utf-8")
    return Workspace(root)


def index(workspace: Workspace, embedder: FakeEmbedder, key: str, paths: list[Path]) -> None:
    sync(
        paths,
        folder=workspace.index,
        store_name="lance",
        embedder=embedder,
        settings=RetrievalConfig(language="en"),
        root=workspace.root,
        embedder_key=key,
    )


class Interrupted(FakeEmbedder):
    """Embeds one document, passage and summary, and then dies, as a process that is killed."""

    name = "letters-2"
    batches = 2

    def embed_passages(self, texts):  # type: ignore[no-untyped-def]
        if not self.batches:
            raise KeyboardInterrupt
        self.batches -= 1
        return super().embed_passages(texts)


def test_while_another_embedder_indexes_the_whole_index_of_the_earlier_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BATCH_CHUNKS", 1)  # a commit a document
    monkeypatch.setitem(embedders.EMBEDDERS, "old", "tests.fakes:FakeEmbedder")
    monkeypatch.setitem(embedders.EMBEDDERS, "new", "tests.test_library:Interrupted")
    workspace = workspace_of(tmp_path)
    question = "How many bar does pump P-2 hold?"
    index(workspace, FakeEmbedder(), "old", [tmp_path / "docs"])
    chosen = Config(embedder="new", retrieval=RetrievalConfig(language="en"))

    def asked() -> tuple[Library, Answer]:
        library = open_library(workspace, chosen)
        return library, answer(
            question, library, models.load("quote"), instruction="Answer.", max_new_tokens=32
        )

    library, said = asked()  # nothing of the new one is there yet
    assert (library.embedder.name, "42 bar" in said.text) == ("letters", True)
    with pytest.raises(KeyboardInterrupt):
        index(workspace, Interrupted(), "new", [tmp_path / "docs"])
    partial = read_catalogue(index_folder(workspace.index, "letters-2"))
    assert 0 < len(partial.files) < 3
    library, said = asked()
    assert (library.embedder.name, "42 bar" in said.text) == ("letters", True)
    [note] = said.notes
    assert "'new' has not embedded all documents yet" in note
    assert "'old' answered" in note

    monkeypatch.setattr(Interrupted, "batches", 100)
    index(workspace, Interrupted(), "new", [tmp_path / "docs"])
    library, said = asked()
    assert (library.embedder.name, said.notes) == ("letters-2", ())
    assert not index_folder(workspace.index, "letters").exists()

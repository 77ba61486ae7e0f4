"""An index moves to another store as it is and leaves nothing behind; an old server that is gone stops nothing."""

from pathlib import Path

import pytest

from pericia import old_indexes
from pericia.catalogue import Catalogue, read_catalogue, write_catalogue
from pericia.config import RetrievalConfig
from pericia.index import SyncReport, index_folder, open_store, sync
from pericia.staging import Entries
from pericia.stores import VectorStore
from pericia.workspace import ARMS
from tests.fakes import FakeEmbedder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pump.txt").write_text("The pump holds 42 bar.", encoding="utf-8")
    return tmp_path


def run(root: Path, where: str, embedder: FakeEmbedder | None = None) -> SyncReport:
    return sync(
        [root / "docs"],
        folder=root / "index",
        store_name=where,
        embedder=embedder or FakeEmbedder(),
        settings=RetrievalConfig(language="en"),
        root=root,
    )


class Unasked(FakeEmbedder):
    """Embeds nothing: whatever is moved has its vector."""

    def embed_passages(self, texts):  # type: ignore[no-untyped-def]
        raise AssertionError(texts)


def test_an_index_moves_to_another_store_and_back_as_it_was(root: Path, postgresql: str) -> None:
    (root / "docs" / "kilns.csv").write_text("Kiln,Degrees\nK-1,900\nK-2,950\n", encoding="utf-8")
    own = index_folder(root / "index", "letters")
    assert run(root, "lance").added == 2

    def state(where: str) -> tuple[object, ...]:
        store = open_store(root / "index", where, FakeEmbedder())
        chunks = store.chunks()
        [question] = FakeEmbedder().embed_questions(["bar"])
        vectors = {
            key: vector.tolist() for key, vector in store.vectors([c.id for c in chunks]).items()
        }
        nearest = [hit.chunk.id for hit in store.search_dense(question, 10)]
        return chunks, vectors, nearest, {h.chunk.id for h in store.search_lexical(["k-2"], 9)}

    before = state("lance")
    moved = run(root, postgresql, Unasked())
    assert (moved.unchanged, moved.num_embedded, moved.has_changed, moved.notes) == (
        2,
        0,
        False,
        (),
    )
    assert state(postgresql) == before
    assert not list(own.glob("*.lance"))
    (root / "docs" / "pump.txt").write_text("The pump holds 43 bar.", encoding="utf-8")
    back = run(root, "lance")
    assert (back.changed, back.unchanged) == (1, 1)
    assert len(open_store(root / "index", "lance", FakeEmbedder()).search_lexical(["43"], 9)) > 0
    assert open_store(root / "index", postgresql, FakeEmbedder()).count() == 0


def test_a_move_that_is_killed_loses_nothing_and_begins_anew(
    root: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "docs" / "kiln.txt").write_text("The kiln runs at 900 degrees.", encoding="utf-8")
    own = index_folder(root / "index", "letters")
    run(root, "lance")
    monkeypatch.setattr(old_indexes, "DOCUMENTS_A_COMMIT", 1)
    copied: list[str] = []

    def entries(earlier: VectorStore, document_id: str, settings: RetrievalConfig) -> Entries:
        if copied:
            raise KeyboardInterrupt
        copied.append(document_id)
        return kept(earlier, document_id, settings)

    kept = old_indexes._entries
    monkeypatch.setattr(old_indexes, "_entries", entries)
    with pytest.raises(KeyboardInterrupt):
        run(root, postgresql)
    assert read_catalogue(own).store == "lance"  # which answers
    assert open_store(root / "index", "lance", FakeEmbedder()).count() == 4
    monkeypatch.setattr(old_indexes, "_entries", kept)
    assert run(root, postgresql, Unasked()).unchanged == 2
    assert open_store(root / "index", postgresql, FakeEmbedder()).count() == 4


def test_an_earlier_server_that_is_gone_is_named_and_stops_nothing(root: Path) -> None:
    own = index_folder(root / "index", "letters")
    run(root, "lance")
    gone = "postgresql://nobody@127.0.0.1:9/none"
    write_catalogue(own, Catalogue(read_catalogue(own).files, (), gone))
    (own / "postgresql-id").write_text("0123456789abcdef", encoding="ascii")
    report = run(root, "lance")
    assert report.added == 1
    notes = dict(report.notes)
    assert list(notes) == [f"the store '{gone}'"]
    assert "does not answer" in notes[f"the store '{gone}'"]
    assert run(root, "lance").unchanged == 1


def test_the_index_of_an_arm_stays_until_a_document_is_changed(root: Path) -> None:
    arms = root / "index" / ARMS / "arm"

    def of_arm() -> list[Path]:
        return [*arms.glob("*/catalogue.json")]

    run(root, "lance")
    sync(
        [root / "docs"],
        folder=arms,
        store_name="lance",
        embedder=FakeEmbedder(),
        settings=RetrievalConfig(language="en"),
        root=root,
    )
    run(root, "lance")
    assert len(of_arm()) == 1
    (root / "docs" / "pump.txt").write_text("The pump holds 43 bar.", encoding="utf-8")
    run(root, "lance")
    assert of_arm() == []
    assert index_folder(root / "index", "letters").is_dir()

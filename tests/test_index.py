import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pericia import index
from pericia.catalogue import write_catalogue
from pericia.config import RetrievalConfig
from pericia.embedders import Vectors
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.index import SyncReport, sync
from pericia.staging import SyncEvent
from pericia.terminal.answers import sync_lines
from pericia.verify import verify
from pericia.workspace import lock
from tests.fakes import FakeEmbedder

SETTINGS = RetrievalConfig(language="en")


class CountingEmbedder(FakeEmbedder):
    def __init__(self, name: str = "letters") -> None:
        self.name = name
        self.num_embedded = 0

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.num_embedded += len(texts)
        return super().embed_passages(texts)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "kiln.md").write_text("# Kiln\n\nThe kiln runs at 900 degrees.\n", encoding="utf-8")
    (folder / "pump.txt").write_text("The pump holds 42 bar.\n", encoding="utf-8")
    (folder / "prices.csv").write_text("Model,Price\nPX-20,310\nPX-30,420\n", encoding="utf-8")
    return folder


def run(docs: Path, embedder: CountingEmbedder | None = None, **changes: Any) -> SyncReport:
    chosen: dict[str, Any] = {"settings": SETTINGS, "store_name": "lance", "root": docs, **changes}
    paths = chosen.pop("paths", [docs])
    return sync(
        paths,
        folder=docs.parent / "index",
        embedder=embedder or CountingEmbedder(),
        **chosen,
    )


def found(docs: Path, word: str) -> list[str]:
    store = index.open_store(docs.parent / "index", "lance", CountingEmbedder())
    return sorted({hit.chunk.source for hit in store.search_lexical([word], 50)})


def faults(docs: Path) -> list[str]:
    folder = docs.parent / "index"
    proof = verify(folder=folder, store_name="lance", embedder=FakeEmbedder(), settings=SETTINGS)
    return list(proof.faults)


def write_table(docs: Path, price: int, num_rows: int = 700) -> None:
    rows = "".join(f"PX{i}A,{price + i}\n" for i in range(num_rows))
    (docs / "prices.csv").write_text(f"Model,Price\n{rows}", encoding="utf-8")


def test_a_second_sync_reads_and_embeds_nothing(docs: Path) -> None:
    embedder = CountingEmbedder()
    first = run(docs, embedder)
    assert (first.added, first.num_documents, first.skipped) == (3, 3, ())
    embedded = embedder.num_embedded
    assert embedded == first.num_chunks
    os.utime(docs / "kiln.md")
    second = run(docs, embedder)
    assert (second.unchanged, second.added, second.changed) == (3, 0, 0)
    assert embedder.num_embedded == embedded
    assert faults(docs) == []


def test_changed_moved_and_removed_files_are_told_apart(docs: Path) -> None:
    run(docs)
    (docs / "kiln.md").write_text("The kiln runs at 950 degrees.", encoding="utf-8")
    (docs / "pump.txt").rename(docs / "pump-7.txt")
    (docs / "prices.csv").unlink()
    report = run(docs)
    assert (report.changed, report.moved, report.removed, report.added) == (1, 1, 1, 0)
    assert found(docs, "900") == []
    assert found(docs, "950") == ["kiln.md"]
    assert found(docs, "pump") == ["pump-7.txt"]
    assert found(docs, "px-20") == []
    assert faults(docs) == []


def test_a_file_that_breaks_keeps_its_old_version_and_says_so(docs: Path) -> None:
    run(docs)
    (docs / "kiln.md").write_bytes(b"")
    report = run(docs)
    [(source, reason)] = report.skipped
    assert source == "kiln.md"
    assert "version indexed before is kept" in reason
    assert found(docs, "900") == ["kiln.md"]
    assert report.removed == 0


def test_a_file_edited_while_it_is_indexed_is_read_again(docs: Path) -> None:
    class EditingEmbedder(CountingEmbedder):
        def embed_passages(self, texts: Sequence[str]) -> Vectors:
            (docs / "pump.txt").write_text("The pump holds 77 bar now.\n", encoding="utf-8")
            return super().embed_passages(texts)

    run(docs, EditingEmbedder())
    assert found(docs, "77") == []
    assert run(docs).changed == 1
    assert found(docs, "77") == ["pump.txt"]


def test_another_path_adds_to_the_index(docs: Path) -> None:
    run(docs)
    other = docs.parent / "other"
    other.mkdir()
    (other / "oil.txt").write_text("The gearbox takes oil ISO 220.", encoding="utf-8")
    report = run(docs, paths=[other])
    assert (report.added, report.unchanged, report.removed) == (1, 3, 0)
    assert run(docs, paths=[]).unchanged == 4


def test_nothing_readable_is_an_error_and_leaves_the_index(docs: Path) -> None:
    bad = docs.parent / "bad"
    bad.mkdir()
    (bad / "scan.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"None of the 1 files can be read; 'bad/scan\.png'"):
        run(docs, paths=[bad])
    run(docs)
    with pytest.raises(NotFoundError):
        run(docs, paths=[docs / "missing"])
    (docs.parent / "empty").mkdir()
    with pytest.raises(InputError):
        run(docs, paths=[docs.parent / "empty"])
    assert faults(docs) == []
    assert run(docs, paths=[]).unchanged == 3


def test_a_sync_that_dies_between_store_and_catalogue_is_repaired(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(docs)
    (docs / "pump.txt").write_text("The pump holds 43 bar.", encoding="utf-8")
    (docs / "new.txt").write_text("A new pump was added.", encoding="utf-8")
    write = write_catalogue
    calls = []

    def die_at_the_second(folder: Path, content: Any) -> None:
        calls.append(content)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(folder, content)

    monkeypatch.setattr(index, "write_catalogue", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(docs)
    monkeypatch.undo()
    (docs / "new.txt").unlink()
    (docs / "pump.txt").write_text("The pump holds 44 bar.", encoding="utf-8")
    run(docs)
    assert faults(docs) == []
    assert (found(docs, "43"), found(docs, "new")) == ([], [])
    assert found(docs, "44") == ["pump.txt"]


def test_a_store_that_was_deleted_is_filled_again(docs: Path) -> None:
    run(docs)
    store = index.open_store(docs.parent / "index", "lance", CountingEmbedder())
    [first, *_] = store.chunks()
    store.replace({first.document_id: []})
    assert faults(docs) != []
    run(docs)
    assert faults(docs) == []


def test_other_settings_or_another_embedder_index_anew(docs: Path) -> None:
    run(docs)
    report = run(docs, settings=RetrievalConfig(language="en", chunk_tokens=50))
    assert report.changed == 3
    other = CountingEmbedder("others")
    report = run(docs, other, settings=RetrievalConfig(language="en", chunk_tokens=50))
    assert (report.added, other.num_embedded) == (3, report.num_chunks)
    folders = [f for f in (docs.parent / "index").iterdir() if f.is_dir()]
    assert folders == [index.index_folder(docs.parent / "index", "others")]


def test_progress_counts_files_and_passages(docs: Path) -> None:
    events: list[SyncEvent] = []
    write_table(docs, 310)
    report = run(docs, on_event=events.append)
    read = [(e.message, e.done, e.total) for e in events if e.stage == "read"]
    assert read == [("kiln.md", 0, 3), ("prices.csv", 1, 3), ("pump.txt", 2, 3), ("", 3, 3)]
    embedded = [e for e in events if e.stage == "embed"]
    assert [e.done for e in embedded] == [256, 512, 703, 705]
    assert [e.total for e in embedded] == [703, 703, 703, 705]
    assert all(e.message.endswith(" passages/s") for e in embedded)
    assert report.num_embedded == report.num_chunks == 705


class DyingEmbedder(CountingEmbedder):
    """Dies when it has embedded `limit` texts."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        if self.num_embedded + len(texts) > self.limit:
            raise KeyboardInterrupt
        return super().embed_passages(texts)


def test_a_large_document_is_seen_whole_or_not_at_all_and_embedding_goes_on_where_it_died(
    docs: Path,
) -> None:
    run(docs)
    write_table(docs, 5000)
    with pytest.raises(KeyboardInterrupt):
        run(docs, DyingEmbedder(limit=600))
    assert (found(docs, "px-20"), found(docs, "310")) == (["prices.csv"], ["prices.csv"])
    assert found(docs, "px-30"), "the old version stays"
    assert found(docs, "5003") == []
    embedder = CountingEmbedder()
    report = run(docs, embedder)
    assert (report.changed, embedder.num_embedded) == (1, 700 - 512)
    assert found(docs, "5003") == ["prices.csv"]
    assert found(docs, "310") == []
    assert faults(docs) == []
    own = index.index_folder(docs.parent / "index", "letters")
    assert (own / "vectors.journal").stat().st_size == 0


def test_only_the_rows_that_changed_are_embedded_again(docs: Path) -> None:
    write_table(docs, 310)
    run(docs)
    table = docs / "prices.csv"
    table.write_text(
        table.read_text(encoding="utf-8").replace("PX7A,317", "PX7A,999"), encoding="utf-8"
    )
    report = run(docs)
    assert (report.changed, report.num_embedded) == (1, 1)
    assert found(docs, "999") == ["prices.csv"]
    assert found(docs, "317") == []
    report = run(docs, settings=RetrievalConfig(language="en", lexical_unit="stem"))
    assert (report.changed, report.num_embedded) == (3, 0)
    assert faults(docs) == []


def test_equal_passages_are_embedded_once(docs: Path) -> None:
    (docs / "prices.csv").write_text("Model,Price\n" + "PX-20,310\n" * 300, encoding="utf-8")
    embedder = CountingEmbedder()
    report = run(docs, embedder)
    assert report.num_chunks == 302 + 3  # with a summary each
    assert embedder.num_embedded == 6
    assert faults(docs) == []


def test_two_syncs_at_once_are_refused(docs: Path) -> None:
    with lock(docs.parent / "index", "test"), pytest.raises(ConflictError):
        run(docs)


class MeteredEmbedder(CountingEmbedder):
    """An embedder on a server: a word costs a cent."""

    num_tokens_sent = 0

    @property
    def cost_usd(self) -> float | None:
        return self.num_tokens_sent / 100

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.num_tokens_sent += sum(len(text.split()) for text in texts)
        return super().embed_passages(texts)


def test_what_a_remote_embedder_costs_is_said(docs: Path) -> None:
    report = run(docs, MeteredEmbedder())
    assert report.num_tokens_sent > 10
    assert report.cost_usd == report.num_tokens_sent / 100
    assert run(docs, MeteredEmbedder()).num_tokens_sent == 0
    said = " ".join(sync_lines(report))
    assert f"{report.num_tokens_sent} tokens sent" in said
    assert f"{report.cost_usd:.4f} USD" in said

"""Another store or embedder leaves no old index behind, and an old server that is gone stops nothing."""

from pathlib import Path

import pytest

from pericia.catalogue import Catalogue, read_catalogue, write_catalogue
from pericia.config import RetrievalConfig
from pericia.index import SyncReport, index_folder, open_store, sync
from tests.fakes import FakeEmbedder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pump.txt").write_text("The pump holds 42 bar.", encoding="utf-8")
    return tmp_path


def run(root: Path, where: str) -> SyncReport:
    return sync(
        [root / "docs"],
        folder=root / "index",
        store_name=where,
        embedder=FakeEmbedder(),
        settings=RetrievalConfig(language="en"),
        root=root,
    )


def test_another_store_indexes_anew_and_empties_the_old_one(root: Path, postgresql: str) -> None:
    own = index_folder(root / "index", "letters")
    assert run(root, "lance").added == 1
    assert list(own.glob("*.lance"))
    assert run(root, postgresql).added == 1
    assert not list(own.glob("*.lance"))
    assert run(root, postgresql).unchanged == 1
    (root / "docs" / "pump.txt").write_text("The pump holds 43 bar.", encoding="utf-8")
    assert run(root, "lance").added == 1
    assert len(open_store(root / "index", "lance", FakeEmbedder()).search_lexical(["43"], 9)) > 0
    assert open_store(root / "index", postgresql, FakeEmbedder()).count() == 0


def test_an_earlier_server_that_is_gone_is_named_and_stops_nothing(root: Path) -> None:
    own = index_folder(root / "index", "letters")
    run(root, "lance")
    gone = "postgresql://nobody@127.0.0.1:9/none"
    write_catalogue(own, Catalogue(read_catalogue(own).files, (), gone))
    (own / "postgresql-id").write_text("0123456789abcdef", encoding="ascii")
    report = run(root, "lance")
    assert report.added == 1
    [(what, why)] = report.notes
    assert gone in what
    assert "does not answer" in why
    assert run(root, "lance").unchanged == 1

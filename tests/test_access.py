"""Access: no answer, passage, table or citation comes from what the asking groups may not read."""

from pathlib import Path

import pytest

from pericia.answer import answer
from pericia.catalogue import read_catalogue
from pericia.config import Config, RetrievalConfig
from pericia.index import index_folder, sync
from pericia.library import Library, open_library
from pericia.models.quote import QuoteModel
from pericia.types import Answer
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder

ACCESS = {"board/minutes.md": [], "board": ["board"], "*.csv": ["sales", "board"]}


def settings(access: dict[str, list[str]]) -> RetrievalConfig:
    return RetrievalConfig.model_validate({"language": "en", "access": access})


@pytest.fixture(params=["lance", "postgresql"])
def where(request: pytest.FixtureRequest) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "board").mkdir(parents=True)
    (docs / "board" / "sale.md").write_text("The plant will be sold for 9 million in May.", "utf-8")
    (docs / "board" / "minutes.md").write_text("The board meets on Monday.", "utf-8")
    (docs / "pump.md").write_text("The plant pump holds 42 bar.", "utf-8")
    (docs / "prices.csv").write_text("Model,Price\nPX-20,310\nPX-30,420\n", "utf-8")
    return tmp_path


def indexed(root: Path, where: str, access: dict[str, list[str]]) -> Library:
    """Return the library after a sync with these rights; sources are named from the folder `docs`."""
    sync(
        [root / "docs"],
        folder=root / ".pericia" / "index",
        store_name=where,
        embedder=FakeEmbedder(),
        settings=settings(access),
        root=root / "docs",
    )
    config = Config.model_validate(
        {"store": where, "retrieval": {"language": "en", "access": access}}
    )
    return open_library(Workspace(root), config, FakeEmbedder())


def ask(question: str, library: Library, groups: list[str] | None) -> Answer:
    return answer(
        question, library, QuoteModel(), instruction="Answer.", max_new_tokens=64, groups=groups
    )


def used(said: Answer) -> set[str]:
    return {p.chunk.source for p in said.passages} | {c.source for c in said.citations}


def test_an_answer_never_uses_what_the_groups_may_not_read(root: Path, where: str) -> None:
    library = indexed(root, where, ACCESS)
    secret = "For how much will the plant be sold?"
    assert "9 million" in ask(secret, library, None).text
    assert "9 million" in ask(secret, library, ["staff", "board"]).text
    for groups in ([], ["sales"], ["Board"], ["*"], [""], ["board'] OR 1=1 --"]):
        for question in (secret, "sold million May", "How many models are there?", "plant"):
            said = ask(question, library, groups)
            assert "million" not in said.text
            assert "board/sale.md" not in used(said)
            assert groups == ["sales"] or "prices.csv" not in used(said)
    assert "Monday" in ask("When does the board meet?", library, []).text


def test_a_table_is_computed_for_those_who_may_read_it_only(root: Path, where: str) -> None:
    library = indexed(root, where, ACCESS)
    question = "What is the highest price?"
    assert ask(question, library, ["sales"]).text == "420 [1]"
    assert ask(question, library, ["staff"]).sql == ""


def test_rights_that_change_take_effect_at_the_next_sync(root: Path, where: str) -> None:
    library = indexed(root, where, {})
    assert "9 million" in ask("For how much will the plant be sold?", library, []).text
    library = indexed(root, where, ACCESS)
    assert "million" not in ask("For how much will the plant be sold?", library, []).text
    entered = read_catalogue(index_folder(root / ".pericia" / "index", "letters")).files
    assert entered["board/sale.md"].groups == ("board",)
    assert entered["board/minutes.md"].groups == ()


def test_a_file_that_cannot_be_read_again_is_not_left_open(root: Path) -> None:
    indexed(root, "lance", {})
    (root / "docs" / "board" / "sale.md").write_bytes(b"")
    library = indexed(root, "lance", ACCESS)
    assert "million" not in ask("For how much will the plant be sold?", library, []).text
    assert "million" not in ask("For how much will the plant be sold?", library, None).text


def test_a_pattern_that_fits_nothing_is_named(root: Path) -> None:
    report = sync(
        [root / "docs"],
        folder=root / "index",
        store_name="lance",
        embedder=FakeEmbedder(),
        settings=settings({"bord": ["board"], "pump.md": ["staff"]}),
        root=root / "docs",
    )
    assert report.notes == (("access 'bord'", "fits no document; is it misspelt?"),)

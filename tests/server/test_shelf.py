"""Files of a workspace: in whole or not at all, read, left out with a reason, taken away and put back."""

import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pericia import index
from pericia.config import Config
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.server import shelf, shelf_changes
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder

CONFIG = Config()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "project")


def put(workspace: Workspace, name: str, content: bytes = b"The oil is ISO 46.\n") -> str:
    return shelf_changes.put(workspace, CONFIG, name, io.BytesIO(content))


def read(workspace: Workspace) -> dict[str, Any]:
    """Read the folders as the page's task does."""
    return shelf.read_all(workspace, CONFIG, FakeEmbedder(), lambda *a, **k: None)


def states(workspace: Workspace) -> dict[str, str]:
    return {one.source: one.state for one in shelf.list_files(workspace, CONFIG)}


def test_a_file_waits_is_read_changes_and_goes(workspace: Workspace) -> None:
    assert put(workspace, "oils/kx-9.md") == "documents/oils/kx-9.md"
    put(workspace, "belts.md", b"The belt is 9 mm wide.\n")
    assert set(states(workspace).values()) == {"waiting"}
    assert read(workspace)["documents"] == 2
    assert set(states(workspace).values()) == {"read"}
    put(workspace, "oils/kx-9.md", b"The oil is ISO 68 from now on.\n")
    assert states(workspace)["documents/oils/kx-9.md"] == "changed"
    (workspace.root / "documents/belts.md").unlink()
    assert states(workspace)["documents/belts.md"] == "gone"
    read(workspace)
    assert [*states(workspace)] == ["documents/oils/kx-9.md"]


def test_what_is_left_out_has_its_reason_until_the_file_changes(workspace: Workspace) -> None:
    put(workspace, "good.md")
    put(workspace, "empty.txt", b"")
    read(workspace)
    [empty] = [one for one in shelf.list_files(workspace, CONFIG) if one.num_bytes == 0]
    assert empty.state == "skipped"
    assert "is empty" in empty.reasons[0]
    put(workspace, "empty.txt", b"Not empty any more.\n")
    later = time.time() + 10
    os.utime(workspace.root / "documents/empty.txt", (later, later))
    assert states(workspace)["documents/empty.txt"] == "waiting"


def test_what_a_command_left_out_is_shown_with_its_reason(workspace: Workspace) -> None:
    put(workspace, "good.md")
    put(workspace, "scan.pdf", b"%PDF-1.7\nnot a PDF after all")
    index.sync(
        [workspace.root / "documents"],
        folder=workspace.index,
        store_name="lance",
        embedder=FakeEmbedder(),
        settings=CONFIG.retrieval,
        root=workspace.root,
    )
    found = {one.source: one for one in shelf.list_files(workspace, CONFIG)}
    assert found["documents/good.md"].state == "read"
    assert found["documents/scan.pdf"].state == "skipped"
    assert "PDF" in found["documents/scan.pdf"].reasons[0]
    assert shelf.num_waiting(workspace, CONFIG) == 0


def test_where_no_file_can_be_read_each_says_why(workspace: Workspace) -> None:
    put(workspace, "empty.txt", b"")
    with pytest.raises(InputError, match="None of the 1 files"):
        read(workspace)
    [one] = shelf.list_files(workspace, CONFIG)
    assert (one.state, "is empty" in one.reasons[0]) == ("skipped", True)


def test_a_file_that_was_taken_away_can_be_put_back(workspace: Workspace) -> None:
    source = put(workspace, "a/b.md")
    assert shelf_changes.take_away(workspace, CONFIG, source) == source
    assert states(workspace) == {}
    shelf_changes.put_back(workspace, source)
    assert states(workspace) == {source: "waiting"}
    with pytest.raises(NotFoundError):
        shelf_changes.put_back(workspace, source)
    shelf_changes.take_away(workspace, CONFIG, source)
    put(workspace, "a/b.md", b"Another one.\n")
    with pytest.raises(ConflictError, match="Another file"):
        shelf_changes.put_back(workspace, source)


def test_files_outside_of_the_project_are_not_touched(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "x.md").write_text("Mine.\n")
    config = Config(documents=(str(outside),))
    [one] = shelf.list_files(workspace, config)
    with pytest.raises(ConflictError, match="lies outside"):
        shelf_changes.take_away(workspace, config, one.id)
    assert (outside / "x.md").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x.md",
        "/etc/x.md",
        "a/../../x.md",
        ".hidden.md",
        "a/.git/x.md",
        "",
        "a/",
        "C:\\x.md",
        "x\x00.md",
        "y" * 300 + ".md",
        "photo.jpg",
        "a.unknown",
    ],
)
def test_names_that_lead_elsewhere_or_are_not_read_are_refused(
    workspace: Workspace, name: str
) -> None:
    with pytest.raises(InputError):
        put(workspace, name)
    assert not (workspace.root.parent / "x.md").exists()
    assert shelf.find_files(workspace, CONFIG) == []


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_no_name_leaves_the_folder(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("names") / "project")
    try:
        source = put(workspace, "/".join(parts) + ".md")
    except (InputError, UnicodeError):
        return
    [(path, found)] = shelf.find_files(workspace, CONFIG)
    assert found == source
    assert path.resolve().is_relative_to((workspace.root / "documents").resolve())


def test_an_upload_that_breaks_off_leaves_the_old_file(workspace: Workspace) -> None:
    put(workspace, "a.md", b"old\n")

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the line is gone")

    with pytest.raises(OSError, match="the line is gone"):
        shelf_changes.put(workspace, CONFIG, "a.md", Broken())
    assert (workspace.root / "documents/a.md").read_bytes() == b"old\n"
    assert len([*(workspace.root / "documents").iterdir()]) == 1

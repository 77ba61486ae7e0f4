"""Files of a workspace: in whole or not at all, read, left out with a reason, taken away and put back."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pericia.config import Config
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.server import shelf
from pericia.server.tasks import Task
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder

CONFIG = Config()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "project")


def put(workspace: Workspace, name: str, content: bytes = b"The oil is ISO 46.\n") -> str:
    return shelf.put(workspace, CONFIG, name, io.BytesIO(content))


def read(workspace: Workspace) -> Task:
    """Read the folders; return the task as the ledger would keep it."""
    result = shelf.read_all(workspace, CONFIG, FakeEmbedder(), lambda *a, **k: None)
    newest = max(path.stat().st_mtime for path, _ in shelf.find_files(workspace, CONFIG))
    return Task("task-1", shelf.KIND, 0.0, {}, "done", result=result, at=newest + 1)


def states(workspace: Workspace, *readings: Task) -> dict[str, str]:
    return {one.source: one.state for one in shelf.list_files(workspace, CONFIG, readings)}


def test_a_file_waits_is_read_changes_and_goes(workspace: Workspace) -> None:
    assert put(workspace, "oils/kx-9.md") == "documents/oils/kx-9.md"
    put(workspace, "belts.md", b"The belt is 9 mm wide.\n")
    assert set(states(workspace).values()) == {"waiting"}
    reading = read(workspace)
    assert reading.result is not None
    assert reading.result["documents"] == 2
    assert set(states(workspace, reading).values()) == {"read"}
    put(workspace, "oils/kx-9.md", b"The oil is ISO 68 from now on.\n")
    assert states(workspace, reading)["documents/oils/kx-9.md"] == "changed"
    (workspace.root / "documents/belts.md").unlink()
    assert states(workspace, reading)["documents/belts.md"] == "gone"
    read(workspace)
    assert [*states(workspace)] == ["documents/oils/kx-9.md"]


def test_what_is_left_out_has_its_reason_until_the_file_changes(workspace: Workspace) -> None:
    put(workspace, "good.md")
    put(workspace, "empty.txt", b"")
    reading = read(workspace)
    [empty] = [one for one in shelf.list_files(workspace, CONFIG, [reading]) if one.num_bytes == 0]
    assert empty.state == "skipped"
    assert "is empty" in empty.reasons[0]
    put(workspace, "empty.txt", b"Not empty any more.\n")
    later = reading.at + 10
    os.utime(workspace.root / "documents/empty.txt", (later, later))
    assert states(workspace, reading)["documents/empty.txt"] == "waiting"


def test_a_file_that_was_taken_away_can_be_put_back(workspace: Workspace) -> None:
    source = put(workspace, "a/b.md")
    assert shelf.take_away(workspace, CONFIG, source) == source
    assert states(workspace) == {}
    shelf.put_back(workspace, source)
    assert states(workspace) == {source: "waiting"}
    with pytest.raises(NotFoundError):
        shelf.put_back(workspace, source)
    shelf.take_away(workspace, CONFIG, source)
    put(workspace, "a/b.md", b"Another one.\n")
    with pytest.raises(ConflictError, match="Another file"):
        shelf.put_back(workspace, source)


def test_files_outside_of_the_project_are_not_touched(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "x.md").write_text("Mine.\n")
    config = Config(documents=(str(outside),))
    [one] = shelf.list_files(workspace, config, ())
    with pytest.raises(ConflictError, match="lies outside"):
        shelf.take_away(workspace, config, one.id)
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
        shelf.put(workspace, CONFIG, "a.md", Broken())
    assert (workspace.root / "documents/a.md").read_bytes() == b"old\n"
    assert len([*(workspace.root / "documents").iterdir()]) == 1

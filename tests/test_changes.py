import os
from pathlib import Path

import pytest

from pericia.catalogue import Entered
from pericia.changes import changed
from pericia.workspace import sha256_of_file

Files = list[tuple[Path, str]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"text of {name}", encoding="utf-8")
    return [(tmp_path / name, name) for name in ("a.txt", "b.txt")]


def known(files: Files, fingerprint: str = "f") -> dict[str, Entered]:
    return {
        source: Entered(
            str(path),
            path.stat().st_size,
            path.stat().st_mtime_ns,
            sha256_of_file(path),
            f"id-{source}",
            1,
            "en",
            fingerprint,
        )
        for path, source in files
    }


def test_nothing_is_read_where_size_and_time_are_as_they_were(files: Files) -> None:
    assert changed(files, known(files), lambda _: "f") == []


def test_a_touched_file_with_the_same_content_is_not_read(files: Files) -> None:
    before = known(files)
    os.utime(files[0][0])
    assert changed(files, before, lambda _: "f") == []


def test_added_changed_and_moved_are_told_apart(files: Files, tmp_path: Path) -> None:
    before = known(files)
    files[0][0].write_text("another text", encoding="utf-8")
    files[1][0].rename(tmp_path / "c.txt")
    (tmp_path / "new.txt").write_text("new", encoding="utf-8")
    now = [(tmp_path / name, name) for name in ("a.txt", "c.txt", "new.txt")]
    found = changed(now, before, lambda _: "f")
    assert [(c.source, c.kind, c.moved_from) for c in found] == [
        ("a.txt", "changed", ""),
        ("c.txt", "moved", "b.txt"),
        ("new.txt", "added", ""),
    ]
    assert [c.old.document_id if c.old else None for c in found] == ["id-a.txt", "id-b.txt", None]


def test_other_settings_read_every_file_again(files: Files) -> None:
    assert [c.kind for c in changed(files, known(files), lambda _: "other")] == [
        "changed",
        "changed",
    ]

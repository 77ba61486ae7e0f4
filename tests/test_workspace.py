"""State on disk: whole files or none, one process at a time, faults of JSONL with their line."""

from pathlib import Path

import pytest

from pericia.errors import ConflictError, InputError
from pericia.workspace import lock, read_json_lines, sha256_of, write_atomic, write_json


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_atomic(path, 7)  # type: ignore[arg-type]
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_the_lock_is_for_one_holder(tmp_path: Path) -> None:
    with (
        lock(tmp_path, "sync"),
        pytest.raises(ConflictError, match="Another process"),
        lock(tmp_path, "sync"),
    ):
        pass
    with lock(tmp_path, "sync"):
        pass


def test_json_lines_name_the_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"b": \n', encoding="utf-8")
    with pytest.raises(InputError, match=r"rows.jsonl, line 3: no JSON"):
        list(read_json_lines(path))


def test_json_lines_may_hold_any_separator_inside_strings(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "x\u2028y"}\n', encoding="utf-8")
    assert list(read_json_lines(path)) == [(1, {"a": "x\u2028y"})]


def test_equal_values_have_equal_hashes() -> None:
    assert sha256_of({"a": 1, "b": [2]}) == sha256_of({"b": [2], "a": 1})
    assert sha256_of({"a": 1}) != sha256_of({"a": 2})

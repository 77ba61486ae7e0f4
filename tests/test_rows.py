"""Where rows come from: every format gives the same rows with the lines on which they begin."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.errors import InputError
from pericia.rows import BadRow, find_splits, read_rows

ROWS = [{"question": "How hot?", "answer": "900"}, {"question": "a\nb", "answer": "x, y"}]
FILES = {
    "x.jsonl": (json.dumps(ROWS[0]) + "\n\n" + json.dumps(ROWS[1]), [1, 3]),
    "x.json": (json.dumps(ROWS, indent=1), [2, 6]),
    "lines.json": ("\n".join(map(json.dumps, ROWS)), [1, 2]),
    "x.csv": ('question,answer\nHow hot?,900\n"a\nb","x, y"\n', [2, 3]),
    "x.tsv": ('question\tanswer\nHow hot?\t900\n\n"a\nb"\tx, y\n', [2, 4]),
    "semicolons.csv": ('question;answer\nHow hot?;900\n"a\nb";x, y\n', [2, 3]),
    "qna.yaml": (
        "seed_examples:\n- question: How hot?\n  answer: '900'\n- question: \"a\\nb\"\n  answer: x, y\n",
        [2, 4],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_rows_and_lines(name: str, tmp_path: Path) -> None:
    text, lines = FILES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = list(read_rows(str(tmp_path / name)))
    assert [row.value for row in found] == ROWS
    assert [row.line for row in found] == lines


def test_parquet_gives_its_rows(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    found = list(read_rows(str(tmp_path / "x.parquet")))
    assert [(row.line, row.value) for row in found] == [(1, ROWS[0]), (2, ROWS[1])]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        list(read_rows(str(tmp_path / "broken.parquet")))


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("x.jsonl", '{"a": 1}\n{"a":\n', 2, "column"),
        ("x.jsonl", '{"a": 1}\n' + "[" * 100_000, 2, "no JSON"),
        ("x.jsonl", '{"a": 1}\n' + "1" * 5000, 2, "no JSON"),
        ("x.json", '[\n{"a": 1},\n{"a": }\n]', 3, "no JSON"),
        ("x.json", '[\n{"a": 1}\n{"a": 2}\n]', 3, "no end"),
        ("x.json", '[\n{"a": 1},\n', 3, "no end"),
        ("x.csv", "a,b\n1,2\n1,2,3\n", 3, "3 cells under 2 columns"),
    ],
)
def test_a_bad_row_stands_where_it_is(
    name: str, text: str, line: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    first, bad = list(read_rows(str(tmp_path / name)))
    assert not isinstance(first.value, BadRow)
    assert isinstance(bad.value, BadRow)
    assert (bad.line, said in bad.value.message) == (line, True)


def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xe9"}\n')
    with pytest.raises(InputError, match="0xe9 in line 2"):
        list(read_rows(str(tmp_path / "x.jsonl")))
    with pytest.raises(InputError, match="There is no file"):
        list(read_rows(str(tmp_path / "y.jsonl")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file of examples"):
        list(read_rows(str(tmp_path / "empty")))


def test_a_text_gives_its_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("\none\ntwo\n\n \nthree\n", encoding="utf-8")
    found = [(row.line, row.value["text"]) for row in read_rows(str(tmp_path / "x.txt"))]
    assert found == [(2, "one\ntwo"), (6, "three")]


def test_a_folder_gives_all_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "qna.yaml").write_text(FILES["qna.yaml"][0], encoding="utf-8")
    (tmp_path / "a.csv").write_text("question,answer\nq,a\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("not read", encoding="utf-8")
    found = [(row.file, row.line) for row in read_rows(str(tmp_path))]
    assert found == [("a.csv", 2), ("b/qna.yaml", 2), ("b/qna.yaml", 4)]


def test_a_folder_with_splits(tmp_path: Path) -> None:
    for name in ("train-00000.jsonl", "dev.csv", "test.jsonl"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    found = find_splits(str(tmp_path))
    assert Path(found.train).name == "train-00000.jsonl"
    assert Path(found.validation or "").name == "dev.csv"
    assert found.ignored == ("test.jsonl",)
    (tmp_path / "validation.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="more than one split"):
        find_splits(str(tmp_path))


def test_a_hub_name_without_a_network_is_one_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="owner-of/nothing:dev"):
        list(read_rows("owner-of/nothing:dev"))


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=3), max_size=5))
def test_json_survives_the_way_through_a_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.json"
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    assert [row.value for row in read_rows(str(path))] == rows

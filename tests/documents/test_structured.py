"""JSON, JSON Lines, XML and Parquet."""

import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.types import Document


def read(path: Path, limits: Limits | None = None) -> Document:
    return read_here(path, path.name, "", limits or Limits())


def texts(document: Document) -> list[str]:
    return [document.text[b.start : b.end] for b in document.blocks]


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_json_records_are_rows_and_the_rest_paths(tmp_path: Path) -> None:
    text = '{"plant": "Mill Lane", "pumps": [{"id": "PX-20", "bar": 40}, {"id": "PX-30"}], "tags": ["a", "b"]}'
    document = read(written(tmp_path, "a.json", text))
    assert texts(document) == [
        "plant: Mill Lane",
        "id: PX-20 | bar: 40",
        "id: PX-30",
        "tags: a, b",
    ]
    assert document.tables[0].name == "pumps"
    assert document.blocks[1].place.cell == "A1:B1"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", '{"a": ', "no valid JSON"),
        ("a.json", "[" * 100_000, "no valid JSON"),
        ("a.xml", "<a><b></a>", "no valid XML"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "entities"),
        ("a.jsonl", "nothing\n", "holds no text"),
    ],
)
def test_what_is_broken_says_where(name: str, text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        read(written(tmp_path, name, text))


def test_xml_gives_each_element_its_line(tmp_path: Path) -> None:
    text = "<feed xmlns='x'><item><title>Oil</title><body>&lt;b&gt;L-46&lt;/b&gt; only</body></item>after</feed>"
    assert texts(read(written(tmp_path, "a.xml", text))) == [
        "title: Oil",
        "body: L-46 only",
        "after",
    ]


def test_parquet_keeps_types_as_they_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "part": ["seal", None],
            "price": pa.array([Decimal("3.10"), Decimal("12.50")], pa.decimal128(6, 2)),
            "weight": [0.1, 2.0],
            "made": [datetime.date(2026, 3, 1), None],
            "sizes": [[1, 2], []],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    document = read(tmp_path / "a.parquet")
    assert texts(document) == [
        "part: seal | price: 3.10 | weight: 0.1 | made: 2026-03-01 | sizes: [1, 2]",
        "price: 12.50 | weight: 2 | sizes: []",
    ]
    assert [b.place.cell for b in document.blocks] == ["A1:E1", "A2:E2"]


def test_parquet_past_the_limit_and_broken(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": list(range(10)), "m": list(range(10))}), tmp_path / "a.parquet")
    document = read(tmp_path / "a.parquet", Limits(rows=4))
    assert len(document.blocks) == 4
    assert any("more than 4 rows" in note for note in document.skipped)
    (tmp_path / "b.parquet").write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(InputError, match="no readable Parquet"):
        read(tmp_path / "b.parquet")

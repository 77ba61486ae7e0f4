"""What every reader keeps, on small files made here, and on the folder of messy documents where there is one."""

import json
import resource
import zipfile
from pathlib import Path

import openpyxl
import pytest

from pericia.documents import ReadingRoom, find_files
from pericia.draft import Limits
from pericia.errors import InputError, NotFoundError
from pericia.types import Document

MESSY = Path(__file__).parents[3] / "shared" / "data" / "documents"
ADVERSARIAL = MESSY / "adversarial_derived"
REFUSED = {
    "truncated_60pct.pdf", "zero_bytes.pdf", "header_only.pdf", "whitespace_only.txt", "inflating_20MB.docx",
    "entity_expansion.docx", "path_traversal.zip", "corrupt_crc.xlsx",
}  # fmt: skip
TEXTS = {
    "a.txt": "one\n\ntwo",
    "a.md": "# Oil\n\nUse L-46.\n\n| Model | Price |\n|---|---|\n| PX-20 | 310 EUR |\n",
    "a.rst": "Oil\n===\n\nUse L-46.\n",
    "a.html": "<h1>Oil</h1><p>Use L-46.<script>no()</script></p>",
    "a.csv": "Model;Price\nPX-20;310 EUR\n",
    "a.tsv": "Model\tPrice\nPX-20\t310 EUR\n",
    "a.json": '[{"Model": "PX-20", "Price": 310}]',
    "a.jsonl": '{"Model": "PX-20"}\n',
    "a.xml": "<a><b>PX-20</b></a>",
    "a.eml": "From: a@example.org\nSubject: Oil\n\nUse L-46.\n",
}


def check(document: Document) -> None:
    end = 0
    for block in document.blocks:
        assert block.start >= end
        assert document.text[block.start : block.end].strip()
        assert not document.text[end : block.start].strip()
        end = block.end
    assert end == len(document.text)
    document.text.encode("utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_text_formats_keep_the_contract(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(TEXTS[name], encoding="utf-8")
    with ReadingRoom() as room:
        check(room.read(path, name))


def test_a_row_repeats_its_header_and_knows_its_cells(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    sheet.append(["Price list"])
    sheet.append([])
    sheet.append(["Model", "Price"])
    sheet.append(["PX-20", 310.5])
    book.save(tmp_path / "p.xlsx")
    with ReadingRoom() as room:
        document = room.read(tmp_path / "p.xlsx", "p.xlsx")
    check(document)
    row = document.blocks[-1]
    assert document.text[row.start : row.end] == "Model: PX-20 | Price: 310.5"
    assert (row.place.sheet, row.place.cell) == ("Prices", "A4:B4")
    assert document.tables[-1].cells == (("PX-20", "310.5"),)


def test_a_slow_file_costs_one_error_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "big.csv").write_text("a,b\n" + "1,2\n" * 150_000, encoding="utf-8")
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    with ReadingRoom() as room:
        check(room.read(tmp_path / "a.txt", "a.txt"))  # the worker has started now
        room.limits = Limits(time_s=0.05)
        with pytest.raises(InputError, match="not read within"):
            room.read(tmp_path / "big.csv", "big.csv")
        room.limits = Limits()
        check(room.read(tmp_path / "a.txt", "a.txt"))


def test_an_archive_that_points_outside_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with ReadingRoom() as room, pytest.raises(InputError, match="outside"):
        room.read(tmp_path / "a.docx", "a.docx")


def test_files_are_found_in_order_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("docs/b.txt", "docs/a/c.txt", "docs/.hidden/x.txt", "docs/.y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    assert [s for _, s in find_files([tmp_path / "docs"])] == ["docs/a/c.txt", "docs/b.txt"]
    with pytest.raises(NotFoundError):
        find_files([tmp_path / "missing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no files"):
        find_files([tmp_path / "empty"])


@pytest.mark.skipif(not MESSY.exists(), reason="the messy documents are not here")
def test_every_messy_document_is_read_or_refused_with_its_reason() -> None:
    errors: dict[str, InputError] = {}
    with ReadingRoom(Limits(time_s=1200)) as room:  # the machine may be busy
        for path, source in find_files([MESSY]):
            try:
                check(room.read(path, source))
            except InputError as error:
                errors[path.name] = error
    assert [n for n, e in errors.items() if n not in e.message or not e.hint] == []
    listed = {entry["file"] for entry in json.loads((ADVERSARIAL / "manifest.json").read_text())}
    assert errors.keys() & listed == REFUSED
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert children.ru_utime < 120  # seconds of all readers so far, so that no file runs away

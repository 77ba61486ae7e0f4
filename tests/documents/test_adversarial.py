"""Each file of the adversarial folder does what its manifest says; one that is new there fails until it is written here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pericia.chunks import split
from pericia.documents import read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.types import Document

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "documents" / "adversarial_derived"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the messy documents are not here")

Check = Callable[[Document], bool]


def count_tokens(text: str) -> int:
    return 1 + len(text) // 4


def chunks_are_small(document: Document) -> bool:
    chunks = split(document, chunk_tokens=200, count_tokens=count_tokens)
    return bool(chunks) and max(count_tokens(chunk.text) for chunk in chunks) <= 200


def rows(document: Document) -> list[str]:
    return [document.text[b.start : b.end] for b in document.blocks if b.kind == "row"]


REFUSED = {
    "truncated_60pct.pdf": "damaged",
    "zero_bytes.pdf": "is empty",
    "header_only.pdf": "damaged",
    "whitespace_only.txt": "holds no text",
    "inflating_20MB.docx": "inflates more than 100 times",
    "entity_expansion.docx": "damaged",
    "path_traversal.zip": "points outside the archive",
    "corrupt_crc.xlsx": "damaged",
}
READ: dict[str, Check] = {
    "pdf_renamed.docx": lambda d: (
        "the content is .pdf" in d.skipped[-1] and d.blocks[0].place.page == 1
    ),
    "docx_renamed.pdf": lambda d: "the content is .docx" in d.skipped[-1],
    "html_renamed.xls": lambda d: rows(d) == ["Producto: Café | Precio: 3,50"],
    "latin1_es.csv": lambda d: (
        rows(d)
        == [
            "código: 1 | descripción: Año fiscal – señal | precio: 1.234,56",
            "código: 2 | descripción: Niño | precio: 7,00",
        ]
    ),
    "utf16_es.csv": lambda d: rows(d) == ["código: 1 | descripción: Mañana"],
    "utf8_bom.csv": lambda d: d.tables[0].columns == ("id", "texto"),
    "huge_60k_rows.csv": lambda d: (
        len(rows(d)) == 60_000 and d.blocks[-1].place.cell == "A60001:D60001"
    ),
    "wide_3000_cols.csv": lambda d: len(d.tables[0].columns) == 3000 and chunks_are_small(d),
    "one_line_2MB.txt": chunks_are_small,
    "formula_injection.csv": lambda d: d.tables[0].cells[0][0] == "=cmd|' /C calc'!A0",
    "ragged.csv": lambda d: (
        any(note.startswith("line 3: 4 cells") for note in d.skipped)
        and "a quote is opened and never closed" in d.skipped
    ),
    "broken_lines.jsonl": lambda d: (
        [b.place.line for b in d.blocks] == [1, 4] and d.skipped[0].startswith("line 2: no JSON")
    ),
    "nul_bytes.txt": lambda d: d.text == "textoconnulos",
    "lone_surrogate.json": lambda d: d.text.encode() == b"text: bad  end",
    "hidden_prompt_injection.html": lambda d: (
        d.text == "Manual\n\nThe warranty is 24 months." and "hidden text" in d.skipped[0]
    ),
    "contradiction_a.md": lambda d: "15 días" in d.text,
    "contradiction_b.md": lambda d: "30 días" in d.text,
    "informe año 2023 – España (final) #1.txt": lambda d: (
        d.source == "informe año 2023 – España (final) #1.txt"
    ),
    "x" * 180 + ".txt": lambda d: len(d.source) == 184,
}


def read(name: str) -> Document:
    return read_here(FOLDER / name, name, "", Limits())


def test_every_file_of_the_manifest_is_expected_here() -> None:
    listed = {entry["file"] for entry in json.loads((FOLDER / "manifest.json").read_text())}
    assert listed == REFUSED.keys() | READ.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_read_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(InputError) as error:
        read(name)
    assert name in error.value.message
    assert REFUSED[name] in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("name", sorted(READ))
def test_what_can_be_read_is_read_right(name: str) -> None:
    assert READ[name](read(name))

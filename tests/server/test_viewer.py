"""A citation leads to its words on the page, or to its cell in the table."""

from pathlib import Path

import pytest

from pericia import documents
from pericia.draft import Limits
from pericia.server import viewer
from pericia.types import Document, Place

OSTERMILL = Path(__file__).parents[2] / "examples" / "ostermill" / "documents"


def read(name: str) -> Document:
    return documents.read_here(OSTERMILL / name, name, "", Limits())


def lit(found: viewer.Found) -> str:
    return "".join(line.text[slice(*line.lit)] for line in found.lines)


def test_a_cell_is_lit_in_its_row() -> None:
    document = read("parts/price-list.xlsx")
    row = next(b for b in document.blocks if b.place.sheet == "Parts" and b.place.cell == "A3:C3")
    quote = document.text[row.start : row.end]
    found = viewer.locate(document, "id", Place(cell="A3:C3"), quote, "Price: 74 EUR [1]")
    assert found.table is not None
    assert found.table.name == "Parts"
    assert found.table.lit_row == 3
    assert [found.table.columns[j] for j in found.table.lit_columns] == ["Price"]
    assert dict(found.table.rows)[3][1] == "74 EUR"


def test_the_same_cell_of_another_sheet_is_not_taken() -> None:
    document = read("parts/price-list.xlsx")
    rows = [b for b in document.blocks if b.place.cell and b.place.cell.startswith("A3:")]
    assert len({row.place.sheet for row in rows}) > 1
    for row in rows:
        quote = document.text[row.start : row.end]
        found = viewer.locate(document, "id", Place(cell=row.place.cell), quote)
        assert found.place.sheet == row.place.sheet


def test_a_quote_is_lit_on_its_page_whatever_blanks_it_has() -> None:
    document = read("handbook/px-40.pdf")
    block = next(b for b in document.blocks if b.kind == "paragraph" and b.end - b.start > 60)
    words = document.text[block.start : block.end].split()[:8]
    found = viewer.locate(document, "id", Place(page=block.place.page), "  ".join(words))
    assert lit(found).split() == words
    assert found.page == block.place.page
    assert found.is_found


def test_a_quote_that_is_gone_is_said_to_be_gone() -> None:
    found = viewer.locate(read("parts/seals.md"), "id", Place(), "words that stand nowhere")
    assert not found.is_found
    assert lit(found) == ""
    assert found.lines


def test_a_place_without_a_quote_is_enough() -> None:
    document = read("service/intervals.csv")
    row = next(b for b in document.blocks if b.kind == "row")
    found = viewer.locate(document, "id", Place(cell=row.place.cell), "")
    assert found.table is not None
    assert found.table.lit_row == 2


@pytest.mark.parametrize("name", ["handbook/px-40.pdf", "parts/seals.md", "mails/new-buyer.eml"])
def test_the_whole_text_is_shown(name: str) -> None:
    document = read(name)
    shown = "".join(line.text for page in viewer.pages(document) for line in page.lines)
    for block in document.blocks:
        if block.kind != "row":
            assert document.text[block.start : block.end] in shown

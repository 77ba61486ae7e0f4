"""PDF: columns, lists, bold headings, scans, passwords, and the second reader."""

from pathlib import Path

import pypdfium2 as pdfium
import pytest

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.types import Document
from tests.documents import two_columns

MESSY = Path(__file__).parents[3] / "shared" / "data" / "documents"
needs_messy = pytest.mark.skipif(not MESSY.exists(), reason="the messy documents are not here")


def read(path: Path, password: str = "") -> Document:
    return read_here(path, path.name, password, Limits())


def shown(document: Document, kind: str) -> list[str]:
    return [document.text[b.start : b.end] for b in document.blocks if b.kind == kind]


def test_two_columns_keep_their_order_and_ruled_tables_their_rows(tmp_path: Path) -> None:
    two_columns.make(tmp_path / "a.pdf", 3)
    document = read(tmp_path / "a.pdf")
    assert two_columns.in_order(document, 3) == 12
    assert two_columns.rows_kept(document, 3) == 15
    assert len(shown(document, "heading")) == 3


def test_columns_drawn_line_by_line_across_are_put_apart(tmp_path: Path) -> None:
    two_columns.make_interleaved(tmp_path / "a.pdf")
    document = read(tmp_path / "a.pdf")
    left = [document.text.index(f"left {n:02d}") for n in range(1, 31)]
    right = [document.text.index(f"right {n:02d}") for n in range(1, 31)]
    assert [*left, *right] == sorted([*left, *right])
    assert shown(document, "heading") == ["A title that runs over both of the columns of the page"]


def test_a_bullet_is_one_block_and_a_bold_line_a_heading(tmp_path: Path) -> None:
    two_columns.make_list(tmp_path / "a.pdf")
    document = read(tmp_path / "a.pdf")
    assert {"- Inlet width: 50 mm", "- Weight: 18 kg"} <= set(shown(document, "paragraph"))
    assert shown(document, "heading") == ["Spare parts"]
    assert document.blocks[-1].headings == ("Spare parts",)


def test_what_pdfium_refuses_is_read_by_pypdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_columns.make_list(tmp_path / "a.pdf")

    def refuse(*_: object, **__: object) -> None:
        raise pdfium.PdfiumError("refused")

    monkeypatch.setattr(pdfium, "PdfDocument", refuse)
    document = read(tmp_path / "a.pdf")
    assert "Weight: 18 kg" in document.text
    assert document.blocks[0].place.page == 1
    assert "plain text" in document.skipped[-1]


@needs_messy
@pytest.mark.parametrize(
    "name",
    [
        "inline_image", "late_mask_reference", "shared_resources", "shredded_strips",
        "standalone_stencil", "stencil_mask", "with_image",
    ],
)  # fmt: skip
def test_a_page_that_holds_only_images_needs_ocr(name: str) -> None:
    with pytest.raises(InputError, match="page 1: no text, only an image"):
        read(MESSY / "onyx_pdf" / f"{name}.pdf")


@needs_messy
def test_a_page_without_anything_is_blank() -> None:
    with pytest.raises(InputError, match="page 1: blank"):
        read(MESSY / "onyx_pdf" / "empty.pdf")


@needs_messy
@pytest.mark.parametrize(
    "path", sorted((MESSY / "pypdf_encryption").glob("*.pdf")), ids=lambda p: p.stem
)
def test_encrypted_files_open_with_their_password_and_say_so_without(path: Path) -> None:
    right = "foo" if "both" in path.name else "asdfzxcv"
    assert "encryption test" in read(path, right).text
    if "user" in path.name or "both" in path.name:
        with pytest.raises(InputError, match="needs a password"):
            read(path)
        with pytest.raises(InputError, match="does not open it"):
            read(path, "wrong")
    else:
        assert "encryption test" in read(path).text


@needs_messy
def test_the_fields_of_a_form_are_no_headings_though_its_small_print_is_longer() -> None:
    path = MESSY / "markitdown" / "test_files" / "REPAIR-2022-INV-001_multipage.pdf"
    document = read(path)
    headings = shown(document, "heading")
    assert sum(map(len, headings)) < 0.2 * len(document.text)
    assert not any("Odometer" in heading or "Subtotal" in heading for heading in headings)


@needs_messy
def test_the_scanned_pages_of_a_longer_file_are_named() -> None:
    with pytest.raises(
        InputError, match=r"page 1: no text, only an image.*page 2: no text, only an image"
    ):
        read(MESSY / "markitdown" / "test_files" / "MEDRPT-2024-PAT-3847_medical_report_scan.pdf")

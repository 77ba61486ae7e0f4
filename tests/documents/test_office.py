"""Word and PowerPoint files as their libraries write them."""

from pathlib import Path

import docx
import pptx
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.types import Document


def read(path: Path, limits: Limits | None = None) -> Document:
    return read_here(path, path.name, "", limits or Limits())


def shown(document: Document) -> list[tuple[str, str]]:
    return [(b.kind, document.text[b.start : b.end]) for b in document.blocks]


def test_word_keeps_headings_lists_and_tables_in_their_order(tmp_path: Path) -> None:
    file = docx.Document()
    file.core_properties.title = "Pump manual"
    file.add_heading("Service", 1)
    file.add_paragraph("Oil is changed every year.")
    file.add_heading("Seals", 2)
    file.add_paragraph("shaft seal", style="List Bullet")
    table = file.add_table(2, 3)
    for row, cells in zip(
        table.rows, [("Model", "Price", "Note"), ("PX-20", "310 EUR", "")], strict=True
    ):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    table.cell(1, 1).merge(table.cell(1, 2))
    file.add_paragraph("The end.")
    file.save(str(tmp_path / "a.docx"))
    document = read(tmp_path / "a.docx")
    assert document.title == "Pump manual"
    assert shown(document) == [
        ("heading", "Service"),
        ("paragraph", "Oil is changed every year."),
        ("heading", "Seals"),
        ("paragraph", "- shaft seal"),
        ("row", "Model: PX-20 | Price: 310 EUR"),
        ("paragraph", "The end."),
    ]
    assert document.blocks[3].headings == ("Service", "Seals")
    assert document.blocks[4].place.cell == "A2:C2"
    assert [b.place.line for b in document.blocks] == [1, 2, 3, 4, 5, 6]


def test_powerpoint_keeps_slides_tables_charts_and_notes(tmp_path: Path) -> None:
    file = pptx.Presentation()
    slide = file.slides.add_slide(file.slide_layouts[5])
    assert slide.shapes.title is not None
    slide.shapes.title.text = "Prices"
    grid = slide.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for at, text in enumerate(("Model", "Price", "PX-20", "310 EUR")):
        grid.cell(at // 2, at % 2).text = text
    data = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["2024", "2025"]
    data.add_series("Sold", (7, 9.5))  # type: ignore[no-untyped-call]
    slide.shapes.add_chart(
        XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(4), Inches(4), Inches(2), data
    )
    assert slide.notes_slide.notes_text_frame is not None
    slide.notes_slide.notes_text_frame.text = "Prices hold until May."
    second = file.slides.add_slide(file.slide_layouts[6])
    box = second.shapes.add_textbox(Inches(1), Inches(1), Inches(3), Inches(1))
    box.text_frame.text = "Ask the service desk."
    file.save(str(tmp_path / "a.pptx"))
    document = read(tmp_path / "a.pptx")
    assert shown(document) == [
        ("heading", "Prices"),
        ("row", "Model: PX-20 | Price: 310 EUR"),
        ("row", "A: 2024 | Sold: 7"),
        ("row", "A: 2025 | Sold: 9.5"),
        ("paragraph", "Prices hold until May."),
        ("paragraph", "Ask the service desk."),
    ]
    assert [b.place.page for b in document.blocks] == [1, 1, 1, 1, 1, 2]
    cut = read(tmp_path / "a.pptx", Limits(pages=1))
    assert cut.skipped == ("slides from 2: more than 1",)

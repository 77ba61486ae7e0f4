"""The two-column test file of the PDF figure: headings, paragraphs and ruled tables, flowing down two columns."""

from pathlib import Path
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Spacer, Table

from pericia.types import Document

PARAGRAPHS_A_SECTION = 4
ROWS_A_TABLE = 5
_SENTENCE = (
    "the impeller clearance is checked with a feeler gauge before the casing is closed again"
)


def opening(number: int) -> str:
    """Return the words that paragraph `number`, from 1, begins with."""
    return f"Paragraph {number:03d} says that"


def row(section: int, number: int) -> tuple[str, str, str]:
    """Return the cells of a table's row; both count from 1."""
    return f"PX-{section:02d}-{number}", f"{100 * section + number} EUR", f"{number + 2} bar"


def make(path: Path, num_sections: int, sentences: int = 8) -> None:
    """Write the file: a heading, paragraphs, a table of three columns, paragraphs; `num_sections` times."""
    styles = getSampleStyleSheet()
    story: list[Any] = []
    number = 0
    for section in range(1, num_sections + 1):
        story.append(Paragraph(f"Section {section} of the manual", styles["Heading2"]))
        for part in range(PARAGRAPHS_A_SECTION):
            if part == PARAGRAPHS_A_SECTION // 2:
                cells = [("Model", "Price", "Pressure")]
                cells += [row(section, n) for n in range(1, ROWS_A_TABLE + 1)]
                grid = [("GRID", (0, 0), (-1, -1), 0.5, "black")]
                story += [Table(cells, style=grid), Spacer(1, 6)]
            number += 1
            text = f"{opening(number)} {'; '.join([_SENTENCE] * sentences)}."
            story += [Paragraph(text, styles["BodyText"]), Spacer(1, 6)]
    width, height = A4[0] / 2 - 22 * mm, A4[1] - 40 * mm
    frames = [Frame(x, 20 * mm, width, height) for x in (15 * mm, A4[0] / 2 + 7 * mm)]
    BaseDocTemplate(
        str(path), pagesize=A4, pageTemplates=[PageTemplate(frames=frames)], title="Manual"
    ).build(story)


def make_interleaved(path: Path) -> None:
    """Write one page whose columns were drawn line by line across, under a title over both."""
    canvas = Canvas(str(path), pagesize=A4)
    canvas.setFont("Helvetica-Bold", 18)
    canvas.drawString(60, 780, "A title that runs over both of the columns of the page")
    canvas.setFont("Helvetica", 9)
    for number in range(1, 31):
        canvas.drawString(
            60, 750 - 12 * number, f"left {number:02d} is a line of the first column here"
        )
        canvas.drawString(
            320, 750 - 12 * number, f"right {number:02d} is a line of the second column"
        )
    canvas.save()


def make_list(path: Path) -> None:
    """Write bullets of every make, a bold heading at body size and a paragraph."""
    canvas = Canvas(str(path), pagesize=A4)
    canvas.setFont("Helvetica", 10)
    canvas.drawString(60, 780, "The pump is measured as it is delivered, in this order:")
    for at, (mark, text) in enumerate(
        [("-", "Inlet width: 50 mm"), ("\u2022", "Outlet width: 40 mm"), ("-", "Stroke: 12 mm")]
    ):
        canvas.drawString(60, 760 - 20 * at, mark)
        canvas.drawString(74, 760 - 20 * at, text)
    canvas.drawString(60, 690, "- Weight: 18 kg")
    canvas.setFont("Helvetica-Bold", 10)
    canvas.drawString(60, 660, "Spare parts")
    canvas.setFont("Helvetica", 10)
    canvas.drawString(60, 640, "They are kept for ten years after the last delivery of a model.")
    canvas.save()


def in_order(document: Document, num_sections: int) -> int:
    """Return how many paragraphs begin a block behind all that stand before them."""
    starts = {b.start for b in document.blocks if b.kind == "paragraph"}
    last, found = -1, 0
    for number in range(1, 1 + PARAGRAPHS_A_SECTION * num_sections):
        at = document.text.find(opening(number))
        if at in starts and at > last:
            last, found = at, found + 1
    return found


def rows_kept(document: Document, num_sections: int) -> int:
    """Return how many rows of the tables came as rows with all their cells."""
    kept = {cells for table in document.tables for cells in table.cells}
    every = [(s, n) for s in range(1, num_sections + 1) for n in range(1, ROWS_A_TABLE + 1)]
    return sum(row(s, n) in kept for s, n in every)

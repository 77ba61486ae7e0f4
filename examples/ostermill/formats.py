"""Pages to files: one writer for each format, all of them from the same blocks, with bytes that do not change.

Office files are zip archives that remember when they were written; `settle` takes that memory away.
"""

import csv
import html
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from docx import Document as Word
from openpyxl import Workbook
from openpyxl.styles import Font
from pptx import Presentation
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Flowable, ListFlowable, Paragraph, SimpleDocTemplate, Spacer, Table

WRITTEN = "2031-11-03T08:00:00Z"


@dataclass(frozen=True)
class Block:
    """`kind` is title, heading, paragraph, bullets, table or header (of a mail); `rows` has one cell a row but in tables."""

    kind: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def lines(self) -> list[str]:
        return [row[0] for row in self.rows]

    @property
    def text(self) -> str:
        return " ".join(self.lines)


Blocks = Sequence[Block]


def markdown(blocks: Blocks) -> str:
    parts = []
    for block in blocks:
        if block.kind == "title":
            parts.append(f"# {block.text}")
        elif block.kind == "heading":
            parts.append(f"## {block.text}")
        elif block.kind == "bullets":
            parts.append("\n".join(f"- {line}" for line in block.lines))
        elif block.kind == "table":
            head, *rows = [f"| {' | '.join(row)} |" for row in block.rows]
            parts.append("\n".join([head, "|" + "---|" * len(block.rows[0]), *rows]))
        else:
            parts.append(block.text)
    return "\n\n".join(parts) + "\n"


def text(blocks: Blocks) -> str:
    parts = []
    for block in blocks:
        if block.kind == "title":
            parts.append(f"{block.text}\n{'=' * len(block.text)}")
        elif block.kind == "bullets":
            parts.append("\n".join(f"- {line}" for line in block.lines))
        else:
            parts.append(block.text)
    return "\n\n".join(parts) + "\n"


def web(blocks: Blocks) -> str:
    title = html.escape(blocks[0].text)
    parts = []
    for block in blocks:
        if block.kind in ("title", "heading"):
            tag = "h1" if block.kind == "title" else "h2"
            parts.append(f"<{tag}>{html.escape(block.text)}</{tag}>")
        elif block.kind == "bullets":
            items = "\n".join(f"  <li>{html.escape(line)}</li>" for line in block.lines)
            parts.append(f"<ul>\n{items}\n</ul>")
        elif block.kind == "table":
            head, *rows = block.rows
            lines = [_html_row(head, "th"), *(_html_row(row, "td") for row in rows)]
            parts.append("<table>\n" + "\n".join(lines) + "\n</table>")
        else:
            parts.append(f"<p>{html.escape(block.text)}</p>")
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "  <tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def comma_separated(blocks: Blocks) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(blocks[0].rows)
    return lines.getvalue()


def mail(blocks: Blocks) -> str:
    """Return a mail; its own lines stay, so that it looks typed."""
    headers = [line for block in blocks if block.kind == "header" for line in block.lines]
    subject = next(line for line in headers if line.startswith("Subject: "))
    name = re.sub(r"[^a-z0-9]+", "-", subject.removeprefix("Subject: ").lower()).strip("-")
    headers += [
        f"Message-ID: <{name}@ostermill.example>",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 8bit",
    ]
    body = ["\n".join(block.lines) for block in blocks if block.kind != "header"]
    return "\n".join(headers) + "\n\n" + "\n\n".join(body) + "\n"


def write_pdf(blocks: Blocks, path: Path) -> None:
    styles = getSampleStyleSheet()
    look = {"title": "Title", "heading": "Heading2"}
    story: list[Flowable] = []
    for block in blocks:
        if block.kind == "bullets":
            items = [Paragraph(html.escape(line), styles["BodyText"]) for line in block.lines]
            story.append(ListFlowable(items, bulletType="bullet", start="-"))
        elif block.kind == "table":
            grid = [("GRID", (0, 0), (-1, -1), 0.5, colors.grey)]
            head = [("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold")]
            story += [Table([list(row) for row in block.rows], style=grid + head), Spacer(1, 8)]
        else:
            style = styles[look.get(block.kind, "BodyText")]
            story.append(Paragraph(html.escape(block.text), style))
    SimpleDocTemplate(
        str(path), pagesize=A4, invariant=1, title=blocks[0].text, author="Ostermill"
    ).build(story)


def write_docx(blocks: Blocks, path: Path) -> None:
    word = Word()
    word.core_properties.title, word.core_properties.author = blocks[0].text, "Ostermill"
    for block in blocks:
        if block.kind in ("title", "heading"):
            word.add_heading(block.text, level=1 if block.kind == "title" else 2)
        elif block.kind == "bullets":
            for line in block.lines:
                word.add_paragraph(line, style="List Bullet")
        elif block.kind == "table":
            table = word.add_table(rows=0, cols=len(block.rows[0]), style="Table Grid")
            for row in block.rows:
                for cell, value in zip(table.add_row().cells, row, strict=True):
                    cell.text = value
        else:
            word.add_paragraph(block.text)
    word.save(str(path))


def write_pptx(blocks: Blocks, path: Path) -> None:
    """Write a title slide, then one slide for each heading."""
    show = Presentation()
    show.core_properties.title, show.core_properties.author = blocks[0].text, "Ostermill"
    slide = show.slides.add_slide(show.slide_layouts[0])
    slide.shapes.title.text = blocks[0].text
    for block in blocks[1:]:
        if block.kind == "heading":
            slide = show.slides.add_slide(show.slide_layouts[1])
            slide.shapes.title.text = block.text
        else:
            slide.placeholders[1].text_frame.text = "\n".join(block.lines)
    show.save(str(path))


def write_xlsx(blocks: Blocks, path: Path) -> None:
    """Write one sheet for each heading."""
    book = Workbook()
    book.remove(book.active)
    for heading, table in zip(blocks[::2], blocks[1::2], strict=True):
        sheet = book.create_sheet(heading.text)
        for row in table.rows:
            sheet.append(row)
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for column in "ABCDEF"[: len(table.rows[0])]:
            sheet.column_dimensions[column].width = 18
    book.save(path)


def settle(path: Path) -> None:
    """Rewrite an office file with one fixed date in the archive and in its properties."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            if name == "docProps/core.xml":
                dates = rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*"
                data = re.sub(dates, rb"\g<1>" + WRITTEN.encode(), data)
            member = zipfile.ZipInfo(name, (2031, 11, 3, 8, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)


PLAIN: dict[str, Callable[[Blocks], str]] = {
    ".md": markdown,
    ".txt": text,
    ".html": web,
    ".csv": comma_separated,
    ".eml": mail,
}
OFFICE: dict[str, Callable[[Blocks, Path], None]] = {
    ".docx": write_docx,
    ".pptx": write_pptx,
    ".xlsx": write_xlsx,
}


def write(blocks: Blocks, path: Path) -> None:
    """Write a page in the format that the suffix of `path` names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in PLAIN:
        path.write_text(PLAIN[path.suffix](blocks), encoding="utf-8", newline="\n")
    elif path.suffix == ".pdf":
        write_pdf(blocks, path)
    else:
        OFFICE[path.suffix](blocks, path)
        settle(path)

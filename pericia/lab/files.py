"""Pages to files of the formats that companies keep: md, txt, html, csv, and xlsx, docx, pdf where their writers are installed."""

import csv
import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pericia.errors import MissingExtraError

TEXT_FORMATS = ("md", "txt", "html", "csv")
OFFICE_FORMATS = {"xlsx": "openpyxl", "docx": "docx", "pdf": "reportlab"}
TABLE_FORMATS = ("csv", "xlsx")


@dataclass(frozen=True, slots=True)
class Page:
    """A document before it has a format. A page with `rows` is a table, one without is headed prose."""

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def installed_formats() -> tuple[str, ...]:
    """Return the formats that can be written here, text formats first."""
    office = [form for form, library in OFFICE_FORMATS.items() if find_spec(library)]
    return (*TEXT_FORMATS, *office)


def write_page(page: Page, form: str, folder: Path) -> str:
    """Write the page as `folder/name.form` and return that file's name.

    Raises:
        MissingExtraError: the library that writes the format is not installed.
    """
    if form in OFFICE_FORMATS and not find_spec(OFFICE_FORMATS[form]):
        raise MissingExtraError(
            f"Writing {form} needs '{OFFICE_FORMATS[form]}', which is not installed.",
            hint="Run: pip install 'pericia[dev]'",
        )
    path = folder / f"{page.name}.{form}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_WRITERS[form](page))
    return path.name


def _md(page: Page) -> bytes:
    lines = [f"# {page.title}", *page.paragraphs]
    if page.rows:
        table = [page.columns, ("---",) * len(page.columns), *page.rows]
        lines.append("\n".join("| " + " | ".join(row) + " |" for row in table))
    return ("\n\n".join(lines) + "\n").encode()


def _txt(page: Page) -> bytes:
    rows = [" | ".join(row) for row in (page.columns, *page.rows) if row]
    head = f"{page.title}\n{'=' * len(page.title)}"
    return ("\n\n".join([head, *page.paragraphs, *rows]) + "\n").encode()


def _html(page: Page) -> bytes:
    body = [f"<h1>{html.escape(page.title)}</h1>"]
    body += [f"<p>{html.escape(paragraph)}</p>" for paragraph in page.paragraphs]
    if page.rows:
        cells = [[f"<th>{html.escape(cell)}</th>" for cell in page.columns]]
        cells += [[f"<td>{html.escape(cell)}</td>" for cell in row] for row in page.rows]
        body.append("<table>" + "".join(f"<tr>{''.join(row)}</tr>" for row in cells) + "</table>")
    title = html.escape(page.title)
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
    )
    return f"{head}<body><main>{''.join(body)}</main></body></html>\n".encode()


def _csv(page: Page) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([page.columns, *page.rows])
    return text.getvalue().encode()


def _xlsx(page: Page) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = page.title[:31]
    for row in (page.columns, *page.rows):
        sheet.append(row)
    return _saved(book.save)


def _docx(page: Page) -> bytes:
    from docx import Document

    document = Document()
    document.add_heading(page.title, 1)
    for paragraph in page.paragraphs:
        document.add_paragraph(paragraph)
    if page.rows:
        table = document.add_table(rows=0, cols=len(page.columns))
        for row in (page.columns, *page.rows):
            for cell, text in zip(table.add_row().cells, row, strict=True):
                cell.text = text
    return _saved(document.save)


def _pdf(page: Page) -> bytes:
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

    styles = getSampleStyleSheet()
    story = [Paragraph(html.escape(page.title), styles["Heading1"])]
    for paragraph in page.paragraphs:
        story += [Paragraph(html.escape(paragraph), styles["BodyText"]), Spacer(1, 6)]
    if page.rows:
        story.append(Table([page.columns, *page.rows]))
    target = io.BytesIO()
    SimpleDocTemplate(target, title=page.title, invariant=1).build(story)
    return target.getvalue()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    target = io.BytesIO()
    save(target)
    return target.getvalue()


_WRITERS: dict[str, Callable[[Page], bytes]] = {
    "md": _md,
    "txt": _txt,
    "html": _html,
    "csv": _csv,
    "xlsx": _xlsx,
    "docx": _docx,
    "pdf": _pdf,
}

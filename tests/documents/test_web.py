"""HTML pages and EPUB books."""

import zipfile
from pathlib import Path

import pytest

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.errors import InputError
from pericia.types import Document

CONTAINER = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
<rootfiles><rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf" version="3.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Pumps</dc:title></metadata>
<manifest><item id="b" href="two.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="part%20one.xhtml" media-type="application/xhtml+xml"/>
<item id="c" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="c"/></spine></package>"""


def read(path: Path) -> Document:
    return read_here(path, path.name, "", Limits())


def shown(document: Document) -> list[tuple[str, str]]:
    return [(b.kind, document.text[b.start : b.end]) for b in document.blocks]


def test_a_page_keeps_headings_paragraphs_and_data_tables(tmp_path: Path) -> None:
    html = """<html><head><title>Service</title><style>p {color: red}</style></head><body>
<h1>Oil</h1><p>Use <b>L-46</b>.<br>Only.</p><script>evil()</script>
<h2>Prices</h2><table><caption>List</caption><tr><th>Model</th><th>Price</th></tr>
<tr><td>PX-20</td><td>310 EUR</td></tr></table><ul><li>one</li><li>two</li></ul></body></html>"""
    (tmp_path / "a.html").write_text(html, encoding="utf-8")
    document = read(tmp_path / "a.html")
    assert document.title == "Service"
    assert shown(document) == [
        ("heading", "Oil"),
        ("paragraph", "Use L-46. Only."),
        ("heading", "Prices"),
        ("paragraph", "List"),
        ("row", "Model: PX-20 | Price: 310 EUR"),
        ("paragraph", "one"),
        ("paragraph", "two"),
    ]
    assert document.blocks[-1].headings == ("Oil", "Prices")
    assert document.blocks[4].place.cell == "A2:B2"
    assert [b.place.line for b in document.blocks[:4]] == [2, 2, 3, 3]


@pytest.mark.parametrize(
    "hidden",
    [
        '<p style="display:none">obey</p>',
        "<p hidden>obey</p>",
        '<span style="color:red; VISIBILITY : hidden">obey</span>',
        '<div style="font-size:0px"><p>obey</p></div>',
        '<i style="opacity: 0 !important">obey</i>',
    ],
)
def test_text_that_the_page_hides_is_left_out_and_counted(hidden: str, tmp_path: Path) -> None:
    html = f'<p style="opacity:0.9">Seen.</p>{hidden}<!-- obey --><p>Seen too.</p>'
    (tmp_path / "a.html").write_text(html, encoding="utf-8")
    document = read(tmp_path / "a.html")
    assert document.text == "Seen.\n\nSeen too."
    assert document.skipped == ("hidden text: 4 characters that a reader cannot see",)


def test_a_book_comes_in_the_order_of_its_spine(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.epub", "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("META-INF/container.xml", CONTAINER)
        book.writestr("OEBPS/content.opf", PACKAGE)
        book.writestr("OEBPS/two.xhtml", "<html><body><h1>Two</h1><p>Later.</p></body></html>")
        book.writestr("OEBPS/part one.xhtml", "<html><body><h1>One</h1><p>First.</p></body></html>")
    document = read(tmp_path / "a.epub")
    assert document.title == "Pumps"
    assert [text for _, text in shown(document)] == ["One", "First.", "Two", "Later."]
    assert [b.place.page for b in document.blocks] == [1, 1, 2, 2]
    assert document.skipped == ("chapter 3: 'OEBPS/gone.xhtml' is missing from the book",)


def test_a_book_without_its_list_of_chapters_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.epub", "w") as book:
        book.writestr("mimetype", "application/epub+zip")
    with pytest.raises(InputError, match="no readable EPUB"):
        read(tmp_path / "a.epub")

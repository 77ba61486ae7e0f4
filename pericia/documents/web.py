"""HTML pages and EPUB books: headings, paragraphs and data tables; scripts and styles are left out."""

import posixpath
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pericia.draft import Draft, Limits, decode, split_header
from pericia.errors import InputError
from pericia.said import Figure, said
from pericia.types import Document, Place

_DROPPED = ["script", "style", "noscript", "template", "svg", "head", "iframe", "object"]
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure"
        " footer form h1 h2 h3 h4 h5 h6 header hr html li main nav ol p pre section summary table tbody td tfoot"
        " th thead tr ul",
    )
)
_BREAK = "\x0b"  # stands for <br> while text gathers; no page holds it as text
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity)\s*:\s*0+(?:px|pt|em|%)?\s*(?:;|!|$)",
    re.IGNORECASE,
)
_CELL_CHARS = 500  # a table with longer cells is page layout


def read(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Text that the page itself hides is left out and counted: nobody could check an answer from it."""
    draft = Draft(path, source, limits)
    html = decode(path.read_bytes(), path.name)
    _Page(draft, html).add()
    return draft.document()


def read_epub(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. The chapters come in the order of the book's spine, and `page` is the chapter's number."""
    draft = Draft(path, source, limits)
    try:
        with zipfile.ZipFile(path) as book:
            title, chapters = _spine(book)
            draft.title = title
            for number, name in enumerate(chapters, 1):
                if name not in book.namelist():
                    draft.skip(
                        said(
                            "chapter %(n)s: '%(name)s' is missing from the book",
                            n=number,
                            name=name,
                        )
                    )
                    continue
                _Page(draft, decode(book.read(name), path.name), page=number).add()
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError) as error:
        raise InputError(
            said("'%(name)s' is no readable EPUB: %(why)s.", name=path.name, why=str(error)),
            hint=said("Download or export it again."),
        ) from error
    return draft.document()


def _spine(book: zipfile.ZipFile) -> tuple[str, list[str]]:
    container = ElementTree.fromstring(book.read("META-INF/container.xml"))
    root = container.find(".//{*}rootfile")
    package_path = "" if root is None else root.get("full-path", "")
    package = ElementTree.fromstring(book.read(package_path))
    folder = posixpath.dirname(package_path)
    files = {item.get("id"): item.get("href", "") for item in package.findall(".//{*}item")}
    order = [files.get(ref.get("idref"), "") for ref in package.findall(".//{*}itemref")]
    chapters = [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in order if href]
    return package.findtext(".//{http://purl.org/dc/elements/1.1/}title", ""), chapters


class _Page:
    """Walks one page's elements in order; inline text gathers until a block begins or ends."""

    def __init__(self, draft: Draft, html: str, page: int | None = None) -> None:
        self._draft = draft
        self._html = html
        self._page = page
        self._inline: list[str] = []
        self._line = 1
        self._position = 0
        self._num_hidden = 0

    def add(self) -> None:
        tree = LexborHTMLParser(self._html)
        title = tree.css_first("title")
        if title is not None and self._page is None:
            self._draft.title = " ".join(title.text().split())
        tree.strip_tags(_DROPPED)
        if tree.body is not None:
            self._walk(tree.body, 0)
        self._flush()
        if self._num_hidden:
            self._draft.skip(
                said(
                    "hidden text: %(n)s characters that a reader cannot see",
                    n=Figure(self._num_hidden),
                )
            )

    def _walk(self, node: LexborNode, depth: int) -> None:
        if depth > self._draft.limits.nesting * 5:
            self._inline.append(node.text(separator=" "))
            return
        child = node.first_child
        while child is not None:
            tag = child.tag or ""
            if tag == "-text":
                self._inline.append((child.text_content or "").replace(_BREAK, " "))
            elif _is_hidden(child):
                self._num_hidden += len(" ".join(child.text(separator=" ").split()))
            elif tag == "br":
                self._inline.append(_BREAK)
            elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
                self._flush()
                text = child.text(separator=" ")
                self._draft.heading(text, int(tag[1]), self._place(text))
            elif tag == "table" and self._add_table(child):
                pass
            elif tag in _BLOCKS:
                self._flush()
                self._walk(child, depth + 1)
                self._flush()
            elif not tag.startswith(("_", "-", "!")):
                self._walk(child, depth + 1)
            child = child.next

    def _add_table(self, table: LexborNode) -> bool:
        """Add a data table; False for one that only lays out the page."""
        if table.css_first("table table") is not None or len(table.css("table")) > 1:
            return False
        rows = [
            [" ".join(cell.text(separator=" ").split()) for cell in row.css("th, td")]
            for row in table.css("tr")
        ]
        rows = [row for row in rows if any(row)]
        cells = [cell for row in rows for cell in row]
        if (
            not rows
            or max(map(len, rows)) < 2
            or len(rows) < 2
            or max(map(len, cells)) > _CELL_CHARS
        ):
            return False
        self._flush()
        caption = table.css_first("caption")
        name = "" if caption is None else " ".join(caption.text(separator=" ").split())
        place = self._place(next(filter(None, cells)))
        self._draft.paragraph(name, place)
        header, body, num_header = split_header(rows)
        self._draft.table(header, body, place, name=name, first_row=1 + num_header)
        return True

    def _flush(self) -> None:
        text = re.sub(r"[ \t\r\n\f\xa0]+", " ", "".join(self._inline))
        self._inline.clear()
        # Two line breaks part paragraphs, as the eye sees it; a single one does not.
        for part in re.split(f"{_BREAK} ?{_BREAK}", text):
            words = " ".join(part.replace(_BREAK, " ").split())
            if words:
                self._draft.paragraph(words, self._place(words))

    def _place(self, text: str) -> Place:
        """Return where the first words stand in the source, looking on from the last find; entities may hide them."""
        if self._page is not None:
            return Place(page=self._page)
        words = re.findall(r"\w[\w ]{3,39}", text)[:1] or text.split()[:1]
        at = self._html.find(words[0].rstrip(), self._position) if words else -1
        if at >= 0:
            self._line += self._html.count("\n", self._position, at)
            self._position = at
        return Place(line=self._line)


def _is_hidden(node: LexborNode) -> bool:
    if (node.tag or "-").startswith(("_", "-", "!")):
        return False
    attributes = node.attributes
    return "hidden" in attributes or _HIDDEN.search(attributes.get("style") or "") is not None

"""Documents: files of every kind come in, are looked at and taken out, and nothing is silent or lost."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfWriter

from tests.browser.conftest import OSTERMILL, Serve, Visitor, check_a11y

ADVERSARIAL = Path(__file__).parents[3] / "shared" / "data" / "documents" / "adversarial_derived"

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = (
    "<html><head><title>Oil</title></head><body><h1>Oil of the KX-9</h1>"
    "<p>The KX-9 takes oil ISO 46. &lt;script&gt;document.title = 'stolen'&lt;/script&gt;</p>"
    "<script>document.title = 'stolen'</script><img src='http://evil.example/x.png'></body></html>"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good file, a hostile one, and one of each that cannot be read."""
    made = tmp_path / "from the desk"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "prices.csv").write_text("Part,Price\nSeal,74 EUR\nGasket,33 EUR\n")
    (made / "oil.html").write_text(HOSTILE)
    (made / "empty.txt").write_bytes(b"")
    (made / "broken.pdf").write_bytes(b"%PDF-1.7\nnot a PDF after all")
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt("secret")
    with (made / "locked.pdf").open("wb") as file:
        writer.write(file)
    (made / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (made / ".hidden").write_text("nobody sees this")
    return made


def row(page: Page, name: str) -> object:
    return page.get_by_test_id("file").filter(has_text=name)


def test_good_and_bad_files_together(serve: Serve, visitor: Visitor, folder: Path) -> None:
    server = serve()
    page = visitor.open(f"{server.url}/documents")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.locator("#folder").set_input_files(folder)
    refused = page.locator("[data-refused] li")
    expect(refused).to_have_count(1)
    expect(refused).to_contain_text("photo.jpg")
    expect(refused).to_contain_text("OCR")
    files = page.get_by_test_id("file")
    expect(files).to_have_count(5)
    expect(page.locator("#files-region")).to_have_attribute("data-state", "done")

    states = {
        "prices.csv": "read",
        "oil.html": "read",
        "empty.txt": "skipped",
        "broken.pdf": "skipped",
        "locked.pdf": "skipped",
    }
    for name, state in states.items():
        expect(files.filter(has_text=name)).to_have_attribute("data-state", state)
    expect(files.filter(has_text="empty.txt")).to_contain_text("is empty")
    expect(files.filter(has_text="locked.pdf")).to_contain_text("encrypted")
    check_a11y(page)

    page.reload()
    expect(files.filter(has_text="locked.pdf")).to_contain_text("encrypted")
    page.get_by_role("link", name="Need a look").click()
    expect(files).to_have_count(3)

    page.goto(f"{server.url}/documents")
    page.get_by_role("link", name="oil.html").click()
    expect(page.get_by_text("The KX-9 takes oil ISO 46.")).to_be_visible()
    expect(page.get_by_text("<script>document.title = 'stolen'</script>")).to_be_visible()
    assert "stolen" not in page.title()
    page.goto(f"{server.url}/documents")
    page.get_by_role("link", name="prices.csv").click()
    expect(page.get_by_role("cell", name="74 EUR", exact=True)).to_be_visible()
    expect(page.locator(".passage").first).to_contain_text("Seal")

    page.goto(f"{server.url}/documents/search?q=oil+KX-9")
    expect(page.get_by_test_id("found")).to_contain_text("ISO 46")
    page.goto(f"{server.url}/documents")
    page.get_by_role("button", name="Remove oil.html").click()
    expect(page.get_by_text("is no longer used in answers")).to_be_visible()
    expect(files.filter(has_text="oil.html")).to_have_count(0)
    page.goto(f"{server.url}/documents/search?q=oil+KX-9")
    expect(page.get_by_text("ISO 46")).to_have_count(0)
    page.go_back()
    page.get_by_role("button", name="Put it back").click()
    expect(files.filter(has_text="oil.html")).to_have_attribute("data-state", "read")


def test_a_page_finds_its_reading_again_after_the_server_was_killed(
    serve: Serve, visitor: Visitor
) -> None:
    server = serve()
    page = visitor.open(f"{server.url}/documents")
    visitor.watch.expected = "ERR_|Failed to load resource"
    other = visitor.open(f"{server.url}/documents")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    server.kill()
    server.start()
    (server.root / "documents").mkdir(exist_ok=True)
    for path in sorted((OSTERMILL / "documents" / "parts").iterdir())[:2]:
        (server.root / "documents" / path.name).write_bytes(path.read_bytes())
    server.read_documents()
    for one in (page, other):  # neither was reloaded: the stream found the server again
        expect(one.get_by_test_id("file")).to_have_count(2)
        expect(one.locator("#files-region")).to_have_attribute("data-state", "done")


def test_what_is_wrong_stands_at_the_field_and_keeps_what_was_typed(
    serve: Serve, visitor: Visitor
) -> None:
    server = serve()
    page = visitor.open(f"{server.url}/documents/search?q=")
    expect(page.locator("#fault-q")).to_have_text("Type a question first.")
    page.get_by_label("Question").fill("Which oil?")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#fault-q")).to_contain_text("No documents are indexed yet.")
    expect(page.get_by_label("Question")).to_have_value("Which oil?")


def drop(page: Page, paths: Sequence[Path]) -> None:
    """Drop files and folders on the page as a file manager does: Chromium reads them from the disk itself."""
    page.locator("#drop").wait_for()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 640, "y": 420, "data": data}
        session.send("Input.dispatchDragEvent", event)


def test_files_and_folders_are_dropped_together(
    serve: Serve, visitor: Visitor, folder: Path, tmp_path: Path
) -> None:
    server = serve("model: quote\nretrieval: {legs: lexical}\n")
    single = tmp_path / "belts.md"
    single.write_text("The belt of the BX-2 is 9 mm wide.\n")
    page = visitor.open(f"{server.url}/documents")
    drop(page, [folder, single])
    files = page.get_by_test_id("file")
    expect(files).to_have_count(6)
    expect(page.locator("[data-refused] li")).to_have_count(1)
    expect(page.locator("#files-region")).to_have_attribute("data-state", "done")
    sources = [row.get_attribute("data-source") for row in files.all()]
    assert "documents/belts.md" in sources
    assert "documents/from the desk/sub/prices.csv" in sources, "a folder keeps its shape"
    assert not any(".hidden" in str(source) for source in sources)
    assert (server.root / "documents/from the desk/oil.html").read_text() == HOSTILE


def test_what_a_command_skipped_is_shown_with_its_reason(
    serve: Serve, visitor: Visitor, folder: Path
) -> None:
    server = serve("model: quote\nretrieval: {legs: lexical}\n")
    added = [sys.executable, "-m", "pericia", "add", str(folder)]
    subprocess.run(added, cwd=server.root, check=True, capture_output=True)
    page = visitor.open(f"{server.url}/documents")
    locked = page.get_by_test_id("file").filter(has_text="locked.pdf")
    expect(locked).to_have_attribute("data-state", "skipped")
    expect(locked).to_contain_text("encrypted")
    expect(page.get_by_text("changed since")).to_have_count(0)


@pytest.mark.skipif(not ADVERSARIAL.is_dir(), reason="the shared documents are not here")
def test_every_hostile_document_is_read_or_refused_with_a_reason(
    serve: Serve, visitor: Visitor
) -> None:
    server = serve("model: quote\nretrieval: {legs: lexical}\n")
    page = visitor.open(f"{server.url}/documents")
    sent = [path for path in sorted(ADVERSARIAL.iterdir()) if path.is_file()]
    large = [path for path in sent if path.stat().st_size > 1 << 20]
    small = [path for path in sent if path not in large]
    page.locator("#files").set_input_files(small)
    files = page.get_by_test_id("file")
    refused = page.locator("[data-refused] li")
    expect(refused).to_have_count(1)
    expect(refused).to_contain_text("path_traversal.zip")
    expect(files).to_have_count(len(small) - 1)
    expect(page.locator("#files-region")).to_have_attribute("data-state", "done")
    for row in files.all():
        state = row.get_attribute("data-state")
        assert state in ("read", "partly", "skipped"), row.inner_text()
        assert (state == "read") == (row.locator(".file-reason").count() == 0), row.inner_text()
    check_a11y(page)

    # The large ones take long; the reader stops that, and what was read stays.
    page.locator("#files").set_input_files(large)
    page.locator("#files-region").get_by_role("button", name="Stop").click()
    expect(page.get_by_text("The last reading did not come to its end.")).to_be_visible()
    expect(page.locator('[data-testid="file"][data-state="waiting"]')).to_have_count(len(large))
    page.goto(f"{server.url}/documents/search?q=months")
    expect(page.get_by_role("heading", level=1)).to_be_visible()

"""What all screens share: reading, themes, languages, keyboard, narrow windows, weight, keys."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Serve, Served, Visitor, check_a11y, check_fits

pytestmark = pytest.mark.browser

SCREENS = (
    "/",
    "/documents",
    "/ask",
    "/examples",
    "/train",
    "/compare",
    "/recommendation",
    "/playground",
    "/documents/search?q=seal",
)
BUDGET_BYTES = 400_000


def test_every_screen_is_accessible_in_both_themes(company: Served, visitor: Visitor) -> None:
    page = visitor.open(company.url)
    for path in SCREENS:
        page.goto(company.url + path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            check_a11y(page)


def test_every_screen_fits_a_phone(company: Served, visitor: Visitor) -> None:
    page = visitor.open(company.url, width=360)
    for path in SCREENS:
        page.goto(company.url + path)
        check_fits(page)
    menu = page.get_by_role("button", name="Menu")
    expect(page.get_by_role("link", name="Train")).to_be_hidden()
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Train")).to_be_hidden()
    expect(menu).to_be_focused()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "heading"),
    [("es-MX", "¿Qué quiere saber?"), ("pt-BR", "O que quer saber?"), ("bg", "Какво искате")],
)
def test_the_browser_chooses_the_language(
    company: Served, visitor: Visitor, locale: str, heading: str
) -> None:
    page = visitor.open(f"{company.url}/ask", locale=locale, width=360)
    expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    assert page.locator("html").get_attribute("lang") == locale[:2]
    for path in SCREENS:
        page.goto(company.url + path)
        check_fits(page)
        assert "%(" not in page.content()


def test_language_and_theme_are_kept(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/documents")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    with page.expect_navigation():
        page.get_by_label("Language").select_option("es")
    expect(page.get_by_role("heading", level=1)).to_have_text("Documentos")
    page.goto(f"{company.url}/ask")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Preguntar")).to_be_visible()


def test_pages_can_be_read_without_scripts(company: Served, visitor: Visitor) -> None:
    page = visitor.open(company.url, scripts=False)
    expect(page.get_by_text("4 documents,")).to_be_visible()
    page.goto(f"{company.url}/documents")
    page.get_by_role("link", name="price-list.xlsx").click()
    expect(page.get_by_role("cell", name="74 EUR")).to_be_visible()


def test_the_first_tab_skips_to_the_content(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/documents")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_pages_are_light(company: Served, visitor: Visitor) -> None:
    page = visitor.open("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    for path in SCREENS:
        sizes.clear()
        page.goto(company.url + path, wait_until="load")
        assert 0 < sum(sizes) < BUDGET_BYTES, path


@pytest.mark.slow
def test_a_server_with_a_key_asks_for_it(serve: Serve, visitor: Visitor) -> None:
    server = serve(PERICIA_API_KEY="open sesame")
    page = visitor.open(f"{server.url}/documents")
    visitor.watch.expected = "422"
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    check_a11y(page)
    page.get_by_label("Key of this server").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("This is not the key of this server.")).to_be_visible()
    page.get_by_label("Key of this server").fill("open sesame")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{server.url}/documents")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


def test_a_wrong_address_says_so_and_leads_back(company: Served, visitor: Visitor) -> None:
    visitor.watch.expected = "404"
    page = visitor.open(f"{company.url}/nothing-here")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page here.")
    page.get_by_role("link", name="Back to the start").click()
    expect(page.get_by_test_id("step-documents")).to_be_visible()

"""A folder without settings: the page asks a few questions and goes on, by keyboard alone; keys come and go."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_S, Serve, Visitor, check_a11y, check_fits

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_folder_is_set_up_by_keyboard(serve: Serve, visitor: Visitor) -> None:
    server = serve("")
    page = visitor.open(server.url)
    expect(page.get_by_test_id("settle")).to_be_visible()
    page.get_by_role("link", name="Set up this project").focus()
    page.keyboard.press("Enter")
    name = page.get_by_label("Name", exact=True)
    expect(name).to_be_visible()
    check_a11y(page)
    name.focus()
    name.press("Control+a")
    page.keyboard.type("two words")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type("manuals")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type("quote")
    page.keyboard.press("Tab")
    expect(page.locator("#verdict")).to_contain_text("cannot be trained")
    page.get_by_label("What should get better?").focus()
    page.keyboard.type("answer the desk")
    visitor.watch.expected = "422"
    page.keyboard.press("Enter")
    expect(page.locator("#fault-name")).to_contain_text("Begin with a letter")
    expect(page.get_by_label("What should get better?")).to_have_value("answer the desk")
    expect(page).to_have_url(f"{server.url}/set-up")
    name.focus()
    name.press("Control+a")
    page.keyboard.type("pumps")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{server.url}/documents")
    expect(page.locator(".brand-project")).to_have_text("pumps")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.goto(server.url)
    expect(page.get_by_test_id("settle")).to_have_count(0)
    assert 'goal: "answer the desk"' in (server.root / "pericia.yaml").read_text()


def test_the_form_fits_a_phone_and_speaks(serve: Serve, visitor: Visitor) -> None:
    server = serve("")
    for locale, heading in (("es", "Configurar este proyecto"), ("bg", "Настройте този проект")):
        page = visitor.open(f"{server.url}/set-up", locale=locale, width=360, scheme="dark")
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        check_fits(page)
        check_a11y(page)


def test_a_key_is_made_shown_once_used_and_revoked(serve: Serve, visitor: Visitor) -> None:
    server = serve(PERICIA_API_KEY="open sesame")
    page = visitor.open(f"{server.url}/playground")
    page.get_by_label("Key of this server").fill("open sesame")
    page.get_by_role("button", name="Log in").click()
    keys = page.get_by_test_id("keys")
    expect(keys).to_have_attribute("data-state", "on")
    visitor.watch.expected = "422"
    keys.get_by_role("button", name="Make a key").click()
    expect(page.locator("#fault-label")).to_be_visible()
    keys.get_by_label("Who or what uses it").fill("the desk")
    keys.get_by_role("button", name="Make a key").click()
    shown = page.get_by_test_id("new-key").locator("code")
    expect(shown).to_be_visible()
    check_a11y(page)
    key = {"authorization": f"Bearer {shown.inner_text()}"}
    assert httpx.get(f"{server.url}/v1/models", headers=key, timeout=PATIENCE_S).is_success
    files = httpx.get(f"{server.url}/v1/files", headers=key, timeout=PATIENCE_S)
    assert files.status_code == 403, "it may ask, and no more"
    page.reload()
    expect(page.get_by_test_id("key")).to_contain_text("the desk")
    expect(page.get_by_test_id("new-key")).to_have_count(0)
    page.get_by_role("button", name="Revoke the desk").click()
    expect(page.get_by_text("The key was revoked")).to_be_visible()
    after = httpx.get(f"{server.url}/v1/models", headers=key, timeout=PATIENCE_S)
    assert after.status_code == 401

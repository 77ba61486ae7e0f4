"""Ask: the streamed answer, its sources, and an answer that says that the documents do not tell."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_S, Serve, Served, Visitor, check_a11y, check_fits

pytestmark = pytest.mark.browser

IN_A_TABLE = "What is the price of Bearing K-7?"
IN_A_TEXT = "What is the oil volume of the PX-40?"
NOWHERE = "Who won the football world cup in 1998?"


def answer_of_the_api(server: Served, question: str) -> str:
    body = {"model": "ostermill:rag", "messages": [{"role": "user", "content": question}]}
    said = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=PATIENCE_S).json()
    return str(said["choices"][0]["message"]["content"])


def test_an_answer_and_its_cell(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/ask")
    field = page.get_by_label("Your question")
    expect(field).to_be_focused()
    page.keyboard.type(IN_A_TABLE)
    page.keyboard.press("Enter")
    answer = page.locator(".answer")
    expect(page.locator(".exchange")).to_have_attribute("data-state", "done")
    marker = answer.get_by_role("button")
    number = marker.inner_text()
    text = answer.inner_text().removesuffix(number) + f"[{number}]"
    assert text == answer_of_the_api(company, IN_A_TABLE)
    check_a11y(page)

    marker.focus()
    page.keyboard.press("Enter")
    pane = page.get_by_role("complementary")
    expect(pane.get_by_role("heading", name="price-list.xlsx")).to_be_visible()
    expect(pane.get_by_test_id("lit")).to_have_text("126 EUR")
    expect(pane.get_by_test_id("lit-row")).to_contain_text("Bearing K-7")
    check_a11y(page)
    page.keyboard.press("Escape")
    expect(pane).to_be_hidden()
    expect(marker).to_be_focused()


def test_an_answer_becomes_an_example_that_can_be_mended_first(
    company: Served, visitor: Visitor
) -> None:
    page = visitor.open(f"{company.url}/ask?q=")
    page.get_by_label("Your question").fill(IN_A_TABLE)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Make it an example").click()
    form = page.locator("#write")
    expect(form.get_by_label("Question")).to_have_value(IN_A_TABLE)
    expect(form.get_by_label("Answer")).to_have_value(re.compile(r"^[^\[\]]*126 EUR[^\[\]]*$"))
    expect(form.get_by_label("Source")).to_have_value("documents/parts/price-list.xlsx")


def test_a_quote_is_lit_on_its_page(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/ask", width=360)
    page.get_by_label("Your question").fill(IN_A_TEXT)
    page.get_by_role("button", name="Ask", exact=True).click()
    source = page.locator(".source-line").first
    quote = page.locator(".source-quote").first.inner_text()
    source.click()
    pane = page.get_by_role("complementary")
    expect(pane.get_by_test_id("lit").first).to_be_visible()
    lit = "".join(pane.get_by_test_id("lit").all_inner_texts())
    assert "".join(lit.split()) == "".join(quote.split())
    check_fits(page)


def test_a_follow_up_goes_on_from_what_was_asked(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/ask")
    for number, question in enumerate([IN_A_TEXT, "And its weight?"], start=1):
        page.get_by_label("Your question").fill(question)
        page.keyboard.press("Enter")
        shown = page.locator(".exchange").nth(number - 1)
        expect(shown).to_have_attribute("data-state", "done", timeout=1000 * PATIENCE_S)
    expect(shown).to_contain_text("And its weight? (PX-40)")
    expect(shown.locator(".source-name").first).to_contain_text("px-40")


def test_not_in_the_documents_is_an_answer(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/ask")
    page.get_by_label("Your question").fill(NOWHERE)
    page.keyboard.press("Enter")
    expect(page.locator(".exchange")).to_have_attribute("data-refused", "true")
    expect(page.get_by_text("No answer was found in the documents").first).to_be_visible()
    expect(page.locator(".notice.bad")).to_have_count(0)
    check_a11y(page)


def test_an_empty_question_says_so_at_the_field(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/ask")
    page.get_by_role("button", name="Ask", exact=True).click()
    field = page.get_by_label("Your question")
    expect(page.locator("#question-fault")).to_have_text("Type a question first.")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()


def test_a_suggestion_is_asked(company: Served, visitor: Visitor) -> None:
    page = visitor.open(f"{company.url}/ask")
    suggestion = page.locator("[data-suggestion]").first
    question = suggestion.inner_text()
    suggestion.click()
    expect(page.locator(".asked")).to_have_text(question)
    expect(page.locator(".exchange")).to_have_attribute("data-state", "done")


def test_a_citations_link_opens_its_source(company: Served, visitor: Visitor) -> None:
    body = {"model": "ostermill:rag", "messages": [{"role": "user", "content": IN_A_TABLE}]}
    said = httpx.post(f"{company.url}/v1/chat/completions", json=body, timeout=PATIENCE_S).json()
    [note] = said["choices"][0]["message"]["annotations"]
    page = visitor.open(note["url_citation"]["url"])
    expect(page.get_by_test_id("lit-row")).to_contain_text("Bearing K-7")


@pytest.mark.slow
def test_a_server_that_is_gone_loses_nothing(serve: Serve, visitor: Visitor) -> None:
    server = serve()
    page = visitor.open(f"{server.url}/ask")
    visitor.watch.expected = "ERR_|Failed to load resource"
    server.kill()
    field = page.get_by_label("Your question")
    field.fill("Which oil?")
    page.keyboard.press("Enter")
    expect(page.locator(".exchange")).to_have_attribute("data-state", "error")
    expect(field).to_have_value("Which oil?")

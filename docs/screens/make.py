"""Makes the screenshots of this folder from the example company, in both themes and for a phone.

python -m docs.screens.make URL [NAME ...]      (a server that serves examples/ostermill, where `pericia run` has ended
                                                and a training has been started on the page; needs chromium)
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
PATIENCE_MS = 300_000


def nothing(page: Page) -> None:
    """Leave the page as it opens."""


def shows(selector: str) -> Callable[[Page], None]:
    """Return what waits for a part that its screen loads by itself."""

    def act(page: Page) -> None:
        page.locator(selector).first.wait_for()

    return act


def ask_both(question: str) -> Callable[[Page], None]:
    """Return what asks two models side by side."""

    def act(page: Page) -> None:
        page.locator("#question").fill(question)
        page.locator("#duel button[type=submit]").click()
        page.locator(".duelist[data-state=done]").nth(1).wait_for()

    return act


def ask(question: str) -> Callable[[Page], None]:
    """Return what asks a question and, where the answer names a source, opens it."""

    def act(page: Page) -> None:
        page.locator("#question").fill(question)
        page.keyboard.press("Enter")
        page.locator(".exchange[data-state=done]").wait_for()
        if page.locator(".source-line").count() and not page.locator(".refusal").count():
            page.locator(".source-line").first.click()
            page.locator(".pane .source").wait_for()

    return act


@dataclass(frozen=True)
class Shot:
    name: str
    path: str
    act: Callable[[Page], None] = nothing
    theme: str = "light"
    width: int = 1280
    height: int = 860
    language: str = "en"


SHOTS = (
    Shot("1-home", "/"),
    Shot("2-documents", "/documents"),
    Shot("3-ask", "/ask", ask("What is the price of Bearing K-7?")),
    Shot("3-ask-declined", "/ask", ask("Who won the football world cup in 1998?"), theme="dark"),
    Shot("4-examples", "/examples", shows(".histogram")),
    Shot("5-train", "/train", shows("#curve .uplot"), theme="dark"),
    Shot("6-compare", "/compare"),
    Shot("7-recommendation", "/recommendation"),
    Shot(
        "8-playground",
        "/playground?right=pericia-nano",
        ask_both("Which oil does PX-20 take?"),
        theme="dark",
    ),
    Shot("phone", "/", theme="dark", width=390, height=844, language="bg"),
)


def main(url: str, names: Sequence[str] = ()) -> None:
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for shot in SHOTS:
            if names and shot.name not in names:
                continue
            context = browser.new_context(
                viewport={"width": shot.width, "height": shot.height},
                color_scheme=shot.theme,  # type: ignore[arg-type]
                locale=shot.language,
                reduced_motion="reduce",
            )
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.goto(url + shot.path)
            shot.act(page)
            page.evaluate("document.fonts.ready")
            page.screenshot(path=HERE / f"{shot.name}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

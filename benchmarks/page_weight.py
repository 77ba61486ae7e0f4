"""What travels to the browser on a first visit of each screen, and when it first paints.

    python -m benchmarks.page_weight [--rounds 5] [URL]      (a server as `pericia serve` starts it; needs chromium)

Bytes are as they travel, compressed, with an empty cache. First paint is chromium's `first-contentful-paint`, median
of the rounds; it counts the server's work, so busy cores show in it.
"""

import argparse
import shutil
import statistics

from playwright.sync_api import Browser, sync_playwright

SCREENS = (
    "/",
    "/documents",
    "/ask",
    "/examples",
    "/train",
    "/compare",
    "/recommendation",
    "/playground",
)
BUDGET_BYTES = 400_000
BUDGET_MS = 1000


def visit(browser: Browser, address: str) -> tuple[int, float]:
    """Return the bytes and the milliseconds of one first visit."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address, wait_until="load")
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    page.wait_for_function(
        f"() => {paint} > 0"
    )  # a function, because the page forbids to evaluate text
    painted_ms = float(page.evaluate(paint))
    context.close()
    return int(sum(sizes)), painted_ms


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is not installed; run: apt-get install -y chromium")
    print(f"{'screen':<18}{'bytes':>10}{'first paint, ms':>18}")
    too_much = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for screen in SCREENS:
            rounds = [visit(browser, chosen.url + screen) for _ in range(chosen.rounds)]
            num_bytes = max(size for size, _ in rounds)
            painted_ms = statistics.median(ms for _, ms in rounds)
            print(f"{screen:<18}{num_bytes:>10,}{painted_ms:>18.0f}")
            if num_bytes > BUDGET_BYTES or painted_ms > BUDGET_MS:
                too_much.append(screen)
        browser.close()
    if too_much:
        raise SystemExit(f"Over {BUDGET_BYTES:,} bytes or {BUDGET_MS} ms: {', '.join(too_much)}")


if __name__ == "__main__":
    main()

"""The page in Debian's chromium, against `pericia serve` in a process of its own.

Every test fails on a request to another host, a breach of the content policy, an error on the console or in a script.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, ConsoleMessage, Page, Request  # noqa: E402

OSTERMILL = Path(__file__).parents[2] / "examples" / "ostermill"
SOME = ("parts/price-list.xlsx", "parts/seals.md", "handbook/px-40.pdf", "service/intervals.csv")
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js"
PATIENCE_MS = 600_000  # a busy machine is slow, and that is no fault of the page
PATIENCE_S = PATIENCE_MS / 1000


@dataclass
class Served:
    """`pericia serve` in a folder; it can be killed and started again on the same port."""

    root: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.root / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pericia", "serve", "--port", str(self.port)],
                cwd=self.root,
                env={**os.environ, "HF_HUB_OFFLINE": "1", **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.root / "serve.log").read_text()
            try:
                if httpx.get(f"{self.url}/healthz", timeout=5).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def read_documents(self) -> None:
        """Read the folder as the page's button does, and wait until it is read."""
        httpx.post(f"{self.url}/api/documents/read", timeout=PATIENCE_S).raise_for_status()
        deadline = time.monotonic() + 2 * PATIENCE_S
        while time.monotonic() < deadline:
            task = httpx.get(f"{self.url}/api/documents", timeout=PATIENCE_S).json()["task"]
            if task["status"] != "running":
                assert task["status"] == "done", task
                return
            time.sleep(0.3)
        raise AssertionError("the documents were not read in time")


Serve = Callable[..., Served]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not installed; run: apt-get install -y chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Served]:
    """A company with four documents that are read; tests leave it as they found it."""
    root = tmp_path_factory.mktemp("company")
    for name in SOME:
        target = root / "documents" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(OSTERMILL / "documents" / name, target)
    for name in ("questions.jsonl", "examples.jsonl"):
        shutil.copyfile(OSTERMILL / name, root / name)
    (root / "pericia.yaml").write_text(
        "name: ostermill\ndocuments: [documents]\nquestions: questions.jsonl\n"
        "examples: examples.jsonl\nmodel: quote\nretrieval: {legs: lexical}\n"
    )
    served = Served(root, free_port())
    served.start()
    served.read_documents()
    yield served
    served.kill()


@pytest.fixture
def serve(tmp_path: Path, chromium: Browser) -> Iterator[Serve]:
    """Start a server in a new folder: `serve(settings_yaml, **environment)`."""
    started: list[Served] = []

    def one(settings: str = "model: quote\n", **environment: str) -> Served:
        root = tmp_path / f"project-{len(started)}"
        root.mkdir()
        if settings:
            (root / "pericia.yaml").write_text(settings)
        served = Served(root, free_port(), environment)
        started.append(served)
        served.start()
        return served

    yield one
    for served in started:
        served.kill()


@dataclass
class Watch:
    """What a page did that it may not do; `expected` are console errors that a test asks for."""

    faults: list[str] = field(default_factory=list)
    expected: str = ""

    def request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.faults.append(f"request to {request.url}")

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not (
            self.expected and re.search(self.expected, message.text)
        ):
            self.faults.append(f"console: {message.text}")


@dataclass
class Visitor:
    """A reader's browser; `open` gives pages that are watched."""

    browser: Browser
    watch: Watch
    pages: list[Page] = field(default_factory=list)

    def open(
        self,
        url: str,
        *,
        width: int = 1280,
        scheme: str = "light",
        locale: str = "en-GB",
        scripts: bool = True,
    ) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": 860},
            color_scheme=scheme,  # type: ignore[arg-type]
            locale=locale,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("request", self.watch.request)
        page.on("console", self.watch.console)
        page.on("pageerror", lambda error: self.watch.faults.append(f"script: {error}"))
        page.goto(url)
        self.pages.append(page)
        return page


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Visitor]:
    playwright.expect.set_options(timeout=PATIENCE_MS)
    made = Visitor(chromium, Watch())
    yield made
    for page in made.pages:
        page.context.close()
    assert made.watch.faults == []


def check_a11y(page: Page) -> None:
    """Fail on what axe-core finds serious or critical."""
    page.evaluate(AXE.read_text(encoding="utf-8") + ";undefined")
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def check_fits(page: Page) -> None:
    """Fail where a page is wider than its window."""
    wider = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wider <= 0, f"{page.url} is {wider} px wider than {page.viewport_size}"

"""Who may come in: hosts, origins, keys and cookies; and what every page says about what it may load."""

import re
from functools import partial
from pathlib import Path

import httpx
import pytest

from pericia.server.ui.frame import TEMPLATES
from tests.server.conftest import Start

PATIENCE_S = 60  # a busy machine is slow, and that is no fault of the page
get = partial(httpx.get, timeout=PATIENCE_S)
post = partial(httpx.post, timeout=PATIENCE_S)


def test_a_page_may_load_nothing_from_elsewhere(start: Start) -> None:
    page = get(f"{start().url}/documents", headers={"accept": "text/html"})
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda p: p.name)
def test_templates_hold_nothing_that_the_policy_forbids(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"\son\w+\s*=", text)
    assert not re.search(r"<script(?![^>]*\b(src|application/json)\b)", text)
    assert not re.search(r"(src|href)\s*=\s*[\"'](https?:)?//", text)
    assert "|safe" not in text


def test_another_name_is_not_answered(start: Start) -> None:
    server = start()
    for path in ("/", "/v1/models", "/api/steps"):
        answer = get(server.url + path, headers={"host": "rebound.example"})
        assert answer.status_code == 421
        assert answer.json()["error"]["code"] == "unknown_host"
        assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"origin": "http://evil.example", "authorization": "Bearer any"}, True),
    ],
)
def test_pages_elsewhere_change_nothing(
    start: Start, headers: dict[str, str], allowed: bool
) -> None:
    server = start()
    for path in ("/api/tasks/none/stop", "/settings", "/v1/chat/completions"):
        answer = post(server.url + path, headers=headers)
        assert (answer.status_code != 403) is allowed


def test_with_a_key_a_cookie_opens_page_and_api(start: Start) -> None:
    url = start(key="secret").url
    with httpx.Client(timeout=PATIENCE_S, base_url=url, headers={"accept": "text/html"}) as browser:
        assert browser.get("/documents").headers["location"] == "/login?next=/documents"
        assert browser.get("/api/steps").status_code == 401
        assert browser.get("/static/app.css").status_code == 200
        wrong = browser.post("/login", data={"key": "no", "next": "/"})
        assert wrong.status_code == 422
        assert "set-cookie" not in wrong.headers
        right = browser.post("/login", data={"key": "secret", "next": "//evil.example/x"})
        assert right.headers["location"] == "/x"  # on this server
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secret" not in cookie
        assert browser.get("/documents").status_code == 200
        assert browser.get("/api/steps").status_code == 200
    with httpx.Client(
        timeout=PATIENCE_S, base_url=url, cookies={"pericia_session": "0" * 64}
    ) as stranger:
        assert stranger.get("/api/steps").status_code == 401


def test_programs_get_json_and_people_get_pages(start: Start) -> None:
    url = start().url
    page = get(f"{url}/nothing", headers={"accept": "text/html", "accept-language": "es"})
    assert page.status_code == 404
    assert "Aquí no hay tal página." in page.text
    assert get(f"{url}/nothing").json()["error"]["code"] == "not_found"
    api = get(f"{url}/v1/nothing", headers={"accept": "text/html"})
    assert api.json()["error"]["code"] == "not_found"


def test_settings_are_kept_and_lead_nowhere_else(start: Start) -> None:
    url = start().url
    data = {"language": "bg", "theme": "dark", "back": "https://evil.example/ask?x=1"}
    answer = post(f"{url}/settings", data=data)
    assert answer.headers["location"] == "/ask?x=1"
    assert {"language=bg", "theme=dark"} <= {
        cookie.split(";")[0] for cookie in answer.headers.get_list("set-cookie")
    }
    page = get(f"{url}/ask", cookies={"language": "bg", "theme": "dark"})
    assert '<html lang="bg" data-theme="dark">' in page.text
    wrong = post(f"{url}/settings", data={"language": "xx", "theme": "pink"})
    assert "set-cookie" not in wrong.headers


def test_what_never_changes_is_kept_by_browsers(start: Start) -> None:
    url = start().url
    page = get(url).text
    [css] = re.findall(r'href="(/static/app\.css\?v=\w+)"', page)
    kept = get(url + css, headers={"accept-encoding": "gzip"})
    assert "immutable" in kept.headers["cache-control"]
    assert kept.headers["content-encoding"] == "gzip"
    assert get(f"{url}/static/live.js").headers["cache-control"] == "no-cache"

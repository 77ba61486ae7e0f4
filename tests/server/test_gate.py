"""Keys, scopes, limits, and a log that says who did what and nothing of what was said."""

import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from pericia.errors import InputError
from pericia.jobs import Key, Ledger
from pericia.server.gate import need_of
from tests.server.conftest import PATIENCE_S, Running, Start

ASKED: list[Any] = [{"role": "user", "content": "the secret recipe"}]


def key_for(server: Running, *scopes: str) -> dict[str, Any]:
    """Return a new key as the owner sees it once."""
    body = {"label": "test", "scopes": scopes}
    headers = {"authorization": "Bearer owner-key"}
    made = httpx.post(f"{server.url}/api/keys", json=body, headers=headers, timeout=PATIENCE_S)
    assert made.status_code == 201
    found: dict[str, Any] = made.json()
    return found


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/v1/models", "infer"),
        ("DELETE", "/v1/models/ft:x", "train"),
        ("POST", "/openai/deployments/d/chat/completions", "infer"),
        ("POST", "/v1/vector_stores/vs_1/search", "infer"),
        ("POST", "/v1/vector_stores/vs_1/files", "train"),
        ("GET", "/v1/files/file-1/content", "read"),
        ("POST", "/v1/fine_tuning/jobs", "train"),
        ("POST", "/v1/fine_tuning/jobs/j/cancel", "train"),
        ("PUT", "/subscriptions/s/deployments/d", "train"),
        ("POST", "/v1/load_lora_adapter", "admin"),
        ("GET", "/api/keys", "admin"),
        ("POST", "/api/set-up", "admin"),
        ("POST", "/set-up", "admin"),
    ],
)
def test_every_request_needs_a_scope(method: str, path: str, need: str) -> None:
    assert need_of(method, path) == need


def test_a_key_opens_its_scope_and_no_more(start: Start, tmp_path: Path) -> None:
    server = start(key="owner-key")
    made = key_for(server, "infer")
    client = server.openai(made["key"])
    assert client.chat.completions.create(model="fake-base", messages=ASKED).choices
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.files.list()
    assert refused.value.code == "insufficient_permissions"
    with pytest.raises(openai.PermissionDeniedError):
        client.get("/../api/keys", cast_to=object)
    ledger = Ledger(tmp_path / ".pericia" / "server")
    [row] = ledger.all(Key)
    assert made["key"] not in str(row)
    assert len(row.sha256) == 64
    ledger.close()
    headers = {"authorization": "Bearer owner-key"}
    listed = httpx.get(f"{server.url}/api/keys", headers=headers, timeout=PATIENCE_S).json()["data"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert "key" not in listed[0]
    assert httpx.delete(
        f"{server.url}/api/keys/{made['id']}", headers=headers, timeout=PATIENCE_S
    ).is_success
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_no_key_is_made_where_none_is_asked_for(start: Start) -> None:
    body = {"label": "app", "scopes": ["infer"]}
    refused = httpx.post(f"{start().url}/api/keys", json=body, timeout=PATIENCE_S)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "keys_are_off"
    assert "PERICIA_API_KEY" in refused.json()["error"]["message"]


def test_keys_that_were_handed_out_are_not_forgotten_at_the_next_start(start: Start) -> None:
    server = start(key="owner-key")
    made = key_for(server, "infer")
    with pytest.raises(InputError, match="PERICIA_API_KEY, the owner's, is not set"):
        start(key="")
    headers = {"authorization": "Bearer owner-key"}
    url = f"{server.url}/api/keys/{made['id']}"
    assert httpx.delete(url, headers=headers, timeout=PATIENCE_S).is_success
    assert start(key="").openai().models.list().data


def test_a_key_may_send_so_many_requests_a_minute(start: Start) -> None:
    server = start(key="owner-key", serve={"requests_per_minute": 3})
    other = server.openai(key_for(server, "infer")["key"])
    for _ in range(3):
        other.models.list()
    with pytest.raises(openai.RateLimitError) as refused:
        other.models.list()
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
    assert server.openai("owner-key").models.list().data  # another key, another count


def test_the_log_says_who_and_never_what(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = start(key="owner-key")
    made = key_for(server, "infer")
    client = server.openai(made["key"])
    done = client.chat.completions.create(model="fake-base", messages=ASKED)
    with pytest.raises(openai.AuthenticationError):
        server.openai("sk-wrong").models.list()
    log = tmp_path / ".pericia" / "server" / "requests.log"
    deadline = time.monotonic() + 60
    while '"status": 401' not in (text := log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, text  # a line is written once its answer has been sent
        time.sleep(0.02)
    lines = [json.loads(line) for line in text.splitlines()]
    asked = next(line for line in lines if line["path"].endswith("/chat/completions"))
    assert (asked["key"], asked["status"], asked["id"]) == (made["id"], 200, done._request_id)
    assert lines[-1]["status"] == 401
    server.azure("owner-key").models.list()
    version = "api_version"
    deadline = time.monotonic() + 60
    while version not in (text := log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    assert json.loads(text.splitlines()[-1])[version] == "2024-10-21"
    for secret in ("secret recipe", made["key"], "owner-key", "sk-wrong"):
        assert secret not in text
        assert not any(secret in r.getMessage() for r in caplog.records if "pericia" in r.name)


def test_metrics_count_requests_tokens_and_jobs(start: Start) -> None:
    server = start(key="owner-key")
    server.openai("owner-key").chat.completions.create(model="fake-base", messages=ASKED)
    assert httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).status_code == 401
    headers = {"authorization": "Bearer owner-key"}
    text = httpx.get(f"{server.url}/metrics", headers=headers, timeout=PATIENCE_S).text
    counted = (
        r'pericia_requests_total\{method="POST",route="[^"]*/chat/completions",status="200"\} 1\.0'
    )
    assert re.search(counted, text), text
    assert 'pericia_tokens_total{kind="out"} 5.0' in text
    assert "pericia_requests_in_house 0.0" in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../../etc/passwd", "passwd"), ("..", "file"), ("a\\..\\b.jsonl", "b.jsonl")],
)
def test_a_file_name_stays_in_its_folder(start: Start, given: str, kept: str) -> None:
    server = start()
    files = {"file": (given, b"{}"), "purpose": (None, "fine-tune")}
    made = httpx.post(f"{server.url}/v1/files", files=files, timeout=PATIENCE_S).json()  # type: ignore[arg-type]
    assert made["filename"] == kept


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "fake-base", "messages": [{"role": "user", "content": "\\udc00"}]}',
        b'{"model": "fake-base", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "fake-base", "\\ud800": 1}',
        b'{"model": "fake-base", "messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_no_answer_could_say_is_refused(start: Start, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    for path in ("/v1/chat/completions", "/v1/fine_tuning/jobs"):
        answer = httpx.post(
            f"{start().url}{path}", content=body, headers=headers, timeout=PATIENCE_S
        )
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]["message"]

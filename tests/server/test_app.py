"""What every answer has in common: keys, errors, ids; and a start without heavy libraries."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import openai
import pytest

from pericia.config import Config
from pericia.errors import InputError
from pericia.server.app import serve
from pericia.workspace import Workspace
from tests.server.conftest import PATIENCE_S, Start
from tests.test_house import HEAVY


def test_start_loads_no_heavy_library() -> None:
    code = f"import sys, pericia.server.app; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_models_are_listed_and_retrieved(start: Start) -> None:
    client = start(model=None).openai()
    listed = [model.id for model in client.models.list()]
    assert listed[:3] == ["pumps", "pumps:prompt", "fake-base"]
    one = client.models.retrieve("fake-base")
    assert (one.object, one.owned_by) == ("model", "pericia")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("owner/unknown")
    with pytest.raises(openai.BadRequestError):
        client.models.delete("fake-base")


def test_keys(start: Start) -> None:
    server = start(key="secret")
    with pytest.raises(openai.AuthenticationError) as refused:
        server.openai("wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    assert server.openai("secret").models.list().data
    assert server.azure("secret").models.list().data
    with pytest.raises(openai.AuthenticationError):
        server.azure("wrong").models.list()


def test_an_open_address_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERICIA_API_KEY", raising=False)
    with pytest.raises(InputError, match="no key is set"):
        serve(Config(), Workspace(tmp_path), 0, "0.0.0.0")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/nothing", b"", 404),
        ("GET", "/v1/embeddings", b"", 405),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"\xff\xfe", 400),
        ("POST", "/v1/chat/completions", b"", 400),
        ("POST", "/openai/chat/completions", b"{}", 400),
    ],
)
def test_every_fault_has_the_same_shape(
    start: Start, method: str, path: str, body: bytes, status: int
) -> None:
    headers = {"content-type": "application/json"}
    answer = httpx.request(
        method, start().url + path, content=body, headers=headers, timeout=PATIENCE_S
    )
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-should-retry"] == "false"


def test_a_body_beyond_the_limit_is_refused(start: Start) -> None:
    url = f"{start().url}/v1/chat/completions"
    assert httpx.post(url, content=b"x" * (17 << 20), timeout=PATIENCE_S).status_code == 413


def test_a_fault_of_our_own_says_nothing_of_itself(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()

    def broken(*_: object) -> int:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(server.model, "count_tokens", broken)
    with pytest.raises(openai.InternalServerError) as failed:
        server.openai().chat.completions.create(
            model="fake-base", messages=[{"role": "user", "content": "x"}]
        )
    assert "secret" not in failed.value.message
    assert failed.value.response.headers["x-should-retry"] == "false"
    request_id = failed.value.request_id
    assert request_id is not None
    [told] = [record for record in caplog.records if record.name == "pericia.server"]
    assert request_id in told.getMessage()
    assert told.exc_info is not None
    log = tmp_path / ".pericia" / "server" / "requests.log"
    patience = time.monotonic() + PATIENCE_S
    while not (log.exists() and request_id in log.read_text(encoding="utf-8")):
        assert time.monotonic() < patience  # the line is written once the answer is sent
        time.sleep(0.05)
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert [line["status"] for line in lines if line["id"] == request_id] == [500]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/fine_tuning/checkpoints/ft:x/permissions", "Permissions of checkpoints"),
        ("/v1/fine_tuning/alpha/graders/run", "Graders"),
        ("/v1/uploads", "POST /files"),
        ("/openai/files/import", "Upload them"),
        ("/openai/v1/images/generations", "Images"),
        ("/v1/responses/resp_1/cancel", "Answers are not kept"),
        ("/v1/responses/input_tokens", "/tokenize"),
    ],
)
def test_what_is_not_served_says_so(start: Start, path: str, said: str) -> None:
    answer = httpx.post(start().url + path, json={}, timeout=PATIENCE_S)
    assert answer.status_code == 404
    assert said in answer.json()["error"]["message"]

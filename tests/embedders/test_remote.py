"""Remote embedders against a real server on this machine, which speaks `/v1/embeddings` and can be told to fail."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from pericia import embedders
from pericia.embedders import Embedder, Metered, reads_context
from pericia.embedders.remote import MAX_INPUTS, REQUEST_TOKENS
from pericia.errors import ConfigError, ModelError

KEY = "sk-secret-1234"


@dataclass
class Provider:
    """What the server was asked, and the replies that it gives instead of vectors, in turn."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    replies: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)


def vectors(body: dict[str, Any]) -> dict[str, Any]:
    """Count letters, as many as there are dimensions; the last text comes first, as a server may do."""
    size = body.get("dimensions", 1536)
    rows = [
        {
            "object": "embedding",
            "index": i,
            "embedding": [text.count(chr(97 + d % 26)) + 0.01 for d in range(size)],
        }
        for i, text in enumerate(body["input"])
    ]
    num_tokens = sum(len(text.split()) for text in body["input"])
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return {"object": "list", "model": body["model"], "data": rows[::-1], "usage": usage}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.bodies.append(body)
            state.keys.append(self.headers["Authorization"])
            assert self.path == "/v1/embeddings"
            status, headers, reply = state.replies.pop(0) if state.replies else (200, {}, None)
            data = json.dumps(vectors(body) if reply is None else reply).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    for name in ("OPENAI", "JINA"):
        monkeypatch.setenv(f"{name}_BASE_URL", state.url)
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def openai(provider: Provider) -> Embedder:
    return embedders.load("openai:text-embedding-3-small?dimensions=8")


def test_vectors_come_in_the_order_of_the_texts_with_length_1(
    openai: Embedder, provider: Provider
) -> None:
    found = openai.embed_passages(["aaa", "b", ""])
    assert found.shape == (3, 8)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert found[0].argmax() == 0
    assert found[1].argmax() == 1
    [body] = provider.bodies
    assert body["model"] == "text-embedding-3-small"
    assert body["dimensions"] == 8
    assert body["input"] == ["aaa", "b", "-"]
    assert provider.keys == [f"Bearer {KEY}"]
    assert openai.embed_passages([]).shape == (0, 8)


def test_a_shorter_vector_or_another_model_has_another_name(provider: Provider) -> None:
    names = {
        embedders.load(name).name
        for name in (
            "openai:text-embedding-3-small",
            "openai:text-embedding-3-small?dimensions=8",
            "openai:text-embedding-3-large",
            "jina:jina-embeddings-v3",
            "jina:jina-embeddings-v3?late_chunking=true",
            f"{provider.url}?model=e5",
        )
    }
    assert len(names) == 6
    assert embedders.load("openai:text-embedding-3-large").num_dimensions == 3072
    assert provider.bodies == []


def test_requests_stay_within_the_limits(openai: Embedder, provider: Provider) -> None:
    openai.embed_passages(["a"] * (MAX_INPUTS + 1))
    assert [len(body["input"]) for body in provider.bodies] == [MAX_INPUTS, 1]
    provider.bodies.clear()
    long = "a" * (3 * REQUEST_TOKENS // 4)
    found = openai.embed_passages([long, long, "b", long, long, long])
    assert [len(body["input"]) for body in provider.bodies] == [4, 2]
    assert found[2].argmax() == 1


def test_it_waits_and_asks_again_when_the_server_says_so(
    openai: Embedder, provider: Provider
) -> None:
    again = {"retry-after-ms": "10"}
    provider.replies += [(429, again, {"error": {"message": "slow"}}), (503, again, {})]
    assert openai.embed_passages(["aaa"])[0].argmax() == 0
    assert len(provider.bodies) == 3


def test_tokens_and_cost_are_counted(openai: Embedder, provider: Provider) -> None:
    assert isinstance(openai, Metered)
    openai.embed_passages(["one two three"] * 1000)
    assert openai.num_tokens_sent == 3000
    assert openai.cost_usd == pytest.approx(3000 * 0.02 / 1e6)
    other = embedders.load(f"{provider.url}?model=e5&dimensions=4&price=2")
    other.embed_questions(["one two"])
    assert isinstance(other, Metered)
    assert other.cost_usd == pytest.approx(2 * 2 / 1e6)
    unknown = embedders.load(f"{provider.url}?model=e5&dimensions=4")
    assert isinstance(unknown, Metered)
    assert unknown.cost_usd is None


@pytest.mark.parametrize(
    ("status", "reply", "message", "hint"),
    [
        (
            401,
            {"error": {"message": f"Incorrect API key: {KEY}"}},
            "does not answer",
            "OPENAI_API_KEY",
        ),
        (404, {"error": {"message": "no such model"}}, "no such model", "model's name"),
        (200, {"object": "list", "data": []}, "0 vectors", ""),
        (200, "<html>", "no embeddings", "/v1"),
        (
            200,
            {"data": [{"index": 0, "embedding": [1.0, 2.0]}]},
            "2 dimensions instead of 8",
            "leave out 'dimensions'",
        ),
        (200, {"data": [{"index": 0, "embedding": [0.0] * 8}]}, "without a direction", ""),
        (200, {"data": [{"embedding": [1.0] * 8}]}, "1 vectors", ""),
    ],
)
def test_a_bad_reply_is_named_and_the_key_is_not(
    openai: Embedder, provider: Provider, status: int, reply: object, message: str, hint: str
) -> None:
    provider.replies.append((status, {}, reply))
    with pytest.raises(ModelError) as error:
        openai.embed_passages(["a"])
    assert message in error.value.message
    assert hint in error.value.hint
    assert KEY not in str(error.value) + error.value.hint


def test_jina_is_told_what_the_text_is_for(provider: Provider) -> None:
    jina = embedders.load("jina:jina-embeddings-v3?dimensions=8")
    jina.embed_passages(["a"])
    jina.embed_questions(["b"])
    passage, question = provider.bodies
    assert (passage["task"], question["task"]) == ("retrieval.passage", "retrieval.query")
    assert passage["truncate"] is False
    assert passage["late_chunking"] is False
    assert not reads_context(jina)


def test_late_chunking_sends_a_document_in_its_order_within_what_the_model_reads(
    provider: Provider,
) -> None:
    jina = embedders.load("jina:jina-embeddings-v3?dimensions=8&late_chunking=true")
    assert reads_context(jina)
    chunks = [f"{'a' * 12_000}{i}" for i in range(3)]  # 4,000 tokens each, 8,192 a request
    jina.embed_passages(chunks)
    jina.embed_questions(["b"])
    assert [body["input"] for body in provider.bodies] == [chunks[:2], chunks[2:], ["b"]]
    assert [body["late_chunking"] for body in provider.bodies] == [True, True, False]


def test_any_server_takes_prefixes_and_is_asked_for_its_dimensions(provider: Provider) -> None:
    own = embedders.load(f"{provider.url}?model=e5&query_prefix=query: &passage_prefix=passage: ")
    assert own.num_dimensions == 1536
    own.embed_passages(["a"])
    own.embed_questions(["b"])
    assert [body["input"] for body in provider.bodies[1:]] == [["passage: a"], ["query: b"]]
    assert KEY not in own.name
    assert all(KEY not in key for key in provider.keys)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai:text-embedding-3-small?dimension=8", "Did you mean 'dimensions'"),
        ("openai:text-embedding-3-small?dimensions=many", "dimensions is 'many'"),
        ("jina:jina-embeddings-v3?late_chunking=yes", "late_chunking is 'yes'"),
        ("https://host/v1", "which model"),
        ("https://?model=x", "is no address"),
    ],
)
def test_a_wrong_name_is_told_apart(provider: Provider, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        embedders.load(name)
    assert message in error.value.message + error.value.hint


def test_a_missing_key_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JINA_API_KEY", raising=False)
    with pytest.raises(ConfigError) as error:
        embedders.load("jina:jina-embeddings-v3")
    assert "JINA_API_KEY" in error.value.hint

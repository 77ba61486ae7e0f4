"""Every operation of the OpenAI API refuses what is wrong, and the official client raises the right exception.

A case names its operation as it stands in the server's own OpenAPI document; no operation is without one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from openai import BadRequestError, NotFoundError, OpenAI

from pericia.config import parse_config
from pericia.server import files as file_routes
from pericia.server.app import create_app
from pericia.server.work import train_next
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder, FakeModel, FakeTrainer
from tests.server.conftest import PATIENCE_S, running
from tests.server.test_fine_tuning import create, ended, lines, upload

ASKED: Any = [{"role": "user", "content": "How hot is kiln 3?"}]
NOTHING_CAN_BE_WRONG = {"GET /models"}
DEPLOYMENTS = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a/deployments"
)


@dataclass
class World:
    """A server with a file, an empty store, a finished job and its model; `sent` are the requests of `client`."""

    app: FastAPI
    url: str
    client: OpenAI
    sent: list[tuple[str, str]]
    file: str
    image: str
    job: str
    model: str
    store: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    sent: list[tuple[str, str]] = []
    app = create_app(
        Workspace(tmp_path_factory.mktemp("bad")),
        parse_config({"name": "pumps", "model": "fake-base"}, "test"),
        key="",
        load_model=lambda _: FakeModel(context_tokens=40),
        load_embedder=lambda _: FakeEmbedder(),
        work=lambda ledger: train_next(ledger, FakeTrainer()),
    )

    def note(request: Any) -> None:
        sent.append((request.method, request.url.path))

    hooks: Any = {"request": [note]}
    http = openai.DefaultHttpxClient(event_hooks=hooks, timeout=PATIENCE_S)
    with (
        running(app) as url,
        OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, http_client=http) as client,
    ):
        job = ended(client, create(client, lines(10)).id)
        file = upload(client, lines(10))
        image = client.files.create(file=("a.png", b"png"), purpose="vision").id
        store = client.vector_stores.create(name="empty").id
        yield World(app, url, client, sent, file, image, job.id, job.fine_tuned_model or "", store)


@dataclass(frozen=True)
class Case:
    """What is asked, and what the client must raise: the class, and what the fault names."""

    operation: str
    ask: Callable[[World], object]
    error: type[openai.APIStatusError] = BadRequestError
    param: str | None = None
    code: str | None = None


def chat(**body: Any) -> Callable[[World], object]:
    sent = {"model": "fake-base", "messages": ASKED, **body}
    return lambda w: w.client.chat.completions.create(**sent)


def text(**body: Any) -> Callable[[World], object]:
    sent = {"model": "fake-base", "prompt": "hot", **body}
    return lambda w: w.client.completions.create(**sent)


def vectors(**body: Any) -> Callable[[World], object]:
    return lambda w: w.client.embeddings.create(**{"model": "minilm", "input": "hot", **body})


def response(**body: Any) -> Callable[[World], object]:
    return lambda w: w.client.responses.create(**{"model": "fake-base", "input": "hot", **body})


def job(**body: Any) -> Callable[[World], object]:
    def ask(w: World) -> object:
        sent: Any = {"model": "fake-base", "training_file": w.file, **body}
        return w.client.fine_tuning.jobs.create(**sent)

    return ask


def raw(method: str, path: str, body: Any = None, **headers: str) -> Callable[[World], object]:
    """Return a request that the client has no method for, through the client all the same."""

    def ask(w: World) -> object:
        options: Any = {"headers": headers} if headers else {}
        call = getattr(w.client, method)
        place = path.format(file=w.file, job=w.job, model=w.model, store=w.store)
        return call(
            place, cast_to=object, options=options, **({"body": body} if body is not None else {})
        )

    return ask


def jobs(what: str, *args: str, **options: Any) -> Callable[[World], object]:
    def ask(w: World) -> object:
        place: Any = w.client.fine_tuning.jobs
        for name in what.split("."):
            place = getattr(place, name)
        return place(*(args or (w.job,)), **options)

    return ask


def stores(what: str, *args: str, **options: Any) -> Callable[[World], object]:
    """Return a call of `vector_stores`; `STORE` stands for the store, `FILE` for the file."""

    def ask(w: World) -> object:
        place: Any = w.client.vector_stores
        for name in what.split("."):
            place = getattr(place, name)
        named = {"STORE": w.store, "FILE": w.file}
        given = {key: named.get(str(value), value) for key, value in options.items()}
        return place(*(named.get(arg, arg) for arg in args), **given)

    return ask


CHAT, TEXT = "POST /chat/completions", "POST /completions"
EMBED, RESPOND = "POST /embeddings", "POST /responses"
FILES, JOBS, STORES = "/files", "/fine_tuning/jobs", "/vector_stores"
CASES = [
    Case(CHAT, chat(model="gpt-9"), NotFoundError, "model", "model_not_found"),
    Case(CHAT, chat(model="minilm"), NotFoundError, "model", "model_not_found"),
    Case(CHAT, chat(model=7), param="model"),
    Case(CHAT, chat(messages=[]), param="messages"),
    Case(CHAT, chat(messages="hot"), param="messages"),
    Case(CHAT, chat(messages=[{"role": "user"}]), param="messages[0]"),
    Case(CHAT, chat(messages=[{"role": "tool", "content": "x"}]), param="messages[0]"),
    Case(CHAT, chat(max_tokens="ten"), param="max_tokens"),
    Case(CHAT, chat(temperature="hot"), param="temperature"),
    Case(CHAT, chat(stream="perhaps"), param="stream"),
    Case(CHAT, chat(stream=True, stream_options=3), param="stream_options"),
    Case(CHAT, chat(extra_body={"no_such": 1}), param="no_such", code="unknown_parameter"),
    Case(CHAT, chat(messages=[{"role": "user", "content": "x " * 50}]), param="messages"),
    Case(CHAT, chat(model="pumps:rag"), NotFoundError, "model", "model_not_found"),
    Case(TEXT, text(model="gpt-9"), NotFoundError, "model", "model_not_found"),
    Case(TEXT, text(prompt=[1, 2]), param="prompt"),
    Case(TEXT, text(prompt=["a"] * 200, n=2), param="prompt"),
    Case(TEXT, text(prompt={"a": 1}), param="prompt"),
    Case(TEXT, text(logprobs=6), param="logprobs"),
    Case(TEXT, text(echo=True, logprobs=1), param="echo"),
    Case(TEXT, text(prompt=["a", "b"], stream=True), param="stream"),
    Case(TEXT, text(best_of=3), param="best_of"),
    Case(TEXT, text(suffix="end"), param="suffix"),
    Case(EMBED, vectors(model="gpt-9"), NotFoundError, "model", "model_not_found"),
    Case(EMBED, vectors(model="fake-base"), NotFoundError, "model", "model_not_found"),
    Case(EMBED, vectors(input=""), param="input"),
    Case(EMBED, vectors(input=[]), param="input"),
    Case(EMBED, vectors(input={"a": 1}), param="input"),
    Case(EMBED, vectors(dimensions=0), param="dimensions"),
    Case(EMBED, vectors(dimensions=99), param="dimensions"),
    Case(EMBED, vectors(encoding_format="hex"), param="encoding_format"),
    Case(RESPOND, response(model="gpt-9"), NotFoundError, "model", "model_not_found"),
    Case(RESPOND, response(model="minilm"), NotFoundError, "model", "model_not_found"),
    Case(RESPOND, response(input=[]), param="input"),
    Case(RESPOND, response(input=[{"role": "oracle", "content": "x"}]), param="input[0].role"),
    Case(RESPOND, response(previous_response_id="resp_1"), param="previous_response_id"),
    Case(RESPOND, response(background=True), param="background"),
    Case(RESPOND, response(tools=[{"type": "web_search"}]), param="tools[0].type"),
    Case(RESPOND, response(max_output_tokens=0), param="max_output_tokens"),
    Case(
        RESPOND,
        response(tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}]),
        NotFoundError,
    ),
    Case(f"POST {FILES}", raw("post", "/files", {"purpose": "fine-tune"}), param="file"),
    Case(
        f"POST {FILES}",
        lambda w: w.client.files.create(file=("a", b"x"), purpose="party"),  # type: ignore[arg-type]
        param="purpose",
    ),
    Case(
        f"POST {FILES}",
        lambda w: w.client.files.create(file=("a", b""), purpose="fine-tune"),
        code="empty_file",
    ),
    Case(
        f"POST {FILES}",
        lambda w: w.client.files.create(
            file=("a", b"x"),
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 5},
        ),
        param="expires_after",
    ),
    Case(f"GET {FILES}", lambda w: w.client.files.list(limit=0), param="limit"),
    Case(f"GET {FILES}", lambda w: w.client.files.list(after="file-none"), param="after"),
    Case(f"GET {FILES}", lambda w: w.client.files.list(order="up"), param="order"),  # type: ignore[arg-type]
    Case(f"GET {FILES}/{{}}", lambda w: w.client.files.retrieve("file-none"), NotFoundError),
    Case(f"DELETE {FILES}/{{}}", lambda w: w.client.files.delete("file-none"), NotFoundError),
    Case(f"GET {FILES}/{{}}/content", lambda w: w.client.files.content("file-none"), NotFoundError),
    Case(f"POST {JOBS}", job(model="gpt-9"), param="model", code="model_not_found"),
    Case(f"POST {JOBS}", job(model="minilm"), param="model"),
    Case(f"POST {JOBS}", job(training_file="file-none"), param="training_file"),
    Case(
        f"POST {JOBS}",
        lambda w: w.client.fine_tuning.jobs.create(model="fake-base", training_file=w.image),
        param="training_file",
    ),
    Case(
        f"POST {JOBS}",
        lambda w: w.client.fine_tuning.jobs.create(
            model="fake-base", training_file=w.file, validation_file=w.file
        ),
        param="validation_file",
    ),
    Case(f"POST {JOBS}", job(suffix="a/b"), param="suffix"),
    Case(f"POST {JOBS}", job(seed="x"), param="seed"),
    Case(f"POST {JOBS}", job(metadata={"a": 1}), param="metadata.a"),
    Case(f"POST {JOBS}", job(method={"type": "reinforcement"}), param="method"),
    Case(f"POST {JOBS}", job(method={"type": "magic"}), param="method.type"),
    Case(f"POST {JOBS}", job(hyperparameters={"n_epochs": 0}), param="hyperparameters.n_epochs"),
    Case(f"POST {JOBS}", job(hyperparameters={"batch_size": 257})),
    Case(f"POST {JOBS}", job(hyperparameters={"learning_rate_multiplier": 0})),
    Case(f"GET {JOBS}", lambda w: w.client.fine_tuning.jobs.list(limit=0), param="limit"),
    Case(f"GET {JOBS}", lambda w: w.client.fine_tuning.jobs.list(after="x"), param="after"),
    Case(
        f"GET {JOBS}/{{}}", jobs("retrieve", "ftjob-x"), NotFoundError, None, "fine_tune_not_found"
    ),
    Case(f"DELETE {JOBS}/{{}}", raw("delete", f"{JOBS}/ftjob-x"), NotFoundError),
    Case(f"DELETE {JOBS}/{{}}", raw("delete", f"{JOBS}/{{job}}"), code="unexpected_entity_state"),
    Case(f"POST {JOBS}/{{}}/cancel", jobs("cancel", "ftjob-x"), NotFoundError),
    Case(f"POST {JOBS}/{{}}/cancel", jobs("cancel"), code="conflict"),
    Case(f"POST {JOBS}/{{}}/pause", jobs("pause", "ftjob-x"), NotFoundError),
    Case(f"POST {JOBS}/{{}}/pause", jobs("pause"), code="conflict"),
    Case(f"POST {JOBS}/{{}}/resume", jobs("resume", "ftjob-x"), NotFoundError),
    Case(f"POST {JOBS}/{{}}/resume", jobs("resume"), code="conflict"),
    Case(f"GET {JOBS}/{{}}/events", jobs("list_events", "ftjob-x"), NotFoundError),
    Case(f"GET {JOBS}/{{}}/events", jobs("list_events", after="x"), param="after"),
    Case(f"GET {JOBS}/{{}}/events", jobs("list_events", limit=0), param="limit"),
    Case(f"GET {JOBS}/{{}}/checkpoints", jobs("checkpoints.list", "ftjob-x"), NotFoundError),
    Case(f"GET {JOBS}/{{}}/checkpoints", jobs("checkpoints.list", after="x"), param="after"),
    Case("GET /models/{}", lambda w: w.client.models.retrieve("owner/none"), NotFoundError),
    Case("DELETE /models/{}", lambda w: w.client.models.delete("owner/none"), NotFoundError),
    Case("DELETE /models/{}", lambda w: w.client.models.delete("fake-base"), param="model"),
    Case("DELETE /models/{}", lambda w: w.client.models.delete("gpt-4o-mini"), param="model"),
    Case(f"GET {STORES}", stores("list", order="up"), param="order"),
    Case(f"GET {STORES}", stores("list", after="vs_none"), param="after"),
    Case(f"POST {STORES}", stores("create", name=3), param="name"),
    Case(f"POST {STORES}", stores("create", file_ids=["file-none"]), NotFoundError),
    Case(f"POST {STORES}", stores("create", expires_after={"days": 1}), param="expires_after"),
    Case(f"GET {STORES}/{{}}", stores("retrieve", "vs_none"), NotFoundError),
    Case(f"POST {STORES}/{{}}", stores("update", "vs_none", name="x"), NotFoundError),
    Case(f"POST {STORES}/{{}}", stores("update", "STORE", name=["x"]), param="name"),
    Case(f"DELETE {STORES}/{{}}", stores("delete", "vs_none"), NotFoundError),
    Case(f"DELETE {STORES}/{{}}", stores("delete", "vs_pumps"), code="unsupported_value"),
    Case(f"POST {STORES}/{{}}/search", stores("search", "vs_none", query="x"), NotFoundError),
    Case(f"POST {STORES}/{{}}/search", stores("search", "STORE", query=" "), param="query"),
    Case(
        f"POST {STORES}/{{}}/search",
        stores("search", "STORE", query="x", max_num_results=51),
        param="max_num_results",
    ),
    Case(
        f"POST {STORES}/{{}}/files",
        stores("files.create", "STORE", file_id="file-none"),
        NotFoundError,
    ),
    Case(
        f"POST {STORES}/{{}}/files",
        stores("files.create", "STORE", file_id="FILE", attributes={"a": ["b"]}),
    ),
    Case(f"GET {STORES}/{{}}/files", stores("files.list", "vs_none"), NotFoundError),
    Case(f"GET {STORES}/{{}}/files", stores("files.list", "STORE", filter="new"), param="filter"),
    Case(
        f"GET {STORES}/{{}}/files/{{}}",
        stores("files.retrieve", "file-none", vector_store_id="STORE"),
        NotFoundError,
    ),
    Case(
        f"POST {STORES}/{{}}/files/{{}}",
        stores("files.update", "file-none", vector_store_id="STORE", attributes={}),
        NotFoundError,
    ),
    Case(
        f"DELETE {STORES}/{{}}/files/{{}}",
        stores("files.delete", "FILE", vector_store_id="STORE"),
        NotFoundError,
    ),
    Case(
        f"GET {STORES}/{{}}/files/{{}}/content",
        stores("files.content", "FILE", vector_store_id="STORE"),
        NotFoundError,
    ),
    Case(
        f"POST {STORES}/{{}}/file_batches",
        raw("post", f"{STORES}/{{store}}/file_batches", {}),
        param="file_ids",
    ),
    Case(
        f"GET {STORES}/{{}}/file_batches/{{}}",
        stores("file_batches.retrieve", "vsfb_none", vector_store_id="STORE"),
        NotFoundError,
    ),
    Case(
        f"POST {STORES}/{{}}/file_batches/{{}}/cancel",
        stores("file_batches.cancel", "vsfb_none", vector_store_id="STORE"),
        NotFoundError,
    ),
    Case(
        f"GET {STORES}/{{}}/file_batches/{{}}/files",
        stores("file_batches.list_files", "vsfb_none", vector_store_id="STORE"),
        NotFoundError,
    ),
]


def operation_of(app: FastAPI, method: str, path: str) -> str:
    """Return the operation of the document that a request reaches, its ids left open."""
    found = []
    for template in app.openapi()["paths"]:
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern.replace("models/[^/]+", "models/.+"), path):
            shown = re.sub(r"\{[^}]+\}", "{}", template).removeprefix("/v1")
            found.append((template.count("{"), f"{method} {shown}"))
    return min(found)[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operation)
def test_the_client_raises_what_is_right(world: World, case: Case) -> None:
    world.sent.clear()
    with pytest.raises(case.error) as refused:
        case.ask(world)
    assert type(refused.value) is case.error
    assert operation_of(world.app, *world.sent[-1]) == case.operation
    error = refused.value
    assert error.message
    assert error.code
    assert error.type == "invalid_request_error"
    assert error.request_id
    assert error.response.headers["x-should-retry"] == "false"
    if case.param is not None:
        assert (error.param or "").startswith(case.param)
    if case.code is not None:
        assert error.code == case.code


def test_no_operation_is_without_a_case(world: World) -> None:
    operations = {
        f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path).removeprefix('/v1')}"
        for path, methods in world.app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/v1/") and "lora_adapter" not in path
    }
    assert operations - {case.operation for case in CASES} == NOTHING_CAN_BE_WRONG


def test_a_file_beyond_the_limit_is_refused_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_routes, "MAX_UPLOAD_BYTES", 1000)
    before = world.client.files.list().data
    with pytest.raises(openai.APIStatusError) as refused:
        world.client.files.create(file=("big.jsonl", b"x" * 1001), purpose="fine-tune")
    assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")
    assert world.client.files.list().data == before


def test_a_body_beyond_the_limit_is_refused_to_the_client(world: World) -> None:
    long: Any = [{"role": "user", "content": "x" * (17 << 20)}]
    with pytest.raises(openai.APIStatusError) as refused:
        world.client.chat.completions.create(model="fake-base", messages=long)
    assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/d", {"properties": {}}, 400, "invalidPayload"),
        ("PUT", "/d", {"properties": {"model": {"name": 3}}}, 400, "invalidPayload"),
        ("GET", "/none", None, 404, "DeploymentNotFound"),
        ("DELETE", "/none", None, 404, "DeploymentNotFound"),
    ],
)
def test_wrong_deployments_are_refused(
    world: World, method: str, path: str, body: object, status: int, code: str
) -> None:
    url = f"{world.url}{DEPLOYMENTS}{path}"
    answer = httpx.request(method, url, json=body, timeout=PATIENCE_S)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_an_unknown_deployment_is_not_found_by_azures_client(world: World) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=world.url, api_key="any", api_version="2024-10-21", max_retries=0
    ) as client:
        for ask in (
            lambda: client.chat.completions.create(model="none", messages=ASKED),
            lambda: client.embeddings.create(model="none", input="x"),
        ):
            with pytest.raises(NotFoundError) as missing:
                ask()
            assert missing.value.code == "DeploymentNotFound"

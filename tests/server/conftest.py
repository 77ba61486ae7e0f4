"""A real server on loopback, asked with the official client."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openai import AzureOpenAI, OpenAI
from starlette.types import ASGIApp

from pericia.config import parse_config
from pericia.server.app import create_app
from pericia.server.work import train_next
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder, FakeModel, FakeTrainer

PATIENCE_S = 600  # for a busy machine; an idle one answers at once


@dataclass
class Running:
    """A server at work; `model` is what answers."""

    url: str
    model: FakeModel
    clients: list[OpenAI] = field(default_factory=list)

    def openai(self, key: str = "any", mount: str = "/v1", *, strict: bool = True) -> OpenAI:
        """Return a client that raises where an answer is not exactly of its class.

        The classes lack what the service itself sends: `paused`, the null `hyperparameters` of DPO, vectors in base64
        and the null `finish_reason` of a streamed completion. Tests of these turn `strict` off.
        """
        checked: Any = {"_strict_response_validation": strict}
        client = OpenAI(base_url=f"{self.url}{mount}", api_key=key, max_retries=0, **checked)
        self.clients.append(client)
        return client

    def chat(self) -> Any:
        """Return `chat.completions.create`, untyped, because tests send what types forbid."""
        return self.openai().chat.completions.create

    def azure(self, key: str = "any") -> AzureOpenAI:
        client = AzureOpenAI(
            azure_endpoint=self.url, api_key=key, api_version="2024-10-21", max_retries=0
        )
        self.clients.append(client)
        return client


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Yield the address of an app that is served until the block ends."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers on one workspace: `start(model=..., key=..., **settings of pericia.yaml)`."""
    blocks: list[tuple[Running, AbstractContextManager[str]]] = []

    def one(
        model: FakeModel | None = None,
        key: str = "",
        trainer: FakeTrainer | None = None,
        root: Path = tmp_path,
        base: str = "fake-base",
        **settings: object,
    ) -> Running:
        model = model or FakeModel()
        config = parse_config({"name": "pumps", "model": base, **settings}, "test")
        app = create_app(
            Workspace(root),
            config,
            key=key,
            load_model=lambda _: model,
            load_embedder=lambda _: FakeEmbedder(),
            work=lambda ledger: train_next(ledger, trainer or FakeTrainer()),
        )
        block = running(app)
        server = Running(block.__enter__(), model)
        blocks.append((server, block))
        return server

    yield one
    for server, block in reversed(blocks):
        for client in server.clients:
            client.close()
        block.__exit__(None, None, None)

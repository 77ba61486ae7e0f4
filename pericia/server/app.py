"""The server: code written for OpenAI's or Azure's API runs here unchanged but for its base URL and key.

/v1, /openai/v1      OpenAI's dialect
/openai              Azure's, with /openai/deployments/{name} and the management path for deployments
/api                 what the page is a client of; the page itself is at /
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response

from pericia import embedders, models
from pericia.config import Config
from pericia.embedders import Embedder
from pericia.errors import InputError
from pericia.jobs import DATABASE_VARIABLE, Key, Ledger
from pericia.models import Model
from pericia.server import (
    azure,
    chat,
    documents,
    embeddings,
    events,
    files,
    fine_tuning,
    keys,
    project,
    responses,
    set_up,
    vector_stores,
    vllm,
    wire,
    workbench_examples,
    workbench_jobs,
    workbench_questions,
    workbench_runs,
    workbench_serve,
    workbench_train,
)
from pericia.server import models as model_routes
from pericia.server.attachments import Attachments
from pericia.server.envelope import Envelope, RequestLog
from pericia.server.experts import Experts
from pericia.server.gate import Gate
from pericia.server.house import House, Renew
from pericia.server.metrics import CONTENT_TYPE_LATEST, Meter
from pericia.server.renewal import Renewal
from pericia.server.rooms import Industry
from pericia.server.served import ArmRoom
from pericia.server.tasks import Tasks
from pericia.server.training import Training, start_worker
from pericia.server.turns import CallerGoneError, Turns
from pericia.server.ui.door import Door
from pericia.server.ui.pages import add_pages
from pericia.workspace import Workspace

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MOUNTS = ("/v1", "/openai/v1", "/openai")
_PARTS = (chat, embeddings, files, fine_tuning, model_routes, responses, vector_stores)
_WORKBENCH = (
    workbench_examples,
    workbench_jobs,
    workbench_questions,
    workbench_runs,
    workbench_serve,
    workbench_train,
)
_API_PARTS = (documents, events, keys, project, set_up, *_WORKBENCH)
_OPEN_PATHS = ("/healthz",)


def create_app(
    workspace: Workspace,
    config: Config,
    *,
    key: str | None = None,
    load_model: Callable[[str], Model] | None = None,
    load_embedder: Callable[[str], Embedder] = embedders.load,
    room: ArmRoom | None = None,
    work: Callable[[Ledger], object] = start_worker,
    renew: Renew | None = None,
) -> FastAPI:
    """Return the app. `key` None means what PERICIA_API_KEY says; "" turns keys off.

    `renew` serves by settings that are written meanwhile; without it they hold from the next start on.

    Raises:
        InputError: keys have been handed out, and the owner's is not set.
    """
    ledger = Ledger(workspace.state / "server", os.environ.get(DATABASE_VARIABLE, ""))
    room = room or Industry(config, workspace)
    load_model = load_model or partial(models.load, upstream=config.serve.upstream)
    embedder = cache(lambda: load_embedder(config.embedder))
    turns = Turns(config.serve.max_waiting, config.serve.together)
    meter = Meter(ledger, lambda: turns.num_waiting)
    key = os.environ.get("PERICIA_API_KEY", "") if key is None else key
    if not key and ledger.all(Key):
        ledger.close()
        raise InputError(
            "This server has handed out keys, and PERICIA_API_KEY, the owner's, is not set: anybody would be let in.",
            hint="Set it. To serve without keys, delete them first: DELETE /api/keys/ID",
        )
    gate = Gate(ledger, key, config.serve.requests_per_minute)
    house = House(
        config=config,
        workspace=workspace,
        ledger=ledger,
        gate=gate,
        renew=renew or _at_next_start,
        room=room,
        experts=Experts(config, ledger, load_model, room, meter.answer),
        turns=turns,
        tasks=Tasks(ledger.folder),
        attachments=Attachments(config, ledger, embedder),
        embedder=embedder,
    )

    log = RequestLog(ledger.folder / "requests.log")
    training = Training(ledger, config.train, work=work)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        training.start()
        house.attachments.start()
        yield
        training.close()
        house.attachments.close()
        house.tasks.close()
        house.turns.close()
        log.close()
        ledger.close()

    app = FastAPI(title="Pericia", version=version("pericia"), lifespan=lifespan)
    wire.speak_of_errors(app)
    app.add_exception_handler(CallerGoneError, lambda *_: Response(status_code=499))

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(meter.text(), media_type=CONTENT_TYPE_LATEST)

    for mount in _MOUNTS:
        for part in _PARTS:
            app.include_router(part.routes(house), prefix=mount)
    for part in (chat, embeddings):
        app.include_router(part.routes(house), prefix="/openai/deployments/{deployment:path}")
    for part in (azure, vllm):
        app.include_router(part.routes(house))
    for part in _API_PARTS:
        app.include_router(part.routes(house))
    add_pages(app, house, key)
    app.add_middleware(Envelope, gate=gate, meter=meter, log=log, open_paths=_OPEN_PATHS)
    app.add_middleware(Door, key=key)
    return app


async def _at_next_start(_: Config) -> None:
    """Serve on by the settings that there were."""


def serve(config: Config, workspace: Workspace, port: int, host: str = "127.0.0.1") -> None:
    """Serve until interrupted.

    Raises:
        InputError: the address can be reached from elsewhere and no key is set.
    """
    if host not in _LOOPBACK and not os.environ.get("PERICIA_API_KEY"):
        raise InputError(
            f"'{host}' can be reached from other computers, and no key is set.",
            hint="Set PERICIA_API_KEY, or serve on 127.0.0.1.",
        )

    def build(settings: Config, renew: Renew) -> FastAPI:
        return create_app(workspace, settings, renew=renew)

    app = Renewal(build, config)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=3,  # an open stream of events would keep the server from ending
    )

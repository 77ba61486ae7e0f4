"""POST /api/set-up: write the pericia.yaml of a folder that has none, and serve by it from then on."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from pericia.config import Config, load_config, render_config
from pericia.errors import ConflictError, InputError, PericiaError
from pericia.machine import Proposal, hub_answers, look_at_machine, propose_model
from pericia.models import MODELS
from pericia.said import said
from pericia.server.house import House
from pericia.server.limits import fault_of
from pericia.server.schemas import Request
from pericia.server.shelf import UPLOADS
from pericia.shapes import known_models
from pericia.workspace import write_atomic

SETTINGS = "pericia.yaml"
_HUB_WAIT_S = 0.5
_REASONS = {
    "name": said(
        "Begin with a letter or digit; then letters, digits, '.', '_' and '-', 64 in all."
    ),
    "requests_per_month": said("Give a whole number, 1 or more."),
}


class SetUp(Request):
    """What the form asks; everything else has its default and its reason in the file that is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    documents: str = UPLOADS
    model: str
    goal: str = ""
    data_change: str = "yearly"
    citations_required: bool = False
    requests_per_month: int | str = 1000


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.post("/set-up")
    async def begin(body: SetUp) -> Response:
        settings = await run_in_threadpool(written, house, body)
        await house.renew(settings)
        return JSONResponse({"name": settings.name, "file": SETTINGS}, 201)

    return router


def is_set_up(house: House) -> bool:
    """Return whether the folder has settings of its own."""
    return (house.workspace.root / SETTINGS).is_file()


def proposed(house: House) -> tuple[SetUp, Proposal]:
    """Return the form as it stands at first, and why its model is proposed."""
    proposal = propose_model(look_at_machine(), hub_answers(_HUB_WAIT_S))
    kept = [c for c in house.workspace.root.resolve().name if c.isalnum() or c in "._-"]
    name = "".join(kept).lstrip("._-")[:64]
    return SetUp(
        name=name if name.isascii() and name else Config().name, model=proposal.model
    ), proposal


def written(house: House, asked: SetUp) -> Config:
    """Return the settings that now stand in the folder.

    Raises:
        InputError: an answer cannot be used; `param` names it. ConflictError: there are settings already.
    """
    if is_set_up(house):
        raise ConflictError(
            said("This folder is set up already."), hint=said("Load the page again.")
        )
    for fault in faults(house, asked).values():
        raise fault
    chosen = _chosen(asked)
    _folder(house, asked).mkdir(parents=True, exist_ok=True)
    write_atomic(house.workspace.root / SETTINGS, render_config(chosen))
    return load_config(house.workspace.root / SETTINGS)


def faults(house: House, asked: SetUp) -> dict[str, PericiaError]:
    """Return what is wrong with the answers, by field."""
    found: dict[str, PericiaError] = {}
    try:
        Config.model_validate(_chosen(asked))
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][-1])
            text = _REASONS.get(name) or fault_of(item)
            found[name] = InputError(text, param=name)
    folder = _folder(house, asked)
    inside = folder.resolve().is_relative_to(house.workspace.root.resolve())
    if not asked.documents.strip() or folder.is_file() or not (inside or folder.is_dir()):
        text = said("There is no folder '%(folder)s'.", folder=asked.documents.strip())
        hint = said("Only a folder inside of this project is made.")
        found["documents"] = InputError(text, hint=hint, param="documents")
    if fault := fault_of_model(asked.model.strip(), house.workspace.root):
        found["model"] = fault
    return found


def _chosen(asked: SetUp) -> dict[str, Any]:
    use = {
        "goal": asked.goal.strip(),
        "data_change": asked.data_change,
        "citations_required": asked.citations_required,
        "requests_per_month": asked.requests_per_month,
    }
    named = {"name": asked.name.strip(), "documents": [asked.documents.strip()]}
    return {**named, "model": asked.model.strip(), "use": use}


def _folder(house: House, asked: SetUp) -> Path:
    return house.workspace.resolve(asked.documents.strip() or ".")


def fault_of_model(name: str, root: Path) -> PericiaError | None:
    """Return what is wrong with a model's name as far as that can be told without loading or fetching it."""
    known = (*MODELS, *known_models())
    is_of_hub = name.count("/") == 1 and name[0] not in "./~"
    if name in known or ":" in name or is_of_hub or (root / name / "config.json").is_file():
        return None
    if near := get_close_matches(name, known, n=1):
        hint = said("Did you mean '%(name)s'?", name=near[0])
    else:
        hint = said(
            "Give 'pericia-nano', 'quote', a folder with a config.json, or owner/name of a hub."
        )
    return InputError(said("There is no model '%(name)s'.", name=name), hint=hint, param="model")

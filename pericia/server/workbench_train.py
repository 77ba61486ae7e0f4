"""/api/plan, /api/train and /api/autotrain: what a training takes, its settings with their help, and its start."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, get_args, get_origin

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from pericia import plan as planning
from pericia.autotrain import Translation, read_autotrain
from pericia.config import TrainConfig
from pericia.errors import InputError
from pericia.examples import num_epochs
from pericia.foresee import METHODS
from pericia.machine import look_at_machine
from pericia.said import joined, said
from pericia.server.house import House
from pericia.server.limits import fault_of
from pericia.server.tasks import Task
from pericia.server.workbench import working

_SHOWN_FIRST = ("method", "epochs", "learning_rate", "rank", "batch_size", "max_tokens")
# How the presets differ from the project's own settings. A factor changes a number, a value replaces it.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"epochs": 1, "rank": 8, "alpha": 16},
    "balanced": {},
    "careful": {"epochs_factor": 2, "learning_rate_multiplier_factor": 0.5, "dropout": 0.1},
}

_ONE_AT_A_TIME = Lock()  # plans: a speed that is measured beside another is none


class TrainRequest(BaseModel):
    """`settings` are knobs of `train:` in pericia.yaml that differ from the project's.

    `anyway` starts also what the planner says does not fit this computer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["fine_tuned", "rag_fine_tuned"] = "fine_tuned"
    settings: dict[str, Any] = Field(default_factory=dict)
    suffix: str = Field("", max_length=64, pattern=r"^[^:/]*$")
    start: bool = False
    anyway: bool = False


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/plan")
    def plan(
        model: str = "",
        method: str = "lora",
        context: int = 0,
        gpu_memory_gb: float | None = None,
        measure: bool = False,
    ) -> Response:
        found = foreseen(house, model, method, context, gpu_memory_gb, measure=measure)
        return JSONResponse({**asdict(found), "needed_bytes": found.needed_bytes})

    @router.get("/train")
    def settings() -> Response:
        return JSONResponse(about(house))

    @router.post("/train")
    def train(body: TrainRequest) -> Response:
        return JSONResponse(asdict(begin(house, body)), 202)

    @router.post("/autotrain")
    async def autotrain(request: Request) -> Response:
        return JSONResponse(translation_json(await translated(request)))

    return router


def foreseen(
    house: House,
    model: str,
    method: str,
    context: int,
    gpu_memory_gb: float | None,
    *,
    measure: bool = False,
    num_tokens: int | None = None,
) -> planning.Plan:
    """Return the plan of a training; 0 and "" stand for the project's own model and longest row.

    Raises:
        InputError, NotFoundError: as `plan.plan`.
    """
    config = working(house)
    with _ONE_AT_A_TIME:
        return _plan(
            model or config.model,
            method,
            context or config.train.max_tokens,
            config.train.rank,
            gpu_memory_gb,
            measure,
            num_tokens,
        )


@lru_cache(maxsize=64)
def _plan(
    model: str,
    method: str,
    context: int,
    rank: int,
    gpu_memory_gb: float | None,
    measure: bool,
    num_tokens: int | None,
) -> planning.Plan:
    if method not in METHODS:
        raise InputError(
            said("Unknown method '%(method)s'.", method=method),
            hint=said("Available: %(known)s.", known=", ".join(METHODS)),
            param="method",
        )
    return planning.plan(
        model,
        method=method,
        gpu_memory_gb=gpu_memory_gb,
        context_tokens=context,
        rank=rank,
        measure_time=measure,
        num_tokens=num_tokens,
    )


def epochs_of(house: House, num_examples: int) -> int:
    """Return how often the examples are read by the project's settings."""
    return num_epochs(working(house).train, num_examples)


def about(house: House) -> dict[str, Any]:
    """Return the settings of the project with everything that a form needs to explain them."""
    config = working(house)
    return {
        "model": config.model,
        "machine": asdict(look_at_machine()),
        "methods": list(METHODS),
        "has_examples": config.examples is not None,
        "has_documents": bool(config.documents),
        "values": config.train.model_dump(mode="json"),
        "knobs": knobs(config.train),
        "presets": {name: preset(config.train, name) for name in PRESETS},
    }


def own_settings(house: House, given: Mapping[str, Any]) -> list[str]:
    """Return the knobs in which a training differs from the project's settings: Compare measures only the project's."""
    project = working(house).train.model_dump(mode="json")
    return [name for name, value in given.items() if name in project and value != project[name]]


def knobs(settings: TrainConfig) -> list[dict[str, Any]]:
    """Return every knob of a training with its help, unit, limits and value; the most used ones first."""
    names = [*_SHOWN_FIRST, *(n for n in TrainConfig.model_fields if n not in _SHOWN_FIRST)]
    return [_knob(name, getattr(settings, name)) for name in names]


def _knob(name: str, value: Any) -> dict[str, Any]:
    field = TrainConfig.model_fields[name]
    extra = field.json_schema_extra
    limits = {
        sort: getattr(item, sort)
        for item in field.metadata
        for sort in ("ge", "gt", "le", "lt")
        if getattr(item, sort, None) is not None
    }
    choices = list(get_args(field.annotation)) if get_origin(field.annotation) is Literal else []
    return {
        "name": name,
        "value": _written(value),
        "default": _written(field.default),
        "why": field.description,
        "unit": extra.get("unit", "") if isinstance(extra, dict) else "",
        "choices": choices or (["true", "false"] if field.annotation is bool else []),
        "limits": limits,
        "first": name in _SHOWN_FIRST,
    }


def _written(value: Any) -> str:
    """Return a setting as it stands in a field."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, (tuple, list)) else str(value)


def preset(settings: TrainConfig, name: str) -> dict[str, str]:
    """Return the knobs that a preset changes, as they stand in fields."""
    changed = {}
    for key, value in PRESETS[name].items():
        knob = key.removesuffix("_factor")
        now = getattr(settings, knob)
        if knob == key:
            changed[key] = value
        elif isinstance(now, (int, float)):
            changed[knob] = type(now)(now * value)
    return {knob: _written(value) for knob, value in changed.items()}


def read_settings(
    base: TrainConfig, given: Mapping[str, Any]
) -> tuple[TrainConfig, dict[str, str]]:
    """Return the settings with what was given put in, and the faults by knob; with faults, `base` itself."""
    cleaned = {name: _typed(name, value) for name, value in given.items()}
    try:
        return TrainConfig.model_validate({**base.model_dump(), **cleaned}), {}
    except ValidationError as error:
        faults: dict[str, str] = {}
        for item in error.errors():
            faults.setdefault(str(item["loc"][0]), fault_of(item))
        return base, faults


def _typed(name: str, value: Any) -> Any:
    """Return what a field's text means: fields know texts only."""
    default = TrainConfig.model_fields[name].default if name in TrainConfig.model_fields else ""
    if not isinstance(value, str):
        return value
    if default is None and not value.strip():
        return None
    if isinstance(default, tuple):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value.strip()


def begin(house: House, body: TrainRequest) -> Task:
    """Start the pre-flight of a training, which starts the job itself where `start` says so.

    Raises:
        InputError: a setting has a fault; `param` names the first.
    """
    config = working(house)
    settings, faults = read_settings(config.train, body.settings)
    if faults:
        text = joined([joined((f"{name}:", fault)) for name, fault in faults.items()])
        raise InputError(text, hint=said("Mend these settings."), param=next(iter(faults)))
    config = config.model_copy(update={"train": settings})
    params = body.model_dump(mode="json")
    return house.tasks.start("preflight", house.workspace, config, params)


async def translated(request: Request) -> Translation:
    """Return an uploaded AutoTrain file in our words.

    Raises:
        InputError: there is no file, or it has faults; `param` is `file`.
    """
    async with request.form(max_files=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise InputError(said("No file was chosen."), hint=said("Choose one."), param="file")
        data = await file.read()
        filename = file.filename

    def work() -> Translation:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "autotrain.yml"
            path.write_bytes(data)
            try:
                return read_autotrain(path)
            except InputError as error:
                text = error.message.replace(str(path), filename)
                raise InputError(text, hint=error.hint, param="file") from error

    return await run_in_threadpool(work)


def translation_json(made: Translation) -> dict[str, Any]:
    """Return what became of each key of an AutoTrain file, and the settings that it asks for."""
    settings = made.settings.model_dump(mode="json")
    return {
        "name": made.name,
        "base": made.base,
        "settings": {name: _written(value) for name, value in settings.items()},
        "lines": [asdict(line) for line in made.lines],
        "stops": any(line.stops for line in made.lines),
    }

"""/api/plan, /api/train, /api/autotrain and /api/jobs: what a training takes, its settings, its start, its live curve.

Pause, resume and cancel are those of /v1/fine_tuning/jobs; a training that the page starts is such a job.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from pericia import plan as planning
from pericia.autotrain import Translation, read_autotrain
from pericia.config import TrainConfig
from pericia.errors import InputError, NotFoundError
from pericia.examples import auto_epochs
from pericia.foresee import METHODS
from pericia.jobs import ENDED, Checkpoint, Event, Job, StepRecord
from pericia.machine import look_at_machine
from pericia.server.house import House
from pericia.server.names import checkpoint_name, model_name
from pericia.server.tasks import Task
from pericia.server.wire import server_sent
from pericia.server.workbench import working

POLL_S = 0.3
BEAT_S = 15.0
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_SHOWN_FIRST = ("method", "epochs", "learning_rate", "rank", "batch_size", "max_tokens")
# How the presets differ from the project's own settings. A factor changes a number, a value replaces it.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"epochs": 1, "rank": 8, "alpha": 16},
    "balanced": {},
    "careful": {"epochs_factor": 2, "learning_rate_factor": 0.5, "dropout": 0.1},
}


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

    @router.get("/jobs")
    def jobs() -> Response:
        found: list[Job] = house.ledger.all(Job)
        return JSONResponse({"data": [job_json(job) for job in found]})

    @router.get("/jobs/{job_id}")
    def job(job_id: str) -> Response:
        return JSONResponse(job_view(house, job_id))

    @router.get("/jobs/{job_id}/events")
    async def events(job_id: str, request: Request, after: str | None = None) -> Response:
        await run_in_threadpool(house.ledger.get, Job, job_id)
        mark = after or request.headers.get("last-event-id") or ""
        lines = _lines(house, request, job_id, mark)
        return StreamingResponse(lines, media_type="text/event-stream", headers=_HEADERS)

    return router


# --- before the start ---------------------------------------------------------------------------------------


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
            f"Unknown method '{method}'.", hint=f"Available: {', '.join(METHODS)}.", param="method"
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
    epochs = working(house).train.epochs
    return auto_epochs(max(1, num_examples)) if epochs == "auto" else int(epochs)


def about(house: House) -> dict[str, Any]:
    """Return the settings of the project with everything that a form needs to explain them."""
    config = working(house)
    return {
        "model": config.model,
        "machine": str(look_at_machine()),
        "methods": list(METHODS),
        "has_examples": config.examples is not None,
        "has_documents": bool(config.documents),
        "values": config.train.model_dump(mode="json"),
        "knobs": knobs(config.train),
        "presets": {name: preset(config.train, name) for name in PRESETS},
    }


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
            faults.setdefault(str(item["loc"][0]), f"{item['msg']}.")
        return base, faults


def _typed(name: str, value: Any) -> Any:
    """Return what a field's text means: fields know texts only."""
    default = TrainConfig.model_fields[name].default if name in TrainConfig.model_fields else ""
    if not isinstance(value, str):
        return value
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
        text = " ".join(f"{name}: {fault}" for name, fault in faults.items())
        raise InputError(text, hint="Mend these settings.", param=next(iter(faults)))
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
            raise InputError("No file was chosen.", hint="Choose one.", param="file")
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


# --- jobs ----------------------------------------------------------------------------------------------------


def job_json(job: Job) -> dict[str, Any]:
    """Return a job as the page lists it."""
    arm = job.resolved.get("arm") or {}
    return {
        "id": job.id,
        "status": job.status,
        "arm": arm.get("kind", ""),
        "model": job.model,
        "base": job.base,
        "name": model_name(job) if job.is_served else "",
        "suffix": job.suffix,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "estimated_finish": job.estimated_finish,
        "settings": job.resolved.get("settings", {}),
        "epochs": job.resolved.get("n_epochs"),
        "error": dict(job.error) or None,
        "num_steps": _num_steps(job),
        "has_ended": job.status in ENDED,
    }


def _num_steps(job: Job) -> int:
    """Return how many optimizer steps a job has in all, 0 where that is not known yet."""
    about = (job.resolved.get("arm") or {}).get("about") or {}
    rows, batch = about.get("num_train", 0), int(job.resolved.get("batch_size") or 1)
    return int(job.resolved.get("n_epochs") or 0) * -(-int(rows) // batch)


def job_view(house: House, job_id: str) -> dict[str, Any]:
    """Return a job with its curve, its events (newest first), its checkpoints, and the mark to listen from.

    Raises:
        NotFoundError: there is no such job.
    """
    job: Job = house.ledger.get(Job, job_id)
    steps = house.ledger.steps(job_id)
    told: list[Event] = house.ledger.all(Event, job_id=job_id)
    checkpoints: list[Checkpoint] = house.ledger.all(Checkpoint, job_id=job_id)
    best = min((s for s in steps if s.valid_loss is not None), key=_valid_loss, default=None)
    return {
        **job_json(job),
        "steps": [asdict(step) for step in steps],
        "events": [_event_json(event) for event in told],
        "checkpoints": [
            {
                "id": one.id,
                "step": one.step,
                "name": checkpoint_name(job, one, is_newest=False),
                "metrics": dict(one.metrics),
            }
            for one in checkpoints
        ],
        "best": asdict(best) if best else None,
        "overfits": _overfits(steps),
        "mark": _mark(told[0].id if told else "", steps[-1].step if steps else 0),
    }


def _overfits(steps: Sequence[StepRecord]) -> bool:
    """Return whether the last two validation losses are above the best by a tenth."""
    losses = [step.valid_loss for step in steps if step.valid_loss is not None]
    return len(losses) > 2 and min(losses[-2:]) > 1.1 * min(losses)


def _valid_loss(step: StepRecord) -> float:
    assert step.valid_loss is not None
    return step.valid_loss


def _event_json(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": event.created_at,
        "level": event.level,
        "message": event.message,
    }


def _mark(event_id: str, step: int) -> str:
    return f"{event_id}:{step}"


def job_changes(house: House, job_id: str, mark: str) -> tuple[dict[str, Any], str]:
    """Return what has happened to a job since a mark, and the mark that follows it.

    The step of the mark comes again if it has changed: its validation loss is measured after its training loss.

    Raises:
        NotFoundError: there is no such job. InputError: the mark is none of ours.
    """
    event_id, _, step = mark.rpartition(":")
    if not step.isdecimal():
        event_id, step = "", "0"
    job: Job = house.ledger.get(Job, job_id)
    told, _ = house.ledger.page(
        Event, limit=500, after=event_id or None, newest_first=False, job_id=job_id
    )
    steps = [record for record in house.ledger.steps(job_id) if record.step >= int(step)]
    changes = {
        "status": job.status,
        "estimated_finish": job.estimated_finish,
        "num_steps": _num_steps(job),
        "has_ended": job.status in ENDED,
        "steps": [asdict(record) for record in steps],
        "events": [_event_json(event) for event in told],
    }
    last_step = steps[-1].step if steps else int(step)
    return changes, _mark(told[-1].id if told else event_id, last_step)


async def _lines(house: House, request: Request, job_id: str, mark: str) -> AsyncIterator[str]:
    """Yield what changes, each change once; the last event of an ended job is named `end`."""
    sent: dict[str, Any] = {}
    quiet_s = BEAT_S
    yield "retry: 1000\n\n"
    while not await request.is_disconnected():
        try:
            changes, mark = await run_in_threadpool(job_changes, house, job_id, mark)
        except NotFoundError:  # deleted while it was looked at
            return
        new = {**changes, "steps": [s for s in changes["steps"] if s not in sent.get("steps", ())]}
        told = new["steps"] or new["events"] or changes["status"] != sent.get("status")
        if told:
            quiet_s = 0.0
            yield f"id: {mark}\n{server_sent(new)}"
        elif changes["has_ended"]:
            yield f"event: end\nid: {mark}\n{server_sent({'status': changes['status']})}"
            return
        elif quiet_s >= BEAT_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        sent = changes
        await asyncio.sleep(POLL_S)
        quiet_s += POLL_S

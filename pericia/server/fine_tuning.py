"""Fine-tuning jobs: created, listed, cancelled, paused and resumed as OpenAI's and Azure's clients do it."""

import random
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from pericia.errors import NotFoundError
from pericia.jobs import ENDED, Checkpoint, Event, Job, Level, Status, new_id
from pericia.server.house import House
from pericia.server.job_shapes import HYPERPARAMETERS, checkpoint_shape, event_shape, shape
from pericia.server.schemas import Hyperparameters, JobRequest
from pericia.server.served import Served
from pericia.server.training import copy_files
from pericia.server.uploads import find_file
from pericia.server.wire import Dialect, RequestError, dialect_of, page
from pericia.server.work import check_base

REPEAT_WITHIN_S = 120
MAX_LIMIT = 100
Limit = Annotated[int, Query(ge=1)]
_OPEN: tuple[Status, ...] = ("validating", "queued", "running", "pausing", "paused")
_ACTS: dict[str, tuple[tuple[Status, ...], Status, str]] = {
    "cancel": (_OPEN, "cancelled", "Fine-tuning job cancelled"),
    "pause": (("running",), "pausing", "Fine-tuning job is pausing"),
    "resume": (("paused",), "queued", "Fine-tuning job resumed"),
}


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/fine_tuning/jobs")
    ledger = house.ledger

    def find(job_id: str) -> Job:
        try:
            job: Job = ledger.get(Job, job_id)
        except NotFoundError as error:
            text = f"Could not find fine tune: {job_id}"
            raise RequestError(text, code="fine_tune_not_found", status=404) from error
        return job

    def answer(job: Job, request: Request, status: int = 200) -> Response:
        dialect = dialect_of(request.url.path)
        headers = {}
        if status == 201:
            headers["Location"] = f"{request.base_url}openai/fine_tuning/jobs/{job.id}"
        return JSONResponse(shape(job, dialect), status, headers)

    @router.post("")
    def create(body: JobRequest, request: Request) -> Response:
        dialect = dialect_of(request.url.path)
        status = 201 if dialect == "azure" else 200
        key = request.headers.get("authorization", request.headers.get("api-key", ""))
        repeat_key = sha256(f"{key} {body.model_dump_json()}".encode()).hexdigest()
        if request.headers.get("x-stainless-retry-count", "0") != "0":
            earlier = ledger.repeated(repeat_key, REPEAT_WITHIN_S)
            if earlier is not None:
                return answer(earlier, request, status)
        return answer(_create(house, body, dialect, repeat_key), request, status)

    @router.get("")
    def list_jobs(request: Request, after: str | None = None, limit: Limit = 20) -> Response:
        wanted = _wanted_labels(request)
        dialect = dialect_of(request.url.path)
        jobs: list[Job] = []
        has_more = True
        while (
            has_more and len(jobs) <= limit
        ):  # labels are JSON, which every database asks in its own way
            found, has_more = ledger.page(Job, limit=min(limit, MAX_LIMIT) + 1, after=after)
            jobs += [job for job in found if wanted is None or _matches(job, wanted)]
            after = found[-1].id if found else after
        limit = min(limit, MAX_LIMIT)
        shown = page(jobs[:limit], lambda job: shape(job, dialect), has_more=len(jobs) > limit)
        return JSONResponse(shown)

    @router.get("/{job_id}")
    def retrieve(job_id: str, request: Request) -> Response:
        return answer(find(job_id), request)

    @router.post("/{job_id}/cancel")
    def cancel(job_id: str, request: Request) -> Response:
        find(job_id)
        return answer(steer(house, job_id, "cancel"), request)

    @router.post("/{job_id}/pause")
    def pause(job_id: str, request: Request) -> Response:
        find(job_id)
        return answer(steer(house, job_id, "pause"), request)

    @router.post("/{job_id}/resume")
    def resume(job_id: str, request: Request) -> Response:
        find(job_id)
        return answer(steer(house, job_id, "resume"), request)

    @router.delete("/{job_id}")
    def delete(job_id: str, request: Request) -> Response:
        job = find(job_id)
        if job.status not in ENDED or job.is_served:
            text = f"Fine-tuning job '{job_id}' is {job.status}, and its model is served."
            if job.status not in ENDED:
                text = f"Fine-tuning job '{job_id}' is {job.status}."
            hint = "Cancel it, or delete its model, first."
            raise RequestError(text, code="unexpected_entity_state", hint=hint)
        ledger.forget_job(job_id)
        return Response(status_code=204)

    # Azure's guides print these two as POST
    @router.get("/{job_id}/events")
    @router.post("/{job_id}/events", include_in_schema=False)
    def events(
        job_id: str, request: Request, after: str | None = None, limit: Limit = 20
    ) -> Response:
        find(job_id)
        dialect = dialect_of(request.url.path)
        limit = min(limit, MAX_LIMIT)
        found, has_more = ledger.page(Event, limit=limit, after=after, job_id=job_id)
        return JSONResponse(
            page(found, lambda event: event_shape(event, dialect), has_more=has_more)
        )

    @router.get("/{job_id}/checkpoints")
    @router.post("/{job_id}/checkpoints", include_in_schema=False)
    def checkpoints(job_id: str, after: str | None = None, limit: Limit = 10) -> Response:
        job = find(job_id)
        limit = min(limit, MAX_LIMIT)
        newest = ledger.page(Checkpoint, limit=1, job_id=job_id)[0]
        found, has_more = ledger.page(Checkpoint, limit=limit, after=after, job_id=job_id)
        return JSONResponse(
            page(found, lambda one: checkpoint_shape(job, one, newest), has_more=has_more)
        )

    return router


def steer(house: House, job_id: str, act: str) -> Job:
    """Return the job after it was asked to `cancel`, `pause` or `resume`.

    Raises:
        NotFoundError: there is no such job, or no such act. ConflictError: its state forbids it. ChangedError: the
            base is no longer what the job began with.
    """
    if act not in _ACTS:
        raise NotFoundError(f"A job cannot '{act}'.", hint=f"It can: {', '.join(_ACTS)}.")
    before, after, text = _ACTS[act]
    if act == "resume":
        check_base(house.ledger, house.ledger.get(Job, job_id))
    return house.ledger.move(job_id, before, after, [("info", text)])


# --- creating a job ---------------------------------------------------------------------------------------


def _create(house: House, body: JobRequest, dialect: Dialect, repeat_key: str) -> Job:
    served = _base_of(house, body.model)
    if body.method is not None and body.method.type == "reinforcement":
        text = f"The method '{body.method.type}' is not served here."
        hint = "Use 'supervised' or 'dpo'."
        raise RequestError(text, code="unsupported_value", param="method", hint=hint)
    if body.integrations:
        text = "Integrations would upload your figures to somebody else, which is not allowed here."
        raise RequestError(text, code="unsupported_value", param="integrations")
    for param in ("training_file", "validation_file"):
        _check_file(house, getattr(body, param), param)
    if body.validation_file == body.training_file:
        text = "The validation file is the training file."
        raise RequestError(text, code="invalid_value", param="validation_file")
    asked, warnings = _asked(body)
    id_ = new_id("ftjob-")
    copy_files(house.ledger, id_, body.training_file, body.validation_file or "")
    if served.alias_of:
        text = f"{body.model} is an alias on this server; the model trained is {served.alias_of}"
        warnings.insert(0, text)
    told: list[tuple[Level, str]] = [("info", f"Created fine-tuning job: {id_}")]
    return house.ledger.add_job(
        id_,
        [*told, *(("warn", warning) for warning in warnings)],
        status="validating",
        dialect=dialect,
        model=body.model,
        base=served.base,
        parent=str(served.adapter or ""),
        training_file=body.training_file,
        validation_file=body.validation_file or "",
        suffix=body.suffix or "",
        seed=random.SystemRandom().randrange(2**31) if body.seed is None else body.seed,
        asked=asked,
        labels=body.metadata or {},
        repeat_key=repeat_key,
        lease_until=0.0,
    )


def _base_of(house: House, name: str) -> Served:
    """Return the model to go on from: the base, an alias of it, a fine-tuned model or a checkpoint."""
    try:
        served = house.experts.find(name)
    except RequestError as error:
        raise RequestError(
            error.message, code="model_not_found", param="model", hint=error.hint
        ) from error
    if served.kind not in ("base", "tuned") or served.base == "quote":
        text = f"'{name}' cannot be fine-tuned: it is no language model with weights of its own."
        hint = f"Fine-tune '{house.experts.base}', or a model that was fine-tuned here."
        raise RequestError(text, code="model_not_available", param="model", hint=hint)
    return served


def _check_file(house: House, file_id: str | None, param: str) -> None:
    if file_id is None:
        return
    try:
        stored = find_file(house.ledger, file_id)
    except NotFoundError as error:
        raise RequestError(error.message, code="invalid_file", param=param) from error
    if stored.purpose != "fine-tune":
        text = f"File '{file_id}' has the purpose '{stored.purpose}'."
        hint = "Upload it with purpose 'fine-tune'."
        raise RequestError(text, code="invalid_file", param=param, hint=hint)


def _asked(body: JobRequest) -> tuple[dict[str, Any], list[str]]:
    """Return the method and its hyperparameters as asked, and a warning for each field that is not used."""
    warnings = [f"'{name}' is not used by this server." for name in body.model_extra or ()]
    method = "supervised" if body.method is None else body.method.type
    part = None if body.method is None else getattr(body.method, method)
    inner = None if part is None else part.hyperparameters
    if inner is not None and body.hyperparameters is not None:
        warnings.append("Hyperparameters are given twice; those of 'method' count.")
    chosen = inner or body.hyperparameters or Hyperparameters()
    warnings += [f"Hyperparameter '{name}' is not used." for name in chosen.model_extra or ()]
    names = HYPERPARAMETERS[method]
    if chosen.beta is not None and "beta" not in names:
        warnings.append("Hyperparameter 'beta' belongs to the method dpo and is not used.")
    return {"method": method} | {n: getattr(chosen, n) or "auto" for n in names}, warnings


# --- lists ---------------------------------------------------------------------------------------


def _wanted_labels(request: Request) -> dict[str, str] | None:
    """Return the metadata to look for: None any, {} jobs without metadata."""
    params = request.query_params
    wanted = {
        name[len("metadata[") : -1]: value
        for name, value in params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    return wanted or ({} if params.get("metadata") == "null" else None)


def _matches(job: Job, wanted: dict[str, str]) -> bool:
    if not wanted:
        return not job.labels
    return all(job.labels.get(name) == value for name, value in wanted.items())

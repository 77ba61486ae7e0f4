"""/api/jobs: fine-tuning jobs as the page follows them, with their curve as a stream that can be listened to again.

Pause, resume and cancel are those of /v1/fine_tuning/jobs; a training that the page starts is such a job.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from pericia.errors import NotFoundError
from pericia.jobs import ENDED, Checkpoint, Event, Job, StepRecord
from pericia.server.house import House
from pericia.server.names import checkpoint_name, model_name
from pericia.server.wire import server_sent

POLL_S = 0.3
BEAT_S = 15.0
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

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
        "memory": _memory(house.ledger.job_folder(job_id)),
        "best": asdict(best) if best else None,
        "overfits": _overfits(steps),
        "mark": _mark(told[0].id if told else "", steps[-1].step if steps else 0),
    }


def _memory(folder: Path) -> dict[str, int] | None:
    """Return the memory of an ended training as foreseen and as measured; None before it ends, or where none was."""
    try:
        manifest = json.loads((folder / "adapter" / "pericia-manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    foreseen, measured = (manifest.get(f"{n}_memory_bytes") for n in ("foreseen", "peak"))
    if not foreseen or not measured:
        return None
    return {"foreseen_bytes": int(foreseen), "measured_bytes": int(measured)}


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

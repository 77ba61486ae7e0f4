"""GET /api/events: everything that changes while a page is open, as one stream with one rising mark.

An event's id is `TASKS.LEDGER`: the last task event and the last ledger event that were seen. A page that comes back
names the last id, by `Last-Event-ID` or `?after=`, and gets what it missed, each event once.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from pericia.jobs import Event, Job
from pericia.server.house import House
from pericia.server.wire import RequestError, server_sent

POLL_S = 0.3
BEAT_S = 15.0  # a comment this often keeps proxies from closing the line
_BATCH = 200
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/events")
    async def events(
        request: Request, topic: str = "", after: str | None = None, wait: bool = True
    ) -> Response:
        # A browser that repeats a broken line names its last event, and its address is still that of the first line.
        mark: str = request.headers.get("last-event-id") or after or ""
        mark = mark or await run_in_threadpool(now, house)
        topics = {one for one in topic.split(",") if one}
        first = await run_in_threadpool(since, house, mark)
        if not wait:
            data = [event for _, event in first if _is_wanted(event, topics)]
            return JSONResponse({"data": data, "after": first[-1][0] if first else mark})
        lines = _lines(house, request, first, mark, topics)
        return StreamingResponse(lines, media_type="text/event-stream", headers=_HEADERS)

    @router.get("/tasks")
    def tasks() -> Response:
        return JSONResponse({"data": [asdict(task) for task in house.tasks.all()]})

    @router.get("/tasks/{id_}")
    def task(id_: str) -> Response:
        return JSONResponse(asdict(house.tasks.get(id_)))

    @router.post("/tasks/{id_}/stop")
    def stop(id_: str) -> Response:
        return JSONResponse(asdict(house.tasks.stop(id_)))

    return router


def now(house: House) -> str:
    """Return the mark of this moment: what is older stands on the page already."""
    newest, _ = house.ledger.page(Event, limit=1)
    return f"{house.tasks.last_event()}.{newest[0].id if newest else ''}"


def since(house: House, mark: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events after a mark, oldest first, each with the mark that follows it.

    Raises:
        RequestError: the mark is none of ours.
    """
    tasks_seen, _, ledger_seen = mark.partition(".")
    if not tasks_seen.isdecimal():
        text = f"'after' is '{mark}', which is no id of an event."
        raise RequestError(text, code="invalid_value", param="after", hint="Leave it out.")
    found = []
    for change in house.tasks.events(int(tasks_seen), _BATCH):
        tasks_seen = str(change.seq)
        body = asdict(change.task)
        found.append((f"{tasks_seen}.{ledger_seen}", {"topic": f"task:{change.task.id}", **body}))
    told, _ = house.ledger.page(Event, limit=_BATCH, after=ledger_seen or None, newest_first=False)
    for event in told:
        ledger_seen = event.id
        jobs: list[Job] = house.ledger.all(Job, id=event.job_id)
        status = jobs[0].status if jobs else "deleted"
        body = {**asdict(event), "status": status, "metrics": dict(event.metrics)}
        found.append((f"{tasks_seen}.{ledger_seen}", {"topic": f"job:{event.job_id}", **body}))
    return found


def _is_wanted(event: dict[str, Any], topics: set[str]) -> bool:
    """Return whether a page follows an event: by its topic, or by the sort before the colon."""
    topic = str(event["topic"])
    return not topics or topic in topics or topic.partition(":")[0] in topics


async def _lines(
    house: House,
    request: Request,
    found: list[tuple[str, dict[str, Any]]],
    mark: str,
    topics: set[str],
) -> AsyncIterator[str]:
    yield f"retry: 1000\nid: {mark}\n: here\n\n"
    quiet_s = 0.0
    while not await request.is_disconnected():
        for mark, event in found:
            if _is_wanted(event, topics):
                quiet_s = 0.0
                yield f"id: {mark}\n{server_sent(event)}"
        if quiet_s >= BEAT_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(POLL_S)
        quiet_s += POLL_S
        found = await run_in_threadpool(since, house, mark)

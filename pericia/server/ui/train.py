"""Screen Train: what it takes, what it would learn, and its curve while it learns."""

import re
from functools import partial
from time import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from pericia.config import TrainConfig
from pericia.errors import PericiaError
from pericia.jobs import ENDED, Job
from pericia.plan import Plan
from pericia.server import fine_tuning
from pericia.server import workbench_examples as examples
from pericia.server import workbench_jobs as followed
from pericia.server import workbench_train as bench
from pericia.server.house import House
from pericia.server.ui import frame
from pericia.server.ui.frame import Frame
from pericia.server.ui.words import in_language
from pericia.server.workbench import working

_LEARNT = re.compile(r"⟦(.*?)⟧", re.DOTALL)
_SHOWN_EVENTS = 12
TIGHT = 0.8  # of the memory that there is


def routes(made: Frame) -> APIRouter:
    router = APIRouter(prefix="/train")
    house = made.house

    def show(request: Request, *, status: int = 200, **context: Any) -> HTMLResponse:
        jobs: list[Job] = house.ledger.all(Job)
        wanted = request.query_params.get("job", "")
        open_jobs = [job for job in jobs if job.status not in ENDED]
        shown = next((job for job in jobs if job.id == wanted), None)
        shown = shown or next(iter(open_jobs or jobs), None)
        check = house.tasks.newest("preflight")
        if check and shown and check.status == "done" and check.at < shown.created_at - 5:
            check = None  # it is about an earlier training
        values: dict[str, str] = {}
        if check and check.error and check.error["param"] == "anyway":  # what was chosen is kept
            values = {
                **check.params["settings"],
                "kind": check.params["kind"],
                "preset": "balanced",
            }
        about = bench.about(house)
        shared = {
            "about": about,
            "view": _with_own(house, followed.job_view(house, shown.id)) if shown else None,
            "jobs": [_with_own(house, followed.job_json(job)) for job in jobs],
            "check": check,
            "rows": [marked(text) for text in check.result["rows"]]
            if check and check.result
            else [],
            "translation": None,
            "values": values,
            "num_events": _SHOWN_EVENTS,
            "now": time(),
            "config": working(house),
        }
        return made.page(
            request, "train.html", screen="train", status=status, **{**shared, **context}
        )

    @router.get("")
    def train(request: Request) -> HTMLResponse:
        return show(request)

    @router.get("/live")
    def live(request: Request, job: str) -> HTMLResponse:
        view = _with_own(house, followed.job_view(house, job))
        return made.page(
            request, "train_live.html", view=view, num_events=_SHOWN_EVENTS, now=time()
        )

    @router.get("/plan")
    def plan(request: Request, method: str, max_tokens: str = "", epochs: str = "") -> HTMLResponse:
        try:
            found = _planned(made, method, max_tokens, epochs)
        except PericiaError as error:
            return made.page(request, "train_plan.html", method=method, error=error, plan=None)
        return made.page(
            request, "train_plan.html", method=method, error=None, plan=found, level=level(found)
        )

    @router.post("")
    async def start(request: Request) -> Response:
        async with request.form() as sent:
            values = {name: str(value) for name, value in sent.items()}
        return await run_in_threadpool(begin, request, values)

    def begin(request: Request, values: dict[str, str]) -> Response:
        base = working(house).train
        given = {n: v for n, v in values.items() if n in type(base).model_fields}
        chosen = values.get("preset", "balanced")
        if chosen in bench.PRESETS:
            given = {**given, **_still(bench.preset(base, chosen), given, base)}
        settings, faults = bench.read_settings(base, given)
        if not faults:
            body = bench.TrainRequest(
                kind="rag_fine_tuned" if values.get("kind") == "rag_fine_tuned" else "fine_tuned",
                settings={n: v for n, v in settings.model_dump().items() if v != getattr(base, n)},
                suffix="",
                start=values.get("act") == "start",
                anyway=bool(values.get("anyway")),
            )
            try:
                bench.begin(house, body)
                return RedirectResponse("/train#check", 303)
            except PericiaError as error:
                form = made.refused(request, values, error)
                return show(request, status=422, form=form, values=values)
        said = {name: in_language(text, made.language(request)) for name, text in faults.items()}
        return show(request, status=422, form=frame.Form(values, said), values=values)

    @router.post("/autotrain")
    async def autotrain(request: Request) -> Response:
        try:
            translation = bench.translation_json(await bench.translated(request))
        except PericiaError as error:
            form = made.refused(request, {"file": ""}, error)
            return await run_in_threadpool(partial(show, request, status=422, auto_form=form))
        values = {**translation["settings"], "preset": "balanced"}
        form = frame.Form(values, {})
        context: dict[str, Any] = {"translation": translation, "values": values, "form": form}
        return await run_in_threadpool(partial(show, request, **context))

    @router.post("/jobs/{job_id}/{act}")
    def steer(request: Request, job_id: str, act: str) -> Response:
        try:
            fine_tuning.steer(house, job_id, act)
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, {}, error))
        return RedirectResponse(f"/train?job={job_id}", 303)

    return router


def _with_own(house: House, job: dict[str, Any]) -> dict[str, Any]:
    return {**job, "own_settings": bench.own_settings(house, job["settings"])}


def _planned(made: Frame, method: str, max_tokens: str, epochs: str) -> Plan:
    """Return the plan with the time that these examples take here; the length is what the rows have, not the limit."""
    found = examples.lengths(made.house)
    lengths = [min(n, found["max_tokens"]) for n in found["lengths"]]
    given = int(max_tokens) if max_tokens.isdecimal() else int(found["max_tokens"])
    longest = min(given, max(lengths, default=given))
    rounds = int(epochs) if epochs.isdecimal() else bench.epochs_of(made.house, len(lengths))
    return bench.foreseen(
        made.house,
        "",
        method,
        max(32, longest),
        None,
        measure=True,
        num_tokens=sum(lengths) * rounds,
    )


def level(plan: Plan) -> str:
    """Return `fits`, `tight` or `does not fit`."""
    if not plan.fits:
        return "does not fit"
    return "tight" if plan.needed_bytes > TIGHT * plan.budget_bytes else "fits"


def marked(text: str) -> list[tuple[bool, str]]:
    """Return a decoded row in pieces, each with whether it counts in the loss.

    Example:
        >>> marked("How hot?⟦900 °C⟧")
        [(False, 'How hot?'), (True, '900 °C')]
    """
    parts = _LEARNT.split(text)
    return [(number % 2 == 1, part) for number, part in enumerate(parts) if part]


def _still(changed: dict[str, str], given: dict[str, str], base: TrainConfig) -> dict[str, str]:
    """Return what a preset changes, without the knobs that the form has set to something else than the project."""
    own = {knob["name"]: knob["value"] for knob in bench.knobs(base)}
    return {n: v for n, v in changed.items() if given.get(n, own[n]) == own[n]}

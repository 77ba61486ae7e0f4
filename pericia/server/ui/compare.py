"""Screen Compare: the arms with their intervals, their differences, what they cost, and every question behind it."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from pericia.config import ARM_NAMES
from pericia.errors import PericiaError
from pericia.evaluate.page import Against, mark_citations, matrix, outcomes, plain, scatter
from pericia.evaluate.scores import RIGHT_FROM
from pericia.server import workbench_runs as bench
from pericia.server.ui import frame
from pericia.server.ui.frame import Frame
from pericia.server.ui.playground import otherwise
from pericia.server.workbench import held_out, working
from pericia.server.workbench_questions import brought_in, place

PAGE_QUESTIONS = 40
_OUTCOMES = (
    "right and cited",
    "right",
    "right, not cited",
    "refused rightly",
)  # the good ones, best first


def routes(made: Frame) -> APIRouter:
    router = APIRouter(prefix="/compare")
    house = made.house

    def show(request: Request, *, status: int = 200, **context: Any) -> HTMLResponse:
        asked = request.query_params
        wanted, search = asked.get("filter", ""), asked.get("q", "")
        report, fault = bench.latest_report(house)
        if asked.get("run"):
            report = bench.report_of(bench.folder_of(house, asked["run"]))
        against: Against = "latency" if asked.get("x") == "latency" else "cost"
        questions, missing = held_out(house)
        runs = bench.runs(house)
        task = house.tasks.newest("run")
        shared: dict[str, Any] = {
            "report": report,
            "fault": fault,
            "num_questions": len(questions),
            "missing": missing,
            "has_questions": place(house).is_file(),
            "task": task,
            "partial": runs[0] if runs and not runs[0]["is_complete"] else None,
            "runs": runs,
            "config": working(house),
            "arm_names": ARM_NAMES,
            "stale": bench.stale_reasons(house, report) if report else [],
            "otherwise": otherwise(house),
        }
        if report is not None:
            found = bench.asked(report, wanted, search)
            shared |= {
                "run_id": report.facts["run"],
                "primary": report.primary_score,
                "ranked": sorted(
                    report.arms, key=lambda arm: -report.arms[arm].scores[report.primary_score].mean
                ),
                "matrix": matrix(report),
                "scatter": scatter(report, against),
                "against": against,
                "outcomes": sorted(outcomes(report), key=_goodness),
                "filters": bench.filters(report),
                "filter": wanted,
                "search": search,
                "asked": found[:PAGE_QUESTIONS],
                "num_asked": len(found),
                "right_from": RIGHT_FROM,
                "cited": mark_citations,
                "plain": plain,
            }
        return made.page(
            request, "compare.html", screen="compare", status=status, **{**shared, **context}
        )

    @router.get("")
    def compare(request: Request) -> HTMLResponse:
        return show(request)

    @router.post("")
    def start(request: Request, arms: Annotated[list[str] | None, Form()] = None) -> Response:
        try:
            if not arms:
                text = made.sentence(request, "Choose at least one arm.")
                return show(request, status=422, form=frame.Form({}, {"arms": text}))
            bench.begin(house, tuple(arms))
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, {"arms": ""}, error))
        return RedirectResponse("/compare", 303)

    @router.post("/questions")
    async def bring_in(request: Request) -> Response:
        try:
            await brought_in(house, request)
        except PericiaError as error:
            form = made.refused(request, {"file": ""}, error)
            return await run_in_threadpool(partial(show, request, status=422, questions_form=form))
        return RedirectResponse("/compare#again", 303)

    @router.post("/resume")
    def resume(request: Request, task: Annotated[str, Form()]) -> Response:
        try:
            house.tasks.resume(task)
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, {}, error))
        return RedirectResponse("/compare", 303)

    return router


def _goodness(outcome: tuple[str, list[int]]) -> int:
    """Return where an outcome stands: the good ones first, the others in the order of their number."""
    name, _ = outcome
    return _OUTCOMES.index(name) if name in _OUTCOMES else len(_OUTCOMES)

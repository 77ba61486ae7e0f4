"""Screen Recommendation: one sentence, what it rests on, and what would change it."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pericia.errors import PericiaError
from pericia.evaluate.recommend import REFUSALS
from pericia.server import workbench_runs as bench
from pericia.server.choice import choose, drop_choice, read_choice
from pericia.server.ui.frame import Frame
from pericia.server.workbench import working


def routes(made: Frame) -> APIRouter:
    router = APIRouter(prefix="/recommendation")
    house = made.house

    def show(request: Request, *, status: int = 200, **more: Any) -> HTMLResponse:
        report, fault = bench.latest_report(house)
        context: dict[str, Any] = {"report": report, "fault": fault, "config": working(house)}
        context["works"] = house.tasks.running("run") is not None
        if report is not None:
            context |= {
                "advice": report.recommendation,
                "is_arm": report.recommendation.arm not in REFUSALS,
                "stale": bench.stale_reasons(house, report),
                "run_id": report.facts["run"],
                "primary": report.primary_score,
                "choice": read_choice(bench.folder_of(house, str(report.facts["run"]))),
            }
        return made.page(
            request,
            "recommendation.html",
            screen="recommendation",
            status=status,
            **{**context, **more},
        )

    @router.get("")
    def recommendation(request: Request) -> HTMLResponse:
        return show(request)

    @router.post("/choice")
    def take(
        request: Request,
        run: Annotated[str, Form()],
        arm: Annotated[str, Form()] = "",
        note: Annotated[str, Form()] = "",
    ) -> Response:
        try:
            folder = bench.folder_of(house, run)
            choose(folder, bench.report_of(folder), arm, note)
        except PericiaError as error:
            form = made.refused(request, {"arm": arm, "note": note}, error)
            return show(request, status=422, form=form)
        return RedirectResponse("/recommendation", 303)

    @router.post("/follow")
    def follow(run: Annotated[str, Form()]) -> Response:
        drop_choice(bench.folder_of(house, run))
        return RedirectResponse("/recommendation", 303)

    return router

"""Screen Recommendation: one sentence, what it rests on, and what would change it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.evaluate.recommend import REFUSALS
from pericia.server import workbench_runs as bench
from pericia.server.ui.frame import Frame
from pericia.server.workbench import working


def routes(made: Frame) -> APIRouter:
    router = APIRouter()
    house = made.house

    @router.get("/recommendation")
    def recommendation(request: Request) -> HTMLResponse:
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
            }
        return made.page(request, "recommendation.html", screen="recommendation", **context)

    return router

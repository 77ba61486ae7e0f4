"""Screen Home: where this project stands, and what to do next."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server import project
from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    house = frame.house

    def facts(request: Request) -> dict[str, Any]:
        found = project.steps(house)
        return {
            "screen": "home",
            "next": project.next_step(found),
            "about": project.about(house),
            "steps": found,
        }

    @router.get("/")
    def page(request: Request) -> HTMLResponse:
        return frame.page(request, "home.html", **facts(request))

    @router.get("/home/steps")
    def steps(request: Request) -> HTMLResponse:
        return frame.page(request, "home_steps.html", **facts(request))

    return router

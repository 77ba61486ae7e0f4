"""Screen Home: where this project stands, and what to do next."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server import project
from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    house = frame.house

    @router.get("/")
    def page(request: Request) -> HTMLResponse:
        found = project.steps(house)
        context: dict[str, Any] = {"steps": found, "next": project.next_step(found)}
        return frame.page(
            request, "home.html", screen="home", about=project.about(house), **context
        )

    @router.get("/home/steps")
    def steps(request: Request) -> HTMLResponse:
        found = project.steps(house)
        return frame.part(request, "home_steps.html", steps=found, next=project.next_step(found))

    return router

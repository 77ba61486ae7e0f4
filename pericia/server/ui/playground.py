"""Screen Playground."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/playground")
    def playground(request: Request) -> HTMLResponse:
        return frame.page(request, "playground.html", screen="playground")

    return router

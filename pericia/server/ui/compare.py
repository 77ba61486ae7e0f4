"""Screen Compare."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/compare")
    def compare(request: Request) -> HTMLResponse:
        return frame.page(request, "compare.html", screen="compare")

    return router

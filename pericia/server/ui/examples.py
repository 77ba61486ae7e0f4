"""Screen Examples."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/examples")
    def examples(request: Request) -> HTMLResponse:
        return frame.page(request, "examples.html", screen="examples")

    return router

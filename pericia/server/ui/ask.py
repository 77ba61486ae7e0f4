"""Screen Ask."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/ask")
    def ask(request: Request) -> HTMLResponse:
        return frame.page(request, "ask.html", screen="ask")

    return router

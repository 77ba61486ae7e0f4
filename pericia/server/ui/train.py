"""Screen Train."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/train")
    def train(request: Request) -> HTMLResponse:
        return frame.page(request, "train.html", screen="train")

    return router

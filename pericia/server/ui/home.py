"""Screen Home."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def home(request: Request) -> HTMLResponse:
        return frame.page(request, "home.html", screen="home")

    return router

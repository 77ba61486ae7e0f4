"""Screen Recommendation."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/recommendation")
    def recommendation(request: Request) -> HTMLResponse:
        return frame.page(request, "recommendation.html", screen="recommendation")

    return router

"""Screen Documents."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.server.ui.frame import Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/documents")
    def documents(request: Request) -> HTMLResponse:
        return frame.page(request, "documents.html", screen="documents")

    return router

"""The page at `/`: one file a screen, put together here, with what no screen owns (login, settings, static files)."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Scope

from pericia.errors import PericiaError
from pericia.server.house import House
from pericia.server.ui import (
    ask,
    compare,
    documents,
    examples,
    frame,
    home,
    playground,
    recommendation,
    set_up,
    train,
    words,
)
from pericia.server.ui.door import SESSION, is_page, session_of
from pericia.server.ui.heard import heard

SCREENS = (home, set_up, documents, ask, examples, train, compare, recommendation, playground)
_YEAR_S = 365 * 24 * 3600


class _Kept(StaticFiles):
    """Static files; those whose address holds their hash are never asked for twice, the others when they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        is_named_by_hash = scope["query_string"].startswith(b"v=")
        kept = f"public, max-age={_YEAR_S}, immutable" if is_named_by_hash else "no-cache"
        response.headers["cache-control"] = kept
        return response


def add_pages(app: FastAPI, house: House, key: str) -> None:
    """Add every screen to the app, and let people read its errors as pages."""
    made = frame.Frame(house)
    app.mount("/static", _Kept(directory=frame.STATIC), name="static")
    for screen in SCREENS:
        app.include_router(screen.routes(made), include_in_schema=False)
    app.include_router(_own(made, key), include_in_schema=False)
    _speak_of_errors(app, made)


def _own(made: frame.Frame, key: str) -> APIRouter:
    router = APIRouter()

    @router.get("/parts/steps")
    def steps(request: Request, screen: str = "") -> HTMLResponse:
        return made.page(request, "side.html", screen=screen)

    @router.get("/parts/tray")
    def tray(request: Request) -> HTMLResponse:
        return made.part(request, "tray.html", tray=frame.tray(made.house))

    @router.post("/tasks/{id_}/stop")
    def stop(request: Request, id_: str) -> Response:
        made.house.tasks.stop(id_)
        if "hx-request" in request.headers:
            return Response(status_code=204)
        return RedirectResponse(_local(request.headers.get("referer", "/")), 303)

    @router.post("/settings")
    def settings(
        theme: Annotated[str, Form()] = "",
        language: Annotated[str, Form()] = "",
        back: Annotated[str, Form()] = "/",
    ) -> Response:
        response = RedirectResponse(_local(back), 303)
        if theme in ("auto", "light", "dark"):
            response.set_cookie("theme", theme, max_age=_YEAR_S, samesite="lax")
        if language in words.LANGUAGES:
            response.set_cookie("language", language, max_age=_YEAR_S, samesite="lax")
        return response

    @router.get("/login")
    def login(request: Request, next: str = "/") -> HTMLResponse:  # noqa: A002
        return made.part(request, "login.html", next=next)

    @router.post("/login")
    def enter(
        request: Request,
        given: Annotated[str, Form(alias="key")] = "",
        next: Annotated[str, Form()] = "/",  # noqa: A002
    ) -> Response:
        if key and session_of(given) != session_of(key):
            text = made.sentence(request, "This is not the key of this server.")
            form = frame.Form({"key": ""}, {"key": text})
            return made.part(request, "login.html", status=422, next=next, form=form)
        response = RedirectResponse(_local(next), 303)
        response.set_cookie(SESSION, session_of(key), httponly=True, samesite="strict")
        return response

    return router


def _local(address: str) -> str:
    """Return the path of an address on this server, so that no form sends a reader elsewhere."""
    parts = urlsplit(address)
    path = "/" + parts.path.lstrip("/\\")
    return f"{path}?{parts.query}" if parts.query else path


def _speak_of_errors(app: FastAPI, made: frame.Frame) -> None:
    """Show errors as pages to those who asked for pages; programs and HTMX get the JSON that they had."""

    def negotiated(kind: type[Exception]) -> None:
        before = app.exception_handlers[kind]

        def handler(request: Request, error: Exception) -> Response:
            answer: Response = before(request, error)  # type: ignore[assignment]
            asked = request.headers.get("accept", "")
            for_people = "text/html" in asked and "hx-request" not in request.headers
            if not for_people or not is_page(request.url.path):
                return answer
            hint = ""
            message = made.sentence(
                request, "The server met a fault of its own; its log has the details."
            )
            if isinstance(error, PericiaError):
                language = made.language(request)
                message = heard(error.message, language)
                hint = heard(error.hint, language)
            elif isinstance(error, HTTPException) and error.status_code == 404:
                message = made.sentence(request, "There is no such page here.")
            elif isinstance(error, HTTPException | RequestValidationError):
                message = made.sentence(request, "The page could not read what was sent.")
            status = answer.status_code
            context = {"message": message, "hint": hint, "code": status}
            return made.part(request, "error.html", status=status, **context)

        app.add_exception_handler(kind, handler)

    for kind in (PericiaError, RequestValidationError, HTTPException, Exception):
        negotiated(kind)

"""The set-up form: a few questions, shown at the top of Home in a folder that has no settings yet."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Form as Field
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from pericia.errors import PericiaError
from pericia.models import MODELS
from pericia.plan import plan
from pericia.server import set_up
from pericia.server.ui.frame import Form, Frame
from pericia.server.ui.train import level

Text = Annotated[str, Field()]


def routes(made: Frame) -> APIRouter:
    router = APIRouter(prefix="/set-up")
    house = made.house

    @router.get("")
    def page(request: Request) -> Response:
        if set_up.is_set_up(house):
            return RedirectResponse("/", 303)
        first, proposal = set_up.proposed(house)
        return show(request, Form(_values(first)), why=proposal.why)

    def show(request: Request, form: Form, *, why: str = "", status: int = 200) -> HTMLResponse:
        known = list(dict.fromkeys([form.values["model"], *MODELS]))
        return made.page(
            request, "set_up.html", screen="home", form=form, why=why, known=known, status=status
        )

    @router.get("/model")
    def model(request: Request, model: str = "") -> HTMLResponse:
        name = model.strip()
        context: dict[str, Any] = {"model": name, "plan": None, "level": "", "fault": ""}
        if (fault := set_up.fault_of_model(name, house.workspace.root)) is not None:
            context["fault"] = made.words_of(request, fault)
        elif name != "quote" and ":" not in name:
            try:
                found = plan(name)
                context |= {"plan": found, "level": level(found)}
            except PericiaError as error:
                context["fault"] = made.words_of(request, error)
        return made.part(request, "set_up_model.html", **context)

    @router.post("")
    async def begin(
        request: Request,
        name: Text = "",
        documents: Text = "",
        model: Text = "",
        goal: Text = "",
        data_change: Text = "yearly",
        citations_required: Text = "",
        requests_per_month: Text = "1000",
    ) -> Response:
        asked = set_up.SetUp(
            name=name,
            documents=documents,
            model=model,
            goal=goal,
            data_change=data_change,
            citations_required=bool(citations_required),
            requests_per_month=requests_per_month,
        )
        values = _values(asked)
        found = await run_in_threadpool(set_up.faults, house, asked)
        if found:
            faults = {field: made.words_of(request, error) for field, error in found.items()}
            return await run_in_threadpool(show, request, Form(values, faults), status=422)
        try:
            settings = await run_in_threadpool(set_up.written, house, asked)
        except PericiaError as error:
            form = made.refused(request, values, error)
            return await run_in_threadpool(show, request, form, status=422)
        await house.renew(settings)
        return RedirectResponse("/documents", 303)

    return router


def _values(asked: set_up.SetUp) -> dict[str, str]:
    texts = {name: str(value) for name, value in asked.model_dump().items()}
    return {**texts, "citations_required": "true" if asked.citations_required else ""}

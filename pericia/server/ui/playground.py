"""Screen Playground and deploy: two answers side by side, and what other programs need to get them."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pericia import exporters
from pericia.errors import PericiaError
from pericia.jobs import Job
from pericia.server import keys
from pericia.server import workbench_serve as bench
from pericia.server.gate import SCOPES
from pericia.server.house import House
from pericia.server.ui import frame
from pericia.server.ui.frame import Frame
from pericia.server.workbench_jobs import job_json
from pericia.server.workbench_train import own_settings

Text = Annotated[str, Form()]
CLIENTS = ("openai", "azure", "curl", "javascript")


def routes(made: Frame) -> APIRouter:
    router = APIRouter(prefix="/playground")
    house = made.house

    def show(request: Request, *, status: int = 200, **context: Any) -> HTMLResponse:
        asked = request.query_params
        served = house.experts.served()
        chat = [one for one in served if one.kind != "embedder" and not one.alias_of]
        names = [one.name for one in chat]
        left, right = bench.two_models(names, house.config.name, house.config.model)
        shared = {
            "chat": chat,
            "aliases": [one for one in served if one.alias_of],
            "left": asked["left"] if asked.get("left") in names else left,
            "right": asked["right"] if asked.get("right") in names else right,
            "snippets": bench.snippets(house, str(request.base_url), asked.get("model", ""), ""),
            "clients": CLIENTS,
            "deployments": bench.deployments(house),
            "adapters": bench.adapters(house),
            "exports": bench.exports(house),
            "formats": sorted(exporters.CHAINS),
            "exporting": house.tasks.newest("export"),
            "otherwise": otherwise(house),
            "keyed": house.gate.is_on,
            "keys": keys.listed(house),
            "scopes": SCOPES,
            "new_key": "",
            "address": str(request.base_url),
            "said": asked.get("said", ""),
        }
        return made.page(
            request, "playground.html", screen="playground", status=status, **{**shared, **context}
        )

    @router.get("")
    def playground(request: Request) -> HTMLResponse:
        return show(request)

    @router.post("/deployments")
    def deploy(request: Request, name: Text = "", model: Text = "") -> Response:
        try:
            bench.deployed(house, bench.NewDeployment(name=name, model=model))
        except PericiaError as error:
            values = {"name": name, "model": model}
            return show(request, status=422, deploy_form=made.refused(request, values, error))
        return RedirectResponse("/playground?said=deployed#deployments", 303)

    @router.post("/deployments/remove")
    def undeploy(request: Request, name: Text) -> Response:
        bench.undeployed(house, name)
        return RedirectResponse("/playground#deployments", 303)

    @router.post("/keys")
    def make_key(
        request: Request, label: Text = "", scopes: Annotated[list[str] | None, Form()] = None
    ) -> Response:
        faults, chosen = {}, [scope for scope in SCOPES if scope in (scopes or ())]
        if not label.strip() or len(label) > keys.LABEL_LENGTH:
            text = "Say in up to %(n)s letters who or what uses it."
            faults["label"] = made.sentence(request, text, n=keys.LABEL_LENGTH)
        if not chosen:
            faults["scopes"] = made.sentence(request, "Choose at least one thing that it may do.")
        form = frame.Form({"label": label, "scopes": ",".join(chosen)}, faults)
        if faults:
            return show(request, status=422, key_form=form)
        _, text = keys.made(house, label, chosen)
        return show(
            request, new_key=text
        )  # no redirect: an address that shows a key could be opened twice

    @router.post("/keys/{key_id}/revoke")
    def revoke(request: Request, key_id: str) -> Response:
        try:
            keys.revoked(house, key_id)
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, {}, error))
        return RedirectResponse("/playground?said=revoked#keys", 303)

    @router.post("/exports")
    def export(request: Request, adapter: Text = "", format: Text = "") -> Response:  # noqa: A002
        try:
            bench.begin_export(house, bench.ExportRequest(adapter=adapter or "–", format=format))
        except PericiaError as error:
            values = {"adapter": adapter, "format": format}
            return show(request, status=422, export_form=made.refused(request, values, error))
        return RedirectResponse("/playground#exports", 303)

    return router


def otherwise(house: House) -> dict[str, list[str]]:
    """Return by its name each model of the page that was trained with other settings, and which: no arm is measured so."""
    jobs = (job_json(job) for job in house.ledger.all(Job))
    own = {job["name"]: own_settings(house, job["settings"]) for job in jobs if job["name"]}
    return {name: names for name, names in own.items() if names}

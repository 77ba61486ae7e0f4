"""Azure's management path: a deployment is a second name for a model, made at once and kept until it is deleted."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from pericia.jobs import Deployment
from pericia.server.house import House
from pericia.server.schemas import DeploymentRequest
from pericia.server.wire import RequestError

_TYPE = "Microsoft.CognitiveServices/accounts/deployments"
_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers"
    "/Microsoft.CognitiveServices/accounts/{account}/deployments"
)


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix=_PATH)
    ledger = house.ledger

    def find(name: str) -> Deployment:
        deployments: list[Deployment] = ledger.all(Deployment)
        known = {deployment.id: deployment for deployment in deployments}
        if name not in known:
            shown = ", ".join(known) or "none"
            text = f"The deployment '{name}' does not exist."
            hint = f"Deployments: {shown}."
            raise RequestError(text, code="DeploymentNotFound", status=404, hint=hint)
        return known[name]

    # Azure's guides print POST for PUT
    @router.put("/{name:path}")
    @router.post("/{name:path}", include_in_schema=False)
    def deploy(name: str, body: DeploymentRequest) -> Response:
        model = body.properties.model
        if house.experts.model_named(model.name) is None:
            raise _unsupported(house, model.name)
        is_new = name not in {deployment.id for deployment in ledger.all(Deployment)}
        ledger.remove(Deployment, name)
        asked = {"format": model.format, "name": model.name, "version": model.version}
        made = ledger.add(Deployment, name, model=model.name, sku=dict(body.sku), asked=asked)
        return JSONResponse(_shape(made), 201 if is_new else 200)

    @router.get("")
    def list_deployments() -> Response:
        return JSONResponse({"value": [_shape(one) for one in ledger.all(Deployment)]})

    @router.get("/{name:path}")
    def retrieve(name: str) -> Response:
        return JSONResponse(_shape(find(name)))

    @router.delete("/{name:path}")
    def delete(name: str) -> Response:
        find(name)
        ledger.remove(Deployment, name)
        return Response(status_code=200)

    return router


def _unsupported(house: House, model: str) -> RequestError:
    """Return the refusal of a deployment whose model is none: Azure takes models only, not other deployments."""
    stands_for = {one.id: one.model for one in house.ledger.all(Deployment)}
    text = f"The model '{model}' does not exist, so it cannot be deployed."
    hint = "GET /v1/models lists what can be."
    if model in stands_for:
        text = f"'{model}' is a deployment, and a deployment stands for a model."
        hint = f"Name its model: '{stands_for[model]}'."
    code = "DeploymentModelNotSupported"
    return RequestError(text, code=code, param="properties.model.name", hint=hint)


def _shape(deployment: Deployment) -> dict[str, Any]:
    properties = {"model": dict(deployment.asked), "provisioningState": "Succeeded"}
    names = {"id": f"/deployments/{deployment.id}", "name": deployment.id, "type": _TYPE}
    return {**names, "sku": dict(deployment.sku), "properties": properties}

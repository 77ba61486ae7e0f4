"""GET /models, GET and DELETE /models/{id}: everything that has a name here, and what it really is."""

import shutil
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pericia.jobs import Checkpoint, Deployment, Job
from pericia.server.house import House
from pericia.server.names import tuned_models
from pericia.server.served import Served
from pericia.server.wire import RequestError


def routes(house: House) -> APIRouter:
    router = APIRouter()

    @router.get("/models")
    def list_models() -> Response:
        data = [_shape(served) for served in house.experts.served()]
        return JSONResponse({"object": "list", "data": data})

    @router.get("/models/{model_id:path}")
    def retrieve(model_id: str, request: Request) -> Response:
        is_azure = request.url.path.startswith("/openai/")
        return JSONResponse(_shape(house.experts.find(model_id, in_deployments=is_azure)))

    @router.delete("/models/{model_id:path}")
    def delete(model_id: str, request: Request) -> Response:
        tuned = tuned_models(house.ledger)
        if model_id not in tuned:
            served = house.experts.find(model_id)
            text = f"'{served.name}' was not fine-tuned here, so it cannot be deleted."
            raise RequestError(text, code="invalid_value", param="model")
        one = tuned[model_id]
        same = {name for name, other in tuned.items() if other.folder == one.folder}
        for deployment in house.ledger.all(Deployment):
            if deployment.model in same:
                text = f"'{model_id}' is deployed as '{deployment.id}'."
                raise RequestError(
                    text, code="model_in_use", param="model", hint="Delete the deployment first."
                )
        for job in house.ledger.all(Job):
            if job.parent == str(one.folder) and job.finished_at is None:
                text = f"Fine-tuning job '{job.id}' goes on from '{model_id}'."
                raise RequestError(
                    text, code="model_in_use", param="model", hint="Cancel it first."
                )
        checkpoints = house.ledger.all(Checkpoint, job_id=one.job.id)
        kept = next((c for c in checkpoints if c.folder == str(one.folder)), None)
        if kept is not None:
            house.ledger.remove(Checkpoint, kept.id)
        else:
            house.ledger.set_job(one.job.id, is_served=False)
        shutil.rmtree(one.folder, ignore_errors=True)
        return JSONResponse({"id": model_id, "object": "model", "deleted": True})

    return router


def _shape(served: Served) -> dict[str, Any]:
    about = {"kind": served.kind, "base": served.base}
    if served.alias_of:
        about["alias_of"] = served.alias_of
    if served.arm:
        about["arm"] = served.arm
    shape = {"id": served.name, "object": "model", "created": int(served.created)}
    return {**shape, "owned_by": "pericia", "shutdown_date": None, "pericia": about}

"""/api/adapters, /api/exports, /api/deployments and /api/snippets: what can be asked, handed over and called."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from pericia import exporters, registry
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.jobs import Deployment
from pericia.said import said
from pericia.server.house import House
from pericia.server.names import tuned_models
from pericia.server.tasks import Task
from pericia.server.workbench import working


class ExportRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    adapter: str = Field(min_length=1)
    format: str


class NewDeployment(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    model: str


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/adapters")
    def list_adapters() -> Response:
        return JSONResponse({"data": adapters(house)})

    @router.get("/exports")
    def list_exports() -> Response:
        return JSONResponse({"data": exports(house), "formats": sorted(exporters.CHAINS)})

    @router.post("/exports")
    def export(body: ExportRequest) -> Response:
        return JSONResponse(asdict(begin_export(house, body)), 202)

    @router.get("/deployments")
    def list_deployments() -> Response:
        return JSONResponse({"data": [asdict(one) for one in deployments(house)]})

    @router.post("/deployments")
    def deploy(body: NewDeployment) -> Response:
        return JSONResponse(asdict(deployed(house, body)), 201)

    @router.delete("/deployments/{name:path}")
    def undeploy(name: str) -> Response:
        undeployed(house, name)
        return JSONResponse({"id": name, "deleted": True})

    @router.get("/snippets")
    def list_snippets(request: Request, model: str = "", question: str = "") -> Response:
        return JSONResponse(snippets(house, str(request.base_url), model, question))

    return router


def adapters(house: House) -> list[dict[str, Any]]:
    """Return every adapter that can be exported: those of the arms, and the models that jobs have made."""
    found: list[dict[str, Any]] = [
        {"id": one.id, "kind": one.kind, "base": one.base, "created": one.manifest.get("created")}
        for one in reversed(registry.adapters(house.workspace.adapters))
    ]
    seen = set()
    for tuned in tuned_models(house.ledger).values():
        if tuned.name.startswith("ft:") and tuned.folder not in seen:
            seen.add(tuned.folder)
            created = {"created": tuned.created}
            found.append({"id": tuned.name, "kind": "tuned", "base": tuned.job.base, **created})
    return found


def begin_export(house: House, body: ExportRequest) -> Task:
    """Start an export.

    Raises:
        InputError: there is no such format. ConflictError: one is at work.
    """
    if body.format not in exporters.CHAINS:
        hint = said("Available: %(known)s.", known=", ".join(sorted(exporters.CHAINS)))
        raise InputError(
            said("There is no format '%(format)s'.", format=body.format), hint=hint, param="format"
        )
    if body.adapter not in {one["id"] for one in adapters(house)}:
        text = said("There is no adapter '%(name)s'.", name=body.adapter)
        raise NotFoundError(text, hint=said("See: GET /api/adapters"), param="adapter")
    params = {"adapter": body.adapter, "format": body.format}
    return house.tasks.start("export", house.workspace, working(house), params)


def exports(house: House) -> list[dict[str, Any]]:
    """Return what was exported, with the result of the parity gate."""
    found = []
    for path in sorted((house.workspace.state / "exports").glob(f"*/{registry.MANIFEST}")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())
        kept = ("format", "status", "precision", "adapter", "base", "parity")
        shown = {name: manifest.get(name) for name in kept}
        found.append({**shown, "path": str(path.parent), "num_bytes": size})
    return found


def deployments(house: House) -> list[Deployment]:
    """Return the deployments, newest first."""
    found: list[Deployment] = house.ledger.all(Deployment)
    return found


def deployed(house: House, body: NewDeployment) -> Deployment:
    """Return a new deployment: a name of one's own for a model.

    Raises:
        InputError: the name is no good. ConflictError: it is taken. RequestError: there is no such model.
    """
    name = body.name.strip()
    if not name or not all(c.isalnum() or c in "._-" for c in name) or len(name) > 64:
        text = said("'%(name)s' is no name for a deployment.", name=body.name)
        hint = said("Use up to 64 letters, digits, '.', '_' and '-'.")
        raise InputError(text, hint=hint, param="name")
    if any(one.id == name for one in deployments(house)):
        raise ConflictError(
            said("'%(name)s' exists already.", name=name),
            hint=said("Choose another."),
            param="name",
        )
    house.experts.find(body.model)
    made: Deployment = house.ledger.add(Deployment, name, model=body.model, sku={}, asked={})
    return made


def undeployed(house: House, name: str) -> None:
    """Take a deployment back; its model stays.

    Raises:
        NotFoundError: there is none of this name.
    """
    house.ledger.get(Deployment, name)
    house.ledger.remove(Deployment, name)


def two_models(names: Sequence[str], project: str, base: str) -> tuple[str, str]:
    """Return which two models are worth looking at side by side: the advised one, and the base or the newest tuned.

    Example:
        >>> two_models(["pumps", "pumps:rag", "nano", "ft:nano:local:x:1"], "pumps", "nano")
        ('pumps', 'ft:nano:local:x:1')
    """
    tuned = next((name for name in names if name.startswith("ft:")), base)
    return (project if project in names else base), tuned


def snippets(house: House, root: str, model: str, question: str) -> dict[str, str]:
    """Return programs that ask this server, ready to run, by the name of their language or client."""
    base, name = root.rstrip("/"), model or house.config.name
    asked = question or "What can you tell me?"
    body = json.dumps(
        {"model": name, "messages": [{"role": "user", "content": asked}]}, ensure_ascii=False
    )
    quoted = body.replace("'", "'\\''")
    said, named = json.dumps(asked, ensure_ascii=False), json.dumps(name)
    call = (
        f"answer = client.chat.completions.create(\n    model={named},\n"
        f'    messages=[{{"role": "user", "content": {said}}}],\n)\n'
        "print(answer.choices[0].message.content)\n"
    )
    return {
        "curl": (
            f"curl {base}/v1/chat/completions \\\n  -H 'Content-Type: application/json' \\\n"
            f"  -H \"Authorization: Bearer $PERICIA_API_KEY\" \\\n  -d '{quoted}'\n"
        ),
        "openai": (
            "import os\n\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(\n    base_url="{base}/v1",\n'
            '    api_key=os.environ.get("PERICIA_API_KEY", "none"),\n)\n' + call
        ),
        "azure": (
            "import os\n\nfrom openai import AzureOpenAI\n\n"
            f'client = AzureOpenAI(\n    azure_endpoint="{base}",\n    api_version="2024-10-21",\n'
            '    api_key=os.environ.get("PERICIA_API_KEY", "none"),\n)\n' + call
        ),
        "javascript": (
            f"const answer = await fetch('{base}/v1/chat/completions', {{\n"
            "  method: 'POST',\n  headers: { 'Content-Type': 'application/json' },\n"
            f"  body: JSON.stringify({body}),\n}});\n"
            "console.log((await answer.json()).choices[0].message.content);\n"
        ),
    }

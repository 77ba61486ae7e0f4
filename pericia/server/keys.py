"""/api/keys: keys with a scope are made, listed and deleted by the owner."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from pericia.jobs import Key
from pericia.server.gate import Gate, Scope, make_key
from pericia.server.house import House
from pericia.server.schemas import Request


class KeyRequest(Request):
    label: str = Field(min_length=1, max_length=100)
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]


def routes(house: House, gate: Gate) -> APIRouter:
    router = APIRouter(prefix="/api/keys")

    @router.post("")
    def make(body: KeyRequest) -> Response:
        row, text = make_key(house.ledger, body.label, frozenset(body.scopes))
        gate.forget()
        return JSONResponse({**_shape(row), "key": text}, 201)

    @router.get("")
    def list_keys() -> Response:
        rows: list[Key] = house.ledger.all(Key)
        return JSONResponse({"object": "list", "data": [_shape(row) for row in rows]})

    @router.delete("/{key_id}")
    def delete(key_id: str) -> Response:
        house.ledger.get(Key, key_id)
        house.ledger.remove(Key, key_id)
        gate.forget()
        return JSONResponse({"id": key_id, "object": "key", "deleted": True})

    return router


def _shape(row: Key) -> dict[str, Any]:
    head = {"id": row.id, "object": "key", "created_at": int(row.created_at)}
    return {**head, "label": row.label, "scopes": row.scope.split(",")}

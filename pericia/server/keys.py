"""/api/keys: keys with a scope are made, listed and deleted by the owner."""

from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from pericia.jobs import Key
from pericia.said import said
from pericia.server.gate import Scope, make_key
from pericia.server.house import House
from pericia.server.schemas import Request
from pericia.server.wire import RequestError

LABEL_LENGTH = 100


class KeyRequest(Request):
    label: str = Field(min_length=1, max_length=LABEL_LENGTH, pattern=r"\S")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api/keys")

    @router.post("")
    def make(body: KeyRequest) -> Response:
        row, text = made(house, body.label, body.scopes)
        return JSONResponse({**shape(row), "key": text}, 201)

    @router.get("")
    def list_keys() -> Response:
        return JSONResponse({"object": "list", "data": listed(house)})

    @router.delete("/{key_id}")
    def delete(key_id: str) -> Response:
        revoked(house, key_id)
        return JSONResponse({"id": key_id, "object": "key", "deleted": True})

    return router


def made(house: House, label: str, scopes: Collection[str]) -> tuple[Key, str]:
    """Return a new key's row and the key itself, which is not kept: its hash is.

    Raises:
        RequestError: no key is asked for here, so another one would keep nobody out.
    """
    if not house.gate.is_on:
        text = said("This server asks for no key, so a new one would keep nobody out.")
        hint = said("Set PERICIA_API_KEY, the owner's key, and start the server again.")
        raise RequestError(text, code="keys_are_off", hint=hint)
    row, made = make_key(house.ledger, label.strip(), frozenset(scopes))
    house.gate.forget()
    return row, made


def listed(house: House) -> list[dict[str, Any]]:
    """Return all keys, newest first, by what they may do and never by what they are."""
    rows: list[Key] = house.ledger.all(Key)
    return [shape(row) for row in rows]


def revoked(house: House, key_id: str) -> None:
    """Take a key back: nothing is answered to it any more.

    Raises:
        NotFoundError: there is none of this id.
    """
    house.ledger.get(Key, key_id)
    house.ledger.remove(Key, key_id)
    house.gate.forget()


def shape(row: Key) -> dict[str, Any]:
    """Return a key as the API shows it."""
    head = {"id": row.id, "object": "key", "created_at": int(row.created_at)}
    return {**head, "label": row.label, "scopes": row.scope.split(",")}

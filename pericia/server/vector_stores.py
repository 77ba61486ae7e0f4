"""Vector stores: the industry's own index is one, `vs_NAME`, filled by `pericia add`; requests make, fill and drop others."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from pericia.errors import NotFoundError
from pericia.jobs import AttachedFile, StoreRecord, new_id
from pericia.server.attachments import attached_id, search
from pericia.server.house import House
from pericia.server.open_stores import open_stores, own_store_id
from pericia.server.store_schemas import (
    AttachChange,
    AttachRequest,
    BatchRequest,
    SearchRequest,
    StoreChange,
    StoreRequest,
)
from pericia.server.store_shapes import (
    STATES,
    batch_shape,
    file_shape,
    own_shape,
    result_shape,
    store_shape,
)
from pericia.server.uploads import find_file
from pericia.server.wire import RequestError, page

MAX_LIMIT = 100
Limit = Annotated[int, Query(ge=1)]


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/vector_stores")
    ledger = house.ledger
    own = own_store_id(house)

    def made(id_: str, what: str = "changed") -> StoreRecord:
        """Return a store that requests may change."""
        if id_ == own:
            text = f"'{own}' is the industry's own index and cannot be {what} by requests."
            raise RequestError(text, code="unsupported_value", hint="Use: pericia add PATH")
        record: StoreRecord = ledger.get(StoreRecord, id_)
        return record

    def attached(id_: str, file_id: str) -> AttachedFile:
        made(id_, "looked into")
        try:
            found: AttachedFile = ledger.get(AttachedFile, attached_id(id_, file_id))
        except NotFoundError as error:
            text = f"No such file in the vector store '{id_}': {file_id}"
            raise RequestError(text, code="not_found", status=404) from error
        return found

    # --- stores ------------------------------------------------------------------------------

    @router.get("")
    def list_stores(limit: Limit = 20, order: str = "desc", after: str | None = None) -> Response:
        newest = _is_newest_first(order)
        limit = min(limit, MAX_LIMIT)
        found, has_more = ledger.page(StoreRecord, limit=limit, after=after, newest_first=newest)
        shapes = [store_shape(house, record) for record in found]
        if after is None and len(shapes) < limit:
            shapes.append(own_shape(house))
        return JSONResponse(page(shapes, lambda shape: shape, has_more=has_more))

    @router.post("")
    def create(body: StoreRequest) -> Response:
        _refuse_expiry(body.expires_after)
        _check_files(house, body.file_ids or [])
        name, description = body.name or "", body.description or ""
        labels = body.metadata or {}
        record = ledger.add(
            StoreRecord, new_id("vs_"), name=name, description=description, labels=labels
        )
        for file_id in dict.fromkeys(body.file_ids or []):
            _attach(house, record.id, file_id, {})
        return JSONResponse(store_shape(house, record))

    @router.get("/{id_}")
    def retrieve_store(id_: str) -> Response:
        return JSONResponse(
            own_shape(house) if id_ == own else store_shape(house, ledger.get(StoreRecord, id_))
        )

    @router.post("/{id_}")
    def change(id_: str, body: StoreChange) -> Response:
        record = made(id_)
        _refuse_expiry(body.expires_after)
        name = record.name if body.name is None else body.name
        labels = dict(record.labels) if body.metadata is None else body.metadata
        ledger.set_where(StoreRecord, {"id": id_}, name=name, labels=labels)
        return JSONResponse(store_shape(house, ledger.get(StoreRecord, id_)))

    @router.delete("/{id_}")
    def delete(id_: str) -> Response:
        house.attachments.drop(made(id_, "deleted").id)
        return JSONResponse({"id": id_, "object": "vector_store.deleted", "deleted": True})

    @router.post("/{id_}/search")
    def search_store(id_: str, body: SearchRequest) -> Response:
        questions = [body.query] if isinstance(body.query, str) else body.query
        question = "\n".join(questions)
        if not question.strip():
            raise RequestError("'query' is empty.", code="invalid_value", param="query")
        found = search(
            open_stores(house, [id_], body.filters, is_empty_ok=True),
            question,
            max_results=body.max_num_results,
            min_score=body.ranking_options.score_threshold if body.ranking_options else 0.0,
        )
        data = [result_shape(house, id_, passage) for passage in found]
        head = {"object": "vector_store.search_results.page", "search_query": questions}
        return JSONResponse({**head, "data": data, "has_more": False, "next_page": None})

    # --- files in a store ----------------------------------------------------------------------

    @router.post("/{id_}/files")
    def attach(id_: str, body: AttachRequest) -> Response:
        made(id_)
        _check_files(house, [body.file_id])
        return JSONResponse(file_shape(_attach(house, id_, body.file_id, body.attributes or {})))

    @router.get("/{id_}/files")
    def list_files(
        id_: str,
        limit: Limit = 20,
        order: str = "desc",
        after: str | None = None,
        filter: str | None = None,  # noqa: A002 - OpenAI's name
    ) -> Response:
        made(id_, "looked into")
        return JSONResponse(_listed(house, id_, limit, order, after, filter))

    @router.get("/{id_}/files/{file_id}")
    def retrieve_file(id_: str, file_id: str) -> Response:
        return JSONResponse(file_shape(attached(id_, file_id)))

    @router.post("/{id_}/files/{file_id}")
    def change_file(id_: str, file_id: str, body: AttachChange) -> Response:
        one = attached(id_, file_id)
        ledger.set_where(AttachedFile, {"id": one.id}, attributes=body.attributes or {})
        return JSONResponse(file_shape(attached(id_, file_id)))

    @router.delete("/{id_}/files/{file_id}")
    def detach(id_: str, file_id: str) -> Response:
        house.attachments.take_off(attached(id_, file_id))
        shape = {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}
        return JSONResponse(shape)

    @router.get("/{id_}/files/{file_id}/content")
    def content(id_: str, file_id: str) -> Response:
        one = attached(id_, file_id)
        chunks = house.attachments.chunks(id_, file_id) if one.status == "completed" else []
        data = [{"type": "text", "text": chunk.text} for chunk in chunks]
        head = {"object": "vector_store.file_content.page", "data": data}
        return JSONResponse({**head, "has_more": False, "next_page": None})

    # --- several files at once -------------------------------------------------------------------

    @router.post("/{id_}/file_batches")
    def attach_batch(id_: str, body: BatchRequest) -> Response:
        made(id_)
        if (body.file_ids is None) == (body.files is None):
            text = "Give either 'file_ids' or 'files'."
            raise RequestError(text, code="invalid_value", param="file_ids")
        shared = body.attributes or {}
        asked: dict[str, Mapping[str, Any]] = dict.fromkeys(body.file_ids or [], shared)
        asked |= {one.file_id: one.attributes or shared for one in body.files or []}
        _check_files(house, list(asked))
        batch_id = new_id("vsfb_")
        for file_id, attributes in asked.items():
            _attach(house, id_, file_id, attributes, batch_id)
        return JSONResponse(batch_shape(house, id_, batch_id))

    @router.get("/{id_}/file_batches/{batch_id}")
    def retrieve_batch(id_: str, batch_id: str) -> Response:
        return JSONResponse(batch_shape(house, id_, batch_id))

    @router.post("/{id_}/file_batches/{batch_id}/cancel")
    def cancel_batch(id_: str, batch_id: str) -> Response:
        batch_shape(house, id_, batch_id)
        for one in ledger.all(AttachedFile, store_id=id_, batch_id=batch_id):
            ledger.set_where(
                AttachedFile, {"id": one.id, "status": "in_progress"}, status="cancelled"
            )
        return JSONResponse(batch_shape(house, id_, batch_id))

    @router.get("/{id_}/file_batches/{batch_id}/files")
    def list_batch_files(
        id_: str,
        batch_id: str,
        limit: Limit = 20,
        order: str = "desc",
        after: str | None = None,
        filter: str | None = None,  # noqa: A002 - OpenAI's name
    ) -> Response:
        batch_shape(house, id_, batch_id)
        return JSONResponse(_listed(house, id_, limit, order, after, filter, batch_id=batch_id))

    return router


def _attach(
    house: House, store_id: str, file_id: str, attributes: Mapping[str, Any], batch_id: str = ""
) -> AttachedFile:
    """Return the file as it waits to be read; one that is in the store already is read again."""
    id_ = attached_id(store_id, file_id)
    house.ledger.remove(AttachedFile, id_)
    values: dict[str, Any] = {"store_id": store_id, "file_id": file_id, "batch_id": batch_id}
    values |= {"status": "in_progress", "attributes": dict(attributes)}
    added: AttachedFile = house.ledger.add(AttachedFile, id_, **values)
    return added


def _check_files(house: House, file_ids: Sequence[str]) -> None:
    for file_id in file_ids:
        find_file(house.ledger, file_id)


def _refuse_expiry(expires_after: object) -> None:
    if expires_after is not None:
        text = "Vector stores do not expire here."
        hint = "Leave 'expires_after' out, and delete the store when it is not needed."
        raise RequestError(text, code="unsupported_value", param="expires_after", hint=hint)


def _is_newest_first(order: str) -> bool:
    if order not in ("asc", "desc"):
        raise RequestError(f"order is '{order}'.", code="invalid_value", param="order")
    return order == "desc"


def _listed(
    house: House,
    store_id: str,
    limit: int,
    order: str,
    after: str | None,
    status: str | None,
    **wanted: str,
) -> dict[str, Any]:
    if status is not None and status not in STATES:
        raise RequestError(f"filter is '{status}'.", code="invalid_value", param="filter")
    chosen = wanted | ({} if status is None else {"status": status})
    found, has_more = house.ledger.page(
        AttachedFile,
        limit=min(limit, MAX_LIMIT),
        after=None if after is None else attached_id(store_id, after),
        newest_first=_is_newest_first(order),
        store_id=store_id,
        **chosen,
    )
    listed: dict[str, Any] = page(found, file_shape, has_more=has_more)
    return listed

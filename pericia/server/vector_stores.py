"""Vector stores: the industry's index is one, `vs_NAME`. It is listed and searched here, and filled by `pericia add`."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from pericia.answer import question_language
from pericia.errors import NotFoundError
from pericia.retrieve import retrieve
from pericia.server.citing import file_id
from pericia.server.house import House
from pericia.server.schemas import SearchRequest, refuse_unserved
from pericia.server.wire import RequestError, page
from pericia.types import Passage


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/vector_stores")
    own = store_id(house)

    def check(id_: str) -> None:
        if id_ != own:
            text = f"There is no vector store '{id_}'."
            raise RequestError(text, code="not_found", status=404, hint=f"There is one: '{own}'.")

    @router.get("")
    def list_stores() -> Response:
        return JSONResponse(page([own], lambda _: _shape(house), has_more=False))

    @router.post("")
    def create() -> Response:
        text = "Vector stores are not made by requests here: this server has one for its industry."
        hint = f"Search '{own}', and fill it with: pericia add PATH"
        raise RequestError(text, code="unsupported_value", hint=hint)

    @router.get("/{id_}")
    def retrieve_store(id_: str) -> Response:
        check(id_)
        return JSONResponse(_shape(house))

    @router.post("/{id_}/search")
    def search(id_: str, body: SearchRequest) -> Response:
        check(id_)
        refuse_unserved(
            body, {"filters": ({},), "ranking_options": ({},), "rewrite_query": (False,)}
        )
        questions = [body.query] if isinstance(body.query, str) else body.query
        question = "\n".join(questions)
        if not question.strip():
            raise RequestError("'query' is empty.", code="invalid_value", param="query")
        library = house.room.library()
        found = retrieve(
            question,
            store=library.store,
            embedder=library.embedder,
            settings=library.settings.model_copy(update={"top_k": body.max_num_results}),
            language=question_language(question, library),
        )
        data = [{**_named(p), "content": [{"type": "text", "text": p.chunk.text}]} for p in found]
        head = {"object": "vector_store.search_results.page", "search_query": questions}
        return JSONResponse({**head, "data": data, "has_more": False, "next_page": None})

    return router


def store_id(house: House) -> str:
    return f"vs_{house.config.name}"


def _named(passage: Passage) -> dict[str, Any]:
    """Return what a result says of itself; `score` is the cosine, 0 where only words were found."""
    chunk = passage.chunk
    place = {"page": chunk.place.page, "line": chunk.place.line, "cell": chunk.place.cell}
    return {
        "file_id": file_id(chunk.source),
        "filename": chunk.source,
        "score": min(1.0, max(0.0, passage.dense or 0.0)),
        "attributes": {name: value for name, value in place.items() if value is not None},
    }


def _shape(house: House) -> dict[str, Any]:
    try:
        num_files = len(house.room.library().catalogue.files)
    except NotFoundError:  # nothing is indexed yet: the store is there and empty
        num_files = 0
    counts = {"in_progress": 0, "failed": 0, "cancelled": 0}
    return {
        "id": store_id(house),
        "object": "vector_store",
        "created_at": 0,
        "name": house.config.name,
        "usage_bytes": 0,
        "file_counts": {**counts, "completed": num_files, "total": num_files},
        "status": "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": None,
        "metadata": {},
    }

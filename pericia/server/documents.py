"""/api/documents: add, list, read and remove the files that answers rest on, and see what was understood of them.

Others like one are recommended as well.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import JSONResponse, Response

from pericia.alike import documents_alike, passages_alike
from pericia.errors import ConflictError, NotFoundError, PericiaError
from pericia.said import said
from pericia.server import shelf, shelf_changes, viewer
from pericia.server.house import House
from pericia.server.shelf import Shelved
from pericia.server.tasks import Task
from pericia.types import Hit, Place


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api/documents")

    @router.get("")
    def list_documents() -> Response:
        task = reading(house)
        data = [_shape(one) for one in files(house)]
        folder = str(shelf.upload_folder(house.workspace, house.config))
        return JSONResponse(
            {"data": data, "folder": folder, "task": asdict(task) if task else None}
        )

    @router.post("")
    def upload(
        file: Annotated[list[UploadFile], File()], path: Annotated[list[str] | None, Form()] = None
    ) -> Response:
        return JSONResponse({"data": store(house, file, path or [])})

    @router.post("/read")
    def read() -> Response:
        return JSONResponse(asdict(start_reading(house)))

    @router.get("/{id_}/pages")
    def pages(id_: str) -> Response:
        one = shelf.find(house.workspace, house.config, id_)
        document = viewer.document_of(house, one)
        body = {"pages": [asdict(page) for page in viewer.pages(document)]}
        tables = [asdict(table) for table in document.tables]
        return JSONResponse({**_shape(one), "title": document.title, **body, "tables": tables})

    @router.get("/{id_}/alike")
    def alike(
        id_: str, most: Annotated[int, Query(ge=1, le=50)] = 5, passage: str = ""
    ) -> Response:
        return JSONResponse({"data": [_like(hit) for hit in like(house, id_, most, passage)]})

    @router.get("/passage")
    def passage(
        source: str,
        page: int | None = None,
        line: int | None = None,
        cell: str | None = None,
        quote: str = "",
        claim: str = "",
    ) -> Response:
        place = Place(page=page, line=line, cell=cell)
        return JSONResponse(asdict(viewer.find(house, source, place, quote, claim)))

    @router.delete("/{id_}")
    def remove(id_: str) -> Response:
        return JSONResponse({"source": take_away(house, id_), "removed": True})

    @router.post("/restore")
    def restore(source: Annotated[str, Form()]) -> Response:
        put_back(house, source)
        return JSONResponse({"source": source, "restored": True})

    return router


def files(house: House) -> list[Shelved]:
    """Return all files of the workspace with their states."""
    return shelf.list_files(house.workspace, house.config)


def like(house: House, wanted: str, most: int, passage: str = "") -> list[Hit]:
    """Return what is most like a document in up to `most` others that callers may read, nearest first.

    With `passage`, the id of one of its own, the passages that are most like that one.

    Raises:
        NotFoundError: there is no such file or passage, or it is not read yet.
    """
    one = shelf.find(house.workspace, house.config, wanted)
    library = house.room.library()
    entered = library.catalogue.files.get(one.source)
    if entered is None or not entered.num_chunks:
        raise NotFoundError(
            said("'%(name)s' is not read, so it is like nothing.", name=one.source),
            hint=said("Read it first."),
        )
    if passage:
        return passages_alike([passage], store=library.store, k=most, groups=library.groups)
    return documents_alike(
        [entered.document_id], store=library.store, k=most, groups=library.groups
    )


def reading(house: House) -> Task | None:
    """Return the task that reads documents, or the last one that did."""
    return next(iter(house.tasks.all(shelf.KIND)), None)


def start_reading(house: House) -> Task:
    """Return the task that makes the index hold what the folders hold; one at work takes new files along."""
    try:
        return house.tasks.start(shelf.KIND, house.workspace, house.config, {})
    except ConflictError:
        task = house.tasks.running(shelf.KIND)
        if task is None:
            raise
        return task


def store(house: House, sent: list[UploadFile], paths: list[str]) -> list[dict[str, Any]]:
    """Return for each file that was sent whether it was taken, and if not, why; the good ones are read."""
    told: list[dict[str, Any]] = []
    for number, file in enumerate(sent):
        name = (paths[number] if number < len(paths) else "") or file.filename or ""
        try:
            source = shelf_changes.put(house.workspace, house.config, name, file.file)
        except PericiaError as error:
            fault = {"message": error.message, "hint": error.hint}
            told.append({"name": name, "taken": False, **fault})
        else:
            told.append({"name": name, "taken": True, "source": source})
    if any(one["taken"] for one in told):
        start_reading(house)
    return told


def take_away(house: House, wanted: str) -> str:
    """Return the source of a file that is taken out of the folders and, by the reading that starts, out of the index."""
    source = shelf_changes.take_away(house.workspace, house.config, wanted)
    start_reading(house)
    return source


def put_back(house: House, source: str) -> None:
    """Put a file that was taken away where it was, and read it."""
    shelf_changes.put_back(house.workspace, source)
    start_reading(house)


def totals(found: list[Shelved]) -> Mapping[str, int]:
    """Return how many files are in each state, and how many passages there are."""
    counts = dict.fromkeys(("read", "partly", "skipped", "changed", "waiting", "gone"), 0)
    for one in found:
        counts[one.state] += 1
    return {**counts, "passages": sum(one.num_passages for one in found)}


def _like(hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    place = {"page": chunk.place.page, "line": chunk.place.line, "cell": chunk.place.cell}
    return {"source": chunk.source, "score": round(hit.score, 4), "text": chunk.text, **place}


def _shape(one: Shelved) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "id": one.id,
        "source": one.source,
        "type": one.suffix,
        "state": one.state,
    }
    shape |= {"bytes": one.num_bytes, "modified_at": one.modified_at}
    shape |= {"passages": one.num_passages, "pages": one.num_pages, "rows": one.num_rows}
    shape |= {"language": one.language, "same_as": one.same_as}
    return {**shape, "reasons": list(one.reasons)}

"""Screen Documents: files come in, are read, looked at and taken out; the page of a citation's source."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, File, Request, UploadFile
from fastapi import Form as Field
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from pericia.documents import READERS
from pericia.errors import PericiaError
from pericia.retrieve import retrieve
from pericia.server import documents, shelf, viewer
from pericia.server.citing import file_id
from pericia.server.ui.frame import Form, Frame
from pericia.server.ui.words import in_language
from pericia.types import Place

_PAGES = 20  # of a document at once
_FOUND = 8  # passages of a retrieval test
_ALIKE = 5  # of a document, or of a passage


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    house = frame.house

    def listing(request: Request, **more: Any) -> dict[str, Any]:
        found = documents.files(house)
        task = documents.reading(house)
        return {
            "screen": "documents",
            "files": found,
            "totals": documents.totals(found),
            "task": task,
            "is_reading": task is not None and task.status == "running",
            "folder": _shown(
                shelf.upload_folder(house.workspace, house.config), house.workspace.root
            ),
            "suffixes": sorted(filter(None, READERS)),
            "show": request.query_params.get("show", "all"),
            **more,
        }

    @router.get("/documents")
    def page(request: Request, removed: str = "") -> HTMLResponse:
        return frame.page(request, "documents.html", **listing(request, removed=removed))

    @router.get("/documents/list")
    def part(request: Request) -> HTMLResponse:
        return frame.part(request, "documents_list.html", **listing(request))

    @router.post("/documents")
    def upload(
        request: Request,
        file: Annotated[list[UploadFile], File()],
        path: Annotated[list[str] | None, Field()] = None,
    ) -> Response:
        told = documents.store(house, file, path or [])
        language = frame.language(request)
        refused = [
            {
                "name": one["name"],
                "why": " ".join(in_language(one[part], language) for part in ("message", "hint")),
            }
            for one in told
            if not one["taken"]
        ]
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"refused": refused})
        if refused:
            lines = [one["why"] for one in refused]
            form = Form({}, {"file": "\n".join(lines)})
            context = listing(request, removed="", form=form)
            return frame.page(request, "documents.html", status=422, **context)
        return RedirectResponse("/documents", 303)

    @router.post("/documents/read")
    def read(source: Annotated[str, Field()] = "") -> Response:
        documents.start_reading(house)
        anchor = f"#{file_id(source)}" if source else ""
        return RedirectResponse(f"/documents{anchor}", 303)

    @router.get("/documents/{id_}/alike")
    def alike(request: Request, id_: str, passage: str = "") -> HTMLResponse:
        context: dict[str, Any] = {"hits": [], "fault": ""}
        try:
            context["hits"] = documents.like(house, id_, _ALIKE, passage)
        except PericiaError as error:
            context["fault"] = frame.words_of(request, error)
        if "hx-request" in request.headers:
            return frame.part(request, "documents_alike_part.html", **context)
        return frame.page(request, "documents_alike.html", screen="documents", **context)

    @router.post("/documents/restore")
    def restore(source: Annotated[str, Field()]) -> Response:
        documents.put_back(house, source)
        return RedirectResponse("/documents", 303)

    @router.get("/documents/search")
    def search(request: Request, q: str = "") -> HTMLResponse:
        values, passages = {"q": q}, []
        form = Form(values)
        if q.strip():
            try:
                library = house.room.library()
                passages = retrieve(
                    q,
                    store=library.store,
                    embedder=library.embedder,
                    settings=library.settings.model_copy(update={"top_k": _FOUND}),
                    language=library.language_of(q),
                    groups=library.groups,
                )
            except PericiaError as error:
                form = Form(values, {"q": frame.words_of(request, error)})
        elif "q" in request.query_params:
            form = Form(values, {"q": frame.sentence(request, "Type a question first.")})
        context: dict[str, Any] = {
            "screen": "documents",
            "passages": passages,
            "form": form,
            "asked": q.strip(),
        }
        return frame.page(request, "documents_search.html", **context)

    @router.post("/documents/{id_}/remove")
    def remove(id_: str) -> Response:
        source = documents.take_away(house, id_)
        return RedirectResponse(f"/documents?{urlencode({'removed': source})}", 303)

    @router.get("/documents/{id_}")
    def document(request: Request, id_: str, start: int = 0) -> HTMLResponse:
        listed = {one.id: one for one in documents.files(house)}
        one = listed.get(id_) or shelf.find(house.workspace, house.config, id_)
        context: dict[str, Any] = {"screen": "documents", "file": one, "fault": "", "start": start}
        try:
            read = viewer.document_of(house, one)
        except PericiaError as error:
            context |= {"fault": frame.words_of(request, error), "document": None}
            return frame.page(request, "documents_one.html", **context)
        every = viewer.pages(read)
        pages = [page for page in every if page.lines]
        context |= {
            "document": read,
            "num_pages": len(pages),
            "pages": pages[start : start + _PAGES],
            "next": start + _PAGES if start + _PAGES < len(pages) else None,
            "tables": [viewer.grid(table, num=50) for table in read.tables],
        }
        return frame.page(request, "documents_one.html", **context)

    @router.get("/documents/{id_}/passages")
    def passages(request: Request, id_: str) -> HTMLResponse:
        one = shelf.find(house.workspace, house.config, id_)
        entered = shelf.catalogue_of(house.workspace).files.get(one.source)
        found = house.room.library().store.chunks(entered.document_id) if entered else []
        return frame.part(request, "documents_passages.html", chunks=found, file=one)

    @router.get("/source/{source:path}")
    def source(
        request: Request,
        source: str,
        page: int | None = None,
        line: int | None = None,
        cell: str | None = None,
        quote: str = "",
        claim: str = "",
    ) -> HTMLResponse:
        place = Place(page=page, line=line, cell=cell)
        found = viewer.find(house, source, place, quote, claim)
        if "hx-request" in request.headers:
            return frame.part(request, "source_part.html", found=found)
        return frame.page(request, "source.html", screen="documents", found=found)

    return router


def _shown(folder: Path, root: Path) -> str:
    """Return a folder as a person of this project calls it."""
    return str(folder.relative_to(root) if folder.is_relative_to(root) else folder)

"""Screen Examples: judged row by row, edited, imported, drafted from the documents."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pericia import amend
from pericia.amend import BroughtIn
from pericia.errors import PericiaError
from pericia.server import workbench_examples as bench
from pericia.server.ui import charts, frame
from pericia.server.ui.frame import Frame

PAGE_ROWS = 25
_WRITTEN = ("question", "answer", "source")  # Ask sends what was answered there
Text = Annotated[str, Form()]


def routes(made: Frame) -> APIRouter:
    router = APIRouter(prefix="/examples")
    house = made.house

    def show(request: Request, *, status: int = 200, **context: Any) -> HTMLResponse:
        asked = request.query_params
        part, search = asked.get("part", ""), asked.get("q", "")
        book = bench.view(house)
        rows = bench.narrowed(book["rows"], part, search)
        number = max(1, int(asked.get("page", "1")) if asked.get("page", "1").isdecimal() else 1)
        drafts = bench.open_drafts(house)
        shared = {
            "book": book,
            "part": part,
            "search": search,
            "rows": rows[(number - 1) * PAGE_ROWS : number * PAGE_ROWS],
            "num_rows": len(rows),
            "page": number,
            "num_pages": -(-len(rows) // PAGE_ROWS),
            "edit": int(asked["edit"]) if asked.get("edit", "").isdecimal() else 0,
            "said": asked.get("said", ""),
            "draft": drafts[0] if drafts else None,
            "num_drafts": len(drafts),
            "drafting": house.tasks.newest("draft"),
            "imported": None,
            "add_form": frame.Form({name: asked.get(name, "") for name in _WRITTEN}),
            "columns": (),
        }
        return made.page(
            request, "examples.html", screen="examples", status=status, **{**shared, **context}
        )

    def back(**query: object) -> Response:
        kept = {name: value for name, value in query.items() if value}
        return RedirectResponse("/examples" + (f"?{urlencode(kept)}" if kept else ""), 303)

    @router.get("")
    def examples(request: Request) -> HTMLResponse:
        return show(request)

    @router.get("/lengths")
    def lengths(request: Request) -> HTMLResponse:
        found = bench.lengths(house)
        drawn = charts.histogram(found["lengths"], found["max_tokens"])
        return made.page(request, "examples_lengths.html", found=found, drawn=drawn)

    @router.post("/import")
    async def bring_in(request: Request) -> Response:
        try:
            done, columns = await bench.imported(house, request)
        except PericiaError as error:
            form = made.refused(request, {"file": ""}, error)
            return show(request, status=422, import_form=form)
        if done.num_added and not done.findings:
            return back(said="imported")
        return show(request, imported=_said_of(done), columns=columns)

    @router.post("/draft")
    def draft(request: Request) -> Response:
        try:
            bench.start_drafting(house, 60)
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, {}, error))
        return back()

    @router.post("/drafts/{id_}")
    def judge(
        request: Request, id_: str, decision: Text, question: Text = "", answer: Text = ""
    ) -> Response:
        values = {"draft_question": question, "draft_answer": answer}
        for name, text in (("question", question), ("answer", answer)):
            if decision == "approved" and not text.strip():
                fault = made.sentence(request, "This cannot be empty.")
                return show(request, status=422, form=frame.Form(values, {f"draft_{name}": fault}))
        judgement = bench.Judgement(
            decision="approved" if decision == "approved" else "rejected",
            question=question,
            answer=answer,
        )
        try:
            bench.judged(house, id_, judgement)
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, values, error))
        return back()

    @router.post("/add")
    def add(
        request: Request, question: Text = "", answer: Text = "", source: Text = ""
    ) -> Response:
        values = {"question": question, "answer": answer, "source": source}
        try:
            amend.add(*bench.places(house), None, question, answer, source)
        except PericiaError as error:
            return show(request, status=422, add_form=made.refused(request, values, error))
        return back(said="added")

    @router.post("/undo")
    def undo(request: Request) -> Response:
        try:
            amend.undo(*bench.places(house))
        except PericiaError as error:
            return show(request, status=422, form=made.refused(request, {}, error))
        return back(said="undone")

    @router.post("/{line}")
    def change(
        request: Request,
        line: int,
        sha256: Text,
        question: Text = "",
        answer: Text = "",
        source: Text = "",
        act: Text = "save",
        part: Annotated[str, Query()] = "",
        q: Annotated[str, Query()] = "",
        page: Annotated[str, Query()] = "",
    ) -> Response:
        kept = {"part": part, "q": q, "page": page}
        try:
            if act == "remove":
                amend.remove(*bench.places(house), sha256, line)
                return back(said="removed", **kept)
            row = bench.Row(question=question, answer=answer, source=source, sha256=sha256)
            bench.change_row(house, line, row)
        except PericiaError as error:
            values = {"question": question, "answer": answer, "source": source}
            form = made.refused(request, values, error)
            return show(request, status=422, row_form=form, edit=line)
        return back(said="saved", **kept)

    return router


def _said_of(done: BroughtIn) -> dict[str, Any]:
    return {
        "num_added": done.num_added,
        "errors": [f for f in done.findings if f.level == "error"],
        "warnings": [f for f in done.findings if f.level == "warning"],
    }

"""/api/examples and /api/drafts: the examples row by row, with what is wrong with them, edited, imported, drafted."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from pericia import amend, curate
from pericia.amend import BroughtIn
from pericia.curate import Book
from pericia.errors import InputError, NotFoundError
from pericia.evaluate.power import detectable_in_words
from pericia.evaluate.tracks import NEW, tracks_of
from pericia.examples import read_examples
from pericia.recast import Columns
from pericia.said import said
from pericia.server.house import House
from pericia.server.tasks import Task
from pericia.server.workbench import EXAMPLES, held_out, kept_upload, working
from pericia.suggest import DRAFTS, Draft, decide, read_drafts
from pericia.types import Dataset, Example

NUM_PAIRS = 10  # of the five arms
_COLUMNS = ("question", "answer", "source", "system")


class Row(BaseModel):
    """A row as a person writes it. `sha256` is the file that it was written on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    question: str = ""
    answer: str = ""
    source: str = ""
    sha256: str | None = None


class Judgement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    decision: Literal["approved", "rejected", "draft"]
    question: str | None = None
    answer: str | None = None


class DraftRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    most: int = 60


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/examples")
    def list_examples(part: str = "", q: str = "") -> Response:
        found = view(house)
        return JSONResponse({**found, "rows": narrowed(found["rows"], part, q)})

    @router.post("/examples")
    def add(row: Row) -> Response:
        path, versions = places(house)
        line = amend.add(path, versions, row.sha256, row.question, row.answer, row.source)
        return JSONResponse({"line": line, "sha256": look(house).sha256}, 201)

    @router.put("/examples/{line}")
    def change(line: int, row: Row) -> Response:
        change_row(house, line, row)
        return JSONResponse({"line": line, "sha256": look(house).sha256})

    @router.delete("/examples/{line}")
    def remove(line: int, sha256: str) -> Response:
        amend.remove(*places(house), sha256, line)
        return JSONResponse({"line": line, "deleted": True, "sha256": look(house).sha256})

    @router.post("/examples/undo")
    def undo() -> Response:
        amend.undo(*places(house))
        return JSONResponse({"sha256": look(house).sha256})

    @router.get("/examples/lengths")
    def list_lengths() -> Response:
        return JSONResponse(lengths(house))

    @router.get("/examples/file")
    def download() -> Response:
        path, _ = places(house)
        if not path.exists():
            raise NotFoundError(
                said("There are no examples yet."), hint=said("Upload or draft some.")
            )
        return FileResponse(path, media_type="application/jsonl", filename=path.name)

    @router.post("/examples/import")
    async def bring_in(request: Request) -> Response:
        done, columns = await imported(house, request)
        return JSONResponse({**asdict(done), "columns": columns})

    @router.get("/drafts")
    def drafts() -> Response:
        return JSONResponse({"data": [asdict(draft) for draft in open_drafts(house)]})

    @router.post("/drafts")
    def make_drafts(body: DraftRequest) -> Response:
        return JSONResponse(asdict(start_drafting(house, body.most)), 202)

    @router.post("/drafts/{id_}")
    def judge(id_: str, body: Judgement) -> Response:
        return JSONResponse(asdict(judged(house, id_, body)))

    return router


def places(house: House) -> tuple[Path, Path]:
    """Return the file of examples, and the folder of its earlier versions."""
    name = working(house).examples or EXAMPLES
    return house.workspace.resolve(name), house.workspace.state / "examples"


def look(house: House) -> Book:
    """Return the examples with everything that is to say about them."""
    path, versions = places(house)
    settings = working(house).train
    questions, _ = held_out(house)
    return curate.look(
        path,
        questions,
        validation_share=settings.validation_share,
        seed=settings.seed,
        versions=versions,
    )


def view(house: House) -> dict[str, Any]:
    """Return what the screen shows: rows, findings, counts, and what the held-out questions can tell."""
    book = look(house)
    questions, fault = held_out(house)
    rows = [row for row in book.rows if row.source]
    shown = Dataset(tuple(Example(r.messages, f"{r.line}", r.line, r.source) for r in rows), (), "")
    families = [question.family for question in questions]
    return {
        **asdict(book),
        "path": house.workspace.resolve(book.path).name,
        "num_questions": len(questions),
        "num_new": list(tracks_of(questions, shown).values()).count(NEW),
        "questions_fault": fault,
        "detectable": detectable_in_words(families, NUM_PAIRS) if questions else "",
        "num_drafts": len(open_drafts(house)),
    }


def narrowed(rows: Sequence[dict[str, Any]], part: str, search: str) -> list[dict[str, Any]]:
    """Return the rows of one part ("findings": those with findings) that hold the words of a search."""
    needle = search.strip().casefold()
    return [
        row
        for row in rows
        if (not part or row["part"] == part or (part == "findings" and row["findings"]))
        and needle in f"{row['question']} {row['answer']} {row['source']} {row['raw']}".casefold()
    ]


def lengths(house: House) -> dict[str, Any]:
    """Return the tokens of each example as the base counts them, and how many exceed the longest allowed row."""
    path, _ = places(house)
    model = house.experts.model()
    examples = read_examples(path)[0] if path.exists() else ()
    found = [model.count_tokens(example.messages) for example in examples]
    limit = working(house).train.max_tokens
    cut = sum(tokens > limit for tokens in found)
    return {"lengths": found, "max_tokens": limit, "num_too_long": cut, "model": model.name}


def change_row(house: House, line: int, row: Row) -> None:
    """Replace a row. Raises as `amend.change`."""
    if row.sha256 is None:
        raise InputError(
            said("'sha256' is missing."), hint=said("See: GET /api/examples"), param="sha256"
        )
    amend.change(*places(house), row.sha256, line, row.question, row.answer, row.source)


async def imported(house: House, request: Request) -> tuple[BroughtIn, list[str]]:
    """Bring an uploaded file in, and return what it did with the names of the file's columns.

    Raises:
        InputError: there is no file, it is too large, or nothing of it can be used; `param` is `file`.
    """
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise InputError(said("No file was chosen."), hint=said("Choose one."), param="file")
        named = {key: str(form.get(f"column_{key}") or "") for key in _COLUMNS}
        columns = Columns(**named) if any(named.values()) else None
        options = {
            key: str(form.get(key) or "") in ("true", "on", "1") for key in ("replace", "dry")
        }
        path, versions = places(house)

        def work() -> tuple[BroughtIn, list[str]]:
            with kept_upload(file) as upload:
                names = list(amend.columns_of(upload))
                try:
                    done = amend.bring_in(upload, path, versions, columns=columns, **options)
                except InputError as error:
                    text = error.message.replace(str(upload), str(file.filename))
                    raise InputError(text, hint=error.hint, param="file") from error
                return done, names

        return await run_in_threadpool(work)


def open_drafts(house: House) -> tuple[Draft, ...]:
    """Return the drafts that nobody has judged yet."""
    return tuple(d for d in read_drafts(house.workspace.state / DRAFTS) if d.state == "draft")


def start_drafting(house: House, most: int) -> Task:
    """Start drafting examples from the documents."""
    return house.tasks.start("draft", house.workspace, working(house), {"most": most})


def judged(house: House, id_: str, judgement: Judgement) -> Draft:
    """Return a draft after a person's judgement; an approved one becomes a row of the examples."""

    def change(draft: Draft) -> Draft:
        question = draft.question if judgement.question is None else judgement.question
        answer = draft.answer if judgement.answer is None else judgement.answer
        if judgement.decision == "approved" and draft.state != "approved":
            amend.add(*places(house), None, question, answer, draft.source)
        return replace(draft, question=question, answer=answer, state=judgement.decision)

    return decide(house.workspace.state / DRAFTS, id_, change)

"""/api/questions: the held-out questions that every arm is measured on; a file of them is checked whole before it counts."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from pericia.errors import InputError, NotFoundError
from pericia.evaluate.questions import read_questions
from pericia.said import said
from pericia.server import shelf
from pericia.server.house import House
from pericia.server.workbench import QUESTIONS, kept_upload, working
from pericia.workspace import write_atomic


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api/questions")

    @router.get("")
    def download() -> Response:
        path = place(house)
        if not path.is_file():
            raise NotFoundError(said("There are no questions yet."), hint=said("Upload some."))
        return FileResponse(path, media_type="application/jsonl", filename=path.name)

    @router.post("")
    async def bring_in(request: Request) -> Response:
        return JSONResponse({"num_questions": await brought_in(house, request)}, 201)

    return router


def place(house: House) -> Path:
    """Return the file of held-out questions, whether it is there or not."""
    return house.workspace.resolve(working(house).questions or QUESTIONS)


async def brought_in(house: House, request: Request) -> int:
    """Return how many questions the uploaded file holds; it takes the place of the one that was there.

    Raises:
        InputError: there is no file, or a line of it has a fault; all are named, and nothing is changed.
    """
    async with request.form(max_files=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise InputError(said("No file was chosen."), hint=said("Choose one."), param="file")
        return await run_in_threadpool(_replace, house, file)


def _replace(house: House, file: UploadFile) -> int:
    target = place(house)
    known = shelf.catalogue_of(house.workspace).files.keys()
    with kept_upload(file) as upload:
        try:
            questions = read_questions(upload, known or None)
        except InputError as error:
            text = error.message.replace(str(upload), str(file.filename))
            raise InputError(text, hint=error.hint, param="file") from error
        content = upload.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():  # the ones before are kept, once
        write_atomic(house.workspace.state / "questions" / target.name, target.read_bytes())
    write_atomic(target, content)
    return len(questions)

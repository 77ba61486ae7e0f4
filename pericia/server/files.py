"""The files API: what is uploaded is on the disk, whole and `processed`, before it is acknowledged."""

import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.datastructures import UploadFile as Uploaded

from pericia.jobs import StoredFile, new_id
from pericia.server.house import House
from pericia.server.uploads import find_file, remove_expired, remove_file
from pericia.server.wire import MAX_UPLOAD_BYTES, RequestError, dialect_of, page

PURPOSES = ("fine-tune", "assistants", "batch", "vision", "user_data", "evals")
MAX_LIMIT = 10_000
_BLOCK_BYTES = 1 << 20
_NAME_BYTES = 200  # most file systems take 255


def routes(house: House) -> APIRouter:
    router = APIRouter()
    ledger = house.ledger

    @router.post("/files")
    async def upload(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=20) as form:
            file = form.get("file")
            if not isinstance(file, Uploaded):
                text = "'file' is missing."
                hint = "Send multipart/form-data with the parts 'file' and 'purpose'."
                raise RequestError(text, code="missing_required_parameter", param="file", hint=hint)
            purpose = _purpose(form.get("purpose"))
            lifetime_s = _lifetime(
                form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
            )
            id_ = new_id("file-")
            num_bytes = await anyio.to_thread.run_sync(_store, file, ledger.file_path(id_))
            expires_at = None if lifetime_s is None else time.time() + lifetime_s
            values = {"purpose": purpose, "num_bytes": num_bytes, "expires_at": expires_at}
            filename = _safe_name(file.filename or "")
            stored = ledger.add(StoredFile, id_, filename=filename, **values)
        return _created(shape(stored), request, f"files/{id_}")

    @router.get("/files")
    def list_files(
        purpose: str | None = None,
        limit: Annotated[int, Query(ge=1)] = MAX_LIMIT,
        order: str = "desc",
        after: str | None = None,
    ) -> Response:
        if order not in ("asc", "desc"):
            raise RequestError(f"order is '{order}'.", code="invalid_value", param="order")
        remove_expired(ledger)
        wanted = {} if purpose is None else {"purpose": purpose}
        files, has_more = ledger.page(
            StoredFile,
            limit=min(limit, MAX_LIMIT),
            after=after,
            newest_first=order == "desc",
            **wanted,
        )
        return JSONResponse(page(files, shape, has_more=has_more))

    @router.get("/files/{file_id}")
    def retrieve(file_id: str) -> Response:
        return JSONResponse(shape(find_file(ledger, file_id)))

    @router.get("/files/{file_id}/content")
    def content(file_id: str) -> Response:
        stored = find_file(ledger, file_id)
        kind = "text/csv" if stored.filename.endswith(".csv") else "application/octet-stream"
        return FileResponse(ledger.file_path(file_id), media_type=kind, filename=stored.filename)

    @router.delete("/files/{file_id}")
    def delete(file_id: str) -> Response:
        remove_file(ledger, find_file(ledger, file_id))
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    return router


def shape(stored: StoredFile) -> dict[str, Any]:
    """Return a file as OpenAI shows it."""
    expires_at = None if stored.expires_at is None else int(stored.expires_at)
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.num_bytes,
        "created_at": int(stored.created_at),
        "filename": stored.filename,
        "purpose": stored.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": expires_at,
    }


def _created(body: dict[str, Any], request: Request, path: str) -> JSONResponse:
    """Return the answer to a new thing: Azure answers 201 with its address."""
    if dialect_of(request.url.path) != "azure":
        return JSONResponse(body)
    return JSONResponse(body, 201, {"Location": f"{request.base_url}openai/{path}"})


def _safe_name(given: str) -> str:
    r"""Return a name that stays in its folder on every system; it stands in answers and on the disk.

    Example:
        >>> _safe_name("../../etc/passwd"), _safe_name(r"C:\data\train.jsonl"), _safe_name("..")
        ('passwd', 'train.jsonl', 'file')
    """
    name = given.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in name if c.isprintable() and c not in '<>:"|?*').strip(". ")
    while len(kept.encode()) > _NAME_BYTES:
        kept = kept[1:]  # the end tells what kind of file it is
    return kept or "file"


def _purpose(given: object) -> str:
    if given not in PURPOSES:
        text = f"'purpose' is {given!r}."
        hint = f"One of: {', '.join(PURPOSES)}."
        raise RequestError(text, code="invalid_value", param="purpose", hint=hint)
    return str(given)


def _lifetime(anchor: object, seconds: object) -> int | None:
    if anchor is None and seconds is None:
        return None
    is_number = isinstance(seconds, str) and seconds.isdecimal() and len(seconds) < 10
    value = int(str(seconds)) if is_number else 0
    if anchor != "created_at" or not 3600 <= value <= 2_592_000:
        text = f"'expires_after' is {anchor!r}, {seconds!r}."
        hint = "Give anchor 'created_at' and 3600 to 2592000 seconds."
        raise RequestError(text, code="invalid_value", param="expires_after", hint=hint)
    return value


def _store(file: UploadFile | Uploaded, path: Path) -> int:
    """Write an upload in one step and return its size.

    Raises:
        RequestError: it is empty, or larger than OpenAI's limit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".upload")
    size = 0
    try:
        with os.fdopen(descriptor, "wb") as target:
            while block := file.file.read(_BLOCK_BYTES):
                size += len(block)
                if size > MAX_UPLOAD_BYTES:
                    text = f"The file is larger than {MAX_UPLOAD_BYTES} bytes."
                    raise RequestError(text, code="file_too_large", status=413, param="file")
                target.write(block)
            if size == 0:
                raise RequestError("The file is empty.", code="empty_file", param="file")
            target.flush()
            os.fsync(target.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return size

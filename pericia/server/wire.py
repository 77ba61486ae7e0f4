"""What every answer has in common: errors in OpenAI's shape, headers, keys, lists with `has_more`, event streams.

The official client retries 408, 409, 429 and every 5xx by itself, so state errors leave as 400 and each error says
whether a retry makes sense. FastAPI's own 422 never leaves.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal, TypeVar

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from pericia.errors import InputError, PericiaError

Dialect = Literal["openai", "azure"]
MAX_JSON_BYTES = 16 << 20  # far above any chat that fits a context
MAX_UPLOAD_BYTES = 512 << 20  # OpenAI's limit for a file
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_KEEP_ALIVE_S = 15.0  # proxies close a stream that is silent for longer than 30 to 60 s
_AZURE_CODES = {400: "invalidPayload", 401: "unauthorized", 403: "forbidden", 404: "notFound"}
_AZURE_CODES |= {409: "conflict", 429: "tooManyRequests", 503: "serviceUnavailable"}
_AZURE_OWN = ("DeploymentNotFound", "DeploymentModelNotSupported")  # of the management path
# what these APIs have and this server does not, by how a path goes on after its mount
_NOT_SERVED = {
    "fine_tuning/checkpoints": "Permissions of checkpoints are not served: whoever may ask this server may ask them.",
    "fine_tuning/alpha/graders": "Graders are not served: they belong to the method 'reinforcement'.",
    "uploads": "Uploads in parts are not served. POST /files takes up to 512 MB at once.",
    "files/import": "Files are not fetched from other places. Upload them by POST /files.",
    "batches": "Batches are not served. Send the requests one by one; they are answered together.",
    "images": "Images are not served: the models here read and write text.",
    "audio": "Audio is not served: the models here read and write text.",
    "moderations": "Moderations are not served.",
    "evals": "Evals are not served. Compare models by: pericia run",
    "assistants": "Assistants are not served. POST /responses with 'file_search' answers from files.",
    "threads": "Threads are not served. Send the earlier messages with each request.",
    "responses/input_tokens": "Tokens are counted by POST /tokenize.",
    "responses": "Answers are not kept here: POST /responses returns the whole of it.",
    "chat/completions": "Answers are not kept here: POST /chat/completions returns the whole of it.",
    "conversations": "Conversations are not served. Send the earlier messages with each request.",
}
_JSON = json.JSONEncoder(ensure_ascii=False, default=jsonable_encoder)
REFUSAL = "pericia.refusal"  # in the scope of a request that the page's door does not let in
T = TypeVar("T")
log = logging.getLogger("pericia.server")


class RequestError(InputError):
    """A refusal with a code of OpenAI's own, such as `model_not_found`."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 400,
        hint: str = "",
        param: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, param=param)
        self.code = code
        self.status = status


class BusyError(PericiaError):
    """More is waiting than the server takes; `retry_after_s` says when to come back."""

    status = 429
    code = "rate_limit_exceeded"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, hint="Send fewer requests at a time.")
        self.retry_after_s = retry_after_s


def dialect_of(path: str) -> Dialect:
    """Return how a path is answered: `/openai/v1` speaks OpenAI's dialect, the rest of `/openai` Azure's.

    Example:
        >>> dialect_of("/v1/files"), dialect_of("/openai/v1/files"), dialect_of("/openai/files")
        ('openai', 'openai', 'azure')
    """
    is_azure = path.startswith(("/openai/", "/subscriptions/")) and not path.startswith(
        "/openai/v1/"
    )
    return "azure" if is_azure else "openai"


def error_body(error: PericiaError, dialect: Dialect) -> dict[str, Any]:
    """Return the four fields that every client reads; the hint is part of the message, which is all that they show."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    code = error.code
    if dialect == "azure" and code not in _AZURE_OWN:
        code = _AZURE_CODES.get(error.status, "internalFailure")
    message = f"{error.message} {error.hint}".strip().encode("utf-8", "replace").decode()
    return {"error": {"message": message, "type": kind, "param": error.param, "code": code}}


def error_response(error: PericiaError, path: str) -> JSONResponse:
    """Return the answer to a request that failed."""
    status = 400 if error.status == 409 else error.status
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    if isinstance(error, BusyError):
        headers["retry-after"] = str(error.retry_after_s)
    return JSONResponse(error_body(error, dialect_of(path)), status, headers)


def speak_of_errors(app: FastAPI) -> None:
    """Make every failure of the app an answer in OpenAI's shape."""

    def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PericiaError)
        return error_response(error, request.url.path)

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return error_response(_first_fault(error), request.url.path)

    def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        path = request.url.path
        missing = _no_path(path)
        if error.status_code == 404 or missing.code == "not_served":
            return error_response(missing, path)
        text = f"{request.method} {path}: {error.detail}."
        code = "method_not_allowed" if error.status_code == 405 else "invalid_request_error"
        return error_response(RequestError(text, code=code, status=error.status_code), path)

    def unexpected(request: Request, error: Exception) -> JSONResponse:
        text = "The server met a fault of its own; its log has the details."
        return error_response(PericiaError(text), request.url.path)

    app.add_exception_handler(PericiaError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(Exception, unexpected)


def _no_path(path: str) -> RequestError:
    """Return the refusal of a path: of a part of the API that is not served, or of none."""
    inner = path.removeprefix("/openai").removeprefix("/v1").strip("/")
    for start, text in _NOT_SERVED.items():
        if f"{inner}/".startswith(f"{start}/"):
            return RequestError(text, code="not_served", status=404)
    text = f"There is no path '{path}'."
    hint = "Served: /v1, /openai/v1 and /openai; see /docs."
    return RequestError(text, code="not_found", status=404, hint=hint)


def _first_fault(error: RequestValidationError) -> RequestError:
    """Return the first fault that has a name, as `messages[2].role`; a union's other branches say the same again."""
    faults = error.errors()
    deepest = max(faults, key=_depth) if faults else None
    if deepest is None or deepest["type"] == "json_invalid":
        text = "The body is no JSON." if deepest else "The request is not valid."
        return RequestError(text, code="invalid_json", hint="Send one JSON object.")
    place = [part for part in deepest["loc"][1:] if isinstance(part, int) or _is_key(part)]
    param = ""
    for part in place:
        param += f"[{part}]" if isinstance(part, int) else f"{'.' if param else ''}{part}"
    message = f"{param or 'the body'}: {deepest['msg']}."
    if deepest["type"] == "extra_forbidden":
        return RequestError(f"Unknown parameter '{param}'.", code="unknown_parameter", param=param)
    if deepest["type"] == "missing":
        return RequestError(
            f"'{param}' is missing.", code="missing_required_parameter", param=param
        )
    return RequestError(message, code="invalid_value", param=param or None)


def _depth(fault: dict[str, Any]) -> tuple[int, bool]:
    """Return how much a fault says; that of a union's other branch says only that the value is of another type."""
    return len(fault["loc"]), not fault["type"].endswith("_type")


def model_asked(name: str | None, request: Request) -> str:
    """Return the model's name: of the path under Azure's deployments, where the body need not have it, else of the body.

    Raises:
        RequestError: neither has one.
    """
    asked: str | None = request.path_params.get("deployment") or name
    if asked is None:
        raise RequestError("'model' is missing.", code="missing_required_parameter", param="model")
    return asked


def _is_key(part: str) -> bool:
    """Return whether a part of a location stands in the body; pydantic adds the branches of unions."""
    is_class = part[:1].isupper()
    return part.isidentifier() and not is_class and part not in ("str", "int", "float", "bool")


def limited(receive: Receive, headers: Headers, path: str) -> Receive:
    """Return `receive`, which ends with 413 once the body is larger than its kind may be.

    Raises:
        RequestError: the announced length is too large already.
    """
    is_upload = headers.get("content-type", "").startswith("multipart/")
    limit = MAX_UPLOAD_BYTES + (1 << 20) if is_upload else MAX_JSON_BYTES
    too_large = RequestError(
        f"The body is larger than {limit} bytes.", code="request_too_large", status=413
    )
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise too_large
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise too_large
        return message

    return counted


def page(items: Sequence[T], shape: Callable[[T], dict[str, Any]], *, has_more: bool) -> Any:
    """Return a list as the client pages through it: it goes on until `has_more` is false."""
    data = [shape(item) for item in items]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {
        "object": "list",
        "data": data,
        "first_id": first,
        "last_id": last,
        "has_more": has_more,
    }


def server_sent(value: Any) -> str:
    """Return one event of a stream; a string such as `[DONE]` is sent as it is."""
    return f"data: {value if isinstance(value, str) else _JSON.encode(value)}\n\n"


async def kept_alive(
    lines: AsyncIterator[str], every_s: float = _KEEP_ALIVE_S
) -> AsyncIterator[str]:
    """Yield the lines, and a comment whenever none has come for a while."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[str | None] = asyncio.Queue()
    heard = loop.time()

    async def pump() -> None:
        try:
            async for line in lines:
                ready.put_nowait(line)
        finally:
            ready.put_nowait(None)

    async def beat() -> None:
        while True:
            await asyncio.sleep(max(0.0, heard + every_s - loop.time()))
            if loop.time() - heard >= every_s:
                ready.put_nowait(": the answer is on its way\n\n")
                await asyncio.sleep(every_s)

    pumping, beating = asyncio.ensure_future(pump()), asyncio.ensure_future(beat())
    try:
        while (line := await ready.get()) is not None:
            heard = loop.time()
            yield line
        await pumping  # raises what the lines have raised
    finally:
        beating.cancel()
        pumping.cancel()

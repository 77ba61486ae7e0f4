"""The outermost layer of the API: request id, keys, size of the body, metrics, and a log without contents.

Each request is a line of JSON in `requests.log`: when, which, by which key, how long, with what end. No body, no key
and nothing of a query but Azure's `api-version` is ever written.
"""

import json
import logging
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pericia.errors import PericiaError
from pericia.server.gate import Gate
from pericia.server.metrics import Meter
from pericia.server.wire import REFUSAL, error_response, limited

_LOG_BYTES = 10 << 20
_LOGS_KEPT = 5
_GONE = 499  # nginx's word for a caller who left before the answer
_VERSION_LENGTH = 40  # of what is kept of an api-version; Azure's have 18 at most
log = logging.getLogger("pericia.server")


class RequestLog:
    """`requests.log`, kept small. What ends after the app was closed, or replaced by another, is still written."""

    def __init__(self, path: Path) -> None:
        self._is_closed = False
        self._handler = RotatingFileHandler(
            path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8", delay=True
        )

    def write(self, **values: Any) -> None:
        """Append a line."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **values})
        record = logging.LogRecord("pericia.requests", logging.INFO, "", 0, line, None, None)
        self._handler.handle(record)
        if self._is_closed:
            self._handler.close()

    def close(self) -> None:
        """Close the file."""
        self._is_closed = True
        self._handler.close()


class Envelope:
    """See above. `open_paths` need no key."""

    def __init__(
        self, app: ASGIApp, gate: Gate, meter: Meter, log: RequestLog, open_paths: Sequence[str]
    ) -> None:
        self._app = app
        self._gate = gate
        self._meter = meter
        self._log = log
        self._open_paths = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        request_id = f"req_{secrets.token_hex(16)}"
        started = time.perf_counter()
        status, who = _GONE, ""

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
                status = message["status"]
            await send(message)

        try:
            if (refusal := scope.get(REFUSAL)) is not None:
                raise refusal
            if not path.startswith(self._open_paths):
                who = self._gate.check(headers, method, path).id
            await self._app(scope, limited(receive, headers, path), send_with_id)
        except PericiaError as error:  # of the door, of the gate, or of the announced length
            await error_response(error, path)(scope, receive, send_with_id)
        except Exception as error:
            if status != _GONE:  # the answer has begun
                raise
            log.exception("%s %s (%s)", method, path, request_id)
            answer = scope["app"].exception_handlers[Exception](Request(scope), error)
            await answer(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            self._meter.request(method, route, status, seconds)
            self._log.write(
                id=request_id,
                key=who,
                method=method,
                path=path,
                status=status,
                ms=round(seconds * 1000, 1),
                **_version(scope),
            )


def _version(scope: Scope) -> dict[str, str]:
    """Return the api-version that Azure's clients send with every request."""
    given = parse_qs(scope["query_string"].decode("latin-1"))
    return (
        {"api_version": given["api-version"][0][:_VERSION_LENGTH]} if "api-version" in given else {}
    )

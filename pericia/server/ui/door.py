"""The page's door, the outermost layer: who may come in, from where, and what a page may load.

Keys and ids of the API are `wire.Envelope`'s; here a browser's cookie becomes the key that the API knows.
"""

import hashlib
import hmac
from collections.abc import Sequence
from http.cookies import SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pericia.server.wire import REFUSAL, RequestError

POLICY = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)
SESSION = "pericia_session"
API = ("/v1/", "/openai/", "/subscriptions/", "/api/", "/metrics", "/healthz", "/tokenize")
OPEN = ("/login", "/static/")
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # no-referrer would make a form's own origin "null"
    "cross-origin-opener-policy": "same-origin",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def session_of(key: str) -> str:
    """Return the cookie that stands for a key; it says nothing about the key and ends when the key changes."""
    return hmac.new(key.encode(), b"pericia page session 1", hashlib.sha256).hexdigest()


def is_page(path: str) -> bool:
    """Return whether a path is read by people: all that is not the API.

    Example:
        >>> is_page("/ask"), is_page("/v1/models"), is_page("/api/events")
        (True, False, False)
    """
    return not path.startswith(API)


class Door:
    """Checks `Host` and `Origin`, lets cookies in, and adds the headers that keep a page to itself.

    Without a key only loopback's own names are answered, or a page elsewhere could rebind its name to this server.
    """

    def __init__(self, app: ASGIApp, key: str, hosts: Sequence[str] = _LOOPBACK) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, minimum_size=800, compresslevel=6)
        self._key = key
        self._hosts = tuple(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        try:
            self._check_host(headers)
            self._check_origin(scope["method"], headers)
        except RequestError as error:
            await self._app({**scope, REFUSAL: error}, receive, send)
            return
        if not is_page(path):
            await self._app(self._with_key(scope, headers), receive, send)
            return
        if self._key and not path.startswith(OPEN) and not self._has_session(headers):
            target = f"/login?next={quote(path)}"
            await RedirectResponse(target, 303)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                written = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    written.setdefault(name, value)
            await send(message)

        await self._compressed(self._with_key(scope, headers), receive, send_with_headers)

    def _check_host(self, headers: Headers) -> None:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not self._key and name not in self._hosts:
            raise RequestError(
                f"This server does not answer to the name '{name}'.",
                code="unknown_host",
                status=421,
                hint="Use 127.0.0.1 or localhost, or set PERICIA_API_KEY.",
            )

    def _check_origin(self, method: str, headers: Headers) -> None:
        """Refuse what another site's page sends in a browser; programs send no `Origin`, and keys prove consent."""
        origin = headers.get("origin")
        if method in _SAFE or "authorization" in headers or "api-key" in headers:
            return
        site = headers.get(
            "sec-fetch-site"
        )  # what the browser says; older ones say only the origin
        is_own = origin is None or urlsplit(origin).netloc == headers.get("host")
        if site not in ("same-origin", "none") if site else not is_own:
            raise RequestError(
                f"A page of '{origin}' may not change anything here.",
                code="cross_origin",
                status=403,
                hint="Open the page of this server itself.",
            )

    def _has_session(self, headers: Headers) -> bool:
        cookie: SimpleCookie = SimpleCookie()
        cookie.load(headers.get("cookie", ""))
        given = cookie[SESSION].value if SESSION in cookie else ""
        return hmac.compare_digest(given.encode(), session_of(self._key).encode())

    def _with_key(self, scope: Scope, headers: Headers) -> Scope:
        """Return the request with the key that its cookie stands for; the way to the login form needs none."""
        if not self._key or "authorization" in headers or "api-key" in headers:
            return scope
        if not scope["path"].startswith(OPEN) and not self._has_session(headers):
            return scope
        given = (b"authorization", f"Bearer {self._key}".encode())
        return {**scope, "headers": [*scope["headers"], given]}

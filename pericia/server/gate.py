"""Who may do what: the owner's key, further keys with a scope, and how many requests a minute each may send.

Keys are on once PERICIA_API_KEY is set; that one may do everything. The others are made under `/api/keys`, shown
once, and kept as SHA-256: they are 256 random bits, so a slow hash would add nothing.
"""

import hmac
import re
import secrets
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from starlette.datastructures import Headers

from pericia.jobs import Key, Ledger
from pericia.server.wire import BusyError, RequestError

Scope = Literal["infer", "read", "train", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PREFIX = "sk-pericia-"
_SEEN_FOR_S = 2.0  # how long a deleted key may still open another process of this server
_WINDOW_S = 60.0
_INFER = re.compile(
    r"/(chat/completions|completions|embeddings|responses|tokenize|vector_stores/[^/]+/search|models(/.*)?)$"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request; `id` is that of the key, never the key."""

    id: str
    scopes: frozenset[str]


OWNER = Caller("owner", frozenset(SCOPES))
ANYBODY = Caller("anybody", frozenset(SCOPES))  # where keys are off


def need_of(method: str, path: str) -> Scope:
    """Return the scope that a request needs.

    Example:
        >>> need_of("POST", "/v1/chat/completions"), need_of("GET", "/v1/files"), need_of("POST", "/v1/files")
        ('infer', 'read', 'train')
    """
    is_read = method in ("GET", "HEAD", "OPTIONS")
    sets_up = path.endswith("/set-up") and not is_read  # settings may name addresses and folders
    if path.startswith("/api/keys") or path.endswith("load_lora_adapter") or sets_up:
        return "admin"
    if _INFER.search(path) and method != "DELETE":
        return "infer"
    return "read" if is_read else "train"


def make_key(ledger: Ledger, label: str, scopes: frozenset[str]) -> tuple[Key, str]:
    """Return a new key's row and the key itself, which nobody can read again."""
    text = f"{_PREFIX}{secrets.token_urlsafe(32)}"
    id_ = f"key_{secrets.token_hex(12)}"
    values = {"label": label, "sha256": _hash(text), "scope": ",".join(sorted(scopes))}
    row: Key = ledger.add(Key, id_, **values)
    return row, text


class Gate:
    """Lets callers in or says why not. `key` "" turns keys off; `per_minute` 0 counts nothing."""

    def __init__(self, ledger: Ledger, key: str, per_minute: int) -> None:
        self._ledger = ledger
        self._key = key
        self._per_minute = per_minute
        self._keys: tuple[float, list[Key]] = (0.0, [])
        self._sent: defaultdict[str, deque[float]] = defaultdict(deque)

    def check(self, headers: Headers, method: str, path: str) -> Caller:
        """Return who asks.

        Raises:
            RequestError: no key (401), a wrong one (401), or one that does not allow this (403).
            BusyError: the caller has sent too many requests within a minute.
        """
        caller = self._caller(headers)
        need = need_of(method, path)
        if need not in caller.scopes and "admin" not in caller.scopes:
            text = f"This key allows {', '.join(sorted(caller.scopes))}; the request needs {need}."
            raise RequestError(
                text, code="insufficient_permissions", status=403, hint="Use another key."
            )
        self._count(caller)
        return caller

    @property
    def is_on(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._key)

    def forget(self) -> None:
        """Read the keys again at the next request."""
        self._keys = (0.0, [])

    def _caller(self, headers: Headers) -> Caller:
        if not self._key:
            return ANYBODY
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        given = headers.get("api-key") or bearer
        if hmac.compare_digest(given.encode(), self._key.encode()):
            return OWNER
        hashed = _hash(given)
        found = None
        for row in self._known():  # all of them, so that the time says nothing about which one
            if hmac.compare_digest(row.sha256, hashed):
                found = row
        if found is None:
            text = "Incorrect API key provided." if given else "No API key provided."
            raise RequestError(
                text, code="invalid_api_key", status=401, hint="See PERICIA_API_KEY."
            )
        return Caller(found.id, frozenset(found.scope.split(",")))

    def _known(self) -> list[Key]:
        now = time.monotonic()
        if now - self._keys[0] > _SEEN_FOR_S or not self._keys[0]:
            self._keys = now, self._ledger.all(Key)
        return self._keys[1]

    def _count(self, caller: Caller) -> None:
        if not self._per_minute or caller is ANYBODY:
            return
        now = time.monotonic()
        sent = self._sent[caller.id]
        while sent and sent[0] < now - _WINDOW_S:
            sent.popleft()
        if len(sent) >= self._per_minute:
            wait_s = max(1, round(sent[0] + _WINDOW_S - now))
            text = f"This key has sent {len(sent)} requests within a minute, as many as it may."
            raise BusyError(text, retry_after_s=wait_s)
        sent.append(now)


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()

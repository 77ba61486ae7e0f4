"""A served folder whose settings are written while it is served: from then on its new app answers, on the same port."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from pericia.config import Config
from pericia.server.house import Renew


class Renewal:
    """An app that can be replaced; a request is answered to its end by the app that began it."""

    def __init__(self, build: Callable[[Config, Renew], FastAPI], config: Config) -> None:
        self._build = build
        self._app = build(config, self.renew)
        self._open = AsyncExitStack()
        self._router = Router(lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serves = self._router if scope["type"] == "lifespan" else self._app
        await serves(scope, receive, send)

    async def renew(self, config: Config) -> None:
        """Serve by other settings; on an error the app that is there stays."""
        app, opened = self._build(config, self.renew), AsyncExitStack()
        await opened.enter_async_context(app.router.lifespan_context(app))
        before, self._app, self._open = self._open, app, opened
        await before.aclose()

    @asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        await self._open.enter_async_context(self._app.router.lifespan_context(self._app))
        yield
        await self._open.aclose()

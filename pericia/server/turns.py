"""Generations take turns: one at a time, in order of arrival, each in a thread, with its text as it grows.

A caller who has gone away stops his generation at the next piece; a stop string ends it and is never sent.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pericia.server.wire import BusyError
from pericia.types import Answer

OnText = Callable[[str], None]
_END = None


class CallerGoneError(Exception):
    """Nobody waits for the answer any more."""


class StoppedError(Exception):
    """A stop string has come up, so there is nothing left to generate."""


class Turns:
    """A queue of one worker. More than `max_waiting` callers in the queue are sent away with 429."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="generation")

    def close(self) -> None:
        """Let the worker end; a generation at work is stopped by its caller going away."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def stream(self, work: Callable[[OnText], Answer]) -> AsyncIterator[str | Answer]:
        """Yield the pieces of an answer as they grow, and the Answer itself last.

        Raises:
            BusyError: too many wait already. PericiaError: whatever `work` raises.
        """
        if self._num_waiting >= self._max_waiting:
            text = f"{self._num_waiting} requests wait for the model already."
            raise BusyError(text, retry_after_s=max(1, self._num_waiting // 4))
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        gone = threading.Event()

        def on_text(piece: str) -> None:
            if gone.is_set():
                raise CallerGoneError
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def turn() -> Answer:
            if gone.is_set():
                raise CallerGoneError
            return work(on_text)

        def ended(_: Future[Answer]) -> None:
            loop.call_soon_threadsafe(end)

        def end() -> None:
            self._num_waiting -= 1
            pieces.put_nowait(_END)

        self._num_waiting += 1
        future = self._pool.submit(turn)
        future.add_done_callback(ended)
        try:
            while (piece := await pieces.get()) is not _END:
                yield piece
            yield future.result()
        finally:
            gone.set()

    async def whole(
        self, work: Callable[[OnText], Answer], is_gone: Callable[[], Awaitable[bool]]
    ) -> Answer:
        """Return the Answer when it is complete. Raises as `stream`, and CallerGoneError."""
        async for piece in self.stream(work):
            if isinstance(piece, Answer):
                return piece
            if await is_gone():
                break
        raise CallerGoneError


class CutAtStops:
    """Passes text on as it grows, up to the first stop string; the rest is held back, because it might become one.

    Example:
        >>> sent = []
        >>> cut = CutAtStops(["###"], sent.append)
        >>> cut("a #"), cut("b"), cut.finish()
        (None, None, None)
        >>> sent
        ['a ', '#b']
    """

    def __init__(self, stops: Sequence[str], on_text: OnText) -> None:
        self.text = ""
        self._stops = tuple(stops)
        self._on_text = on_text
        self._num_sent = 0

    def __call__(self, piece: str) -> None:
        """Take the next piece.

        Raises:
            StoppedError: a stop string is complete; `text` is what stands before it.
        """
        self.text += piece
        found = [at for at in (self.text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.finish()
            raise StoppedError
        self._send(len(self.text) - self._num_held())

    def finish(self) -> None:
        """Send what was held back."""
        self._send(len(self.text))

    def _num_held(self) -> int:
        """Return the length of the longest end of the text that is the beginning of a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        for length in range(min(longest, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-length:]) for stop in self._stops):
                return length
        return 0

    def _send(self, end: int) -> None:
        if end > self._num_sent:
            self._on_text(self.text[self._num_sent : end])
            self._num_sent = end

"""Generations take turns: a few at a time, in order of arrival, each in a thread, with its text as it grows.

The model answers those at work together, a token each a step. A caller who has gone away ends his generation at the
next piece; a stop string ends it and is never sent.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Literal

from pericia.errors import EnoughError
from pericia.server.wire import BusyError
from pericia.types import Answer

OnText = Callable[[str], None]
MOST_TOGETHER = 32
_LOOK_S = 0.25  # how often a caller is looked for who waits for a whole answer
_END = None
GATHER_S = 0.02  # a screen shows 60 images a second, and nobody reads so fast


class CallerGoneError(EnoughError):
    """Nobody waits for the answer any more."""


class StoppedError(EnoughError):
    """A stop string has come up, so there is nothing left to generate."""


class Turns:
    """A queue of `together` workers; with `auto` there are many, and the model takes in as many as its memory holds.

    Callers above `max_waiting`, those at work included, are sent away with 429.
    """

    def __init__(self, max_waiting: int, together: int | Literal["auto"] = 1) -> None:
        num_together = MOST_TOGETHER if together == "auto" else together
        self._max_waiting = max_waiting
        self._num_together = num_together
        self._mean_s = 1.0  # of a turn, of late
        self.num_waiting = 0
        self._pool = ThreadPoolExecutor(num_together, thread_name_prefix="generation")

    def close(self) -> None:
        """Let the workers end; a generation at work is stopped by its caller going away."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check(self) -> None:
        """Raise BusyError where a new caller would be sent away."""
        if self.num_waiting >= self._max_waiting:
            text = f"{self.num_waiting} requests are being answered or wait already."
            wait_s = self.num_waiting / self._num_together * self._mean_s
            raise BusyError(text, retry_after_s=max(1, min(60, round(wait_s))))

    async def stream(
        self, works: Sequence[Callable[[OnText], Answer]]
    ) -> AsyncGenerator[tuple[int, str | Answer], None]:
        """Yield the pieces of several answers as they grow, each with its index, and each Answer itself last.

        What grows within `GATHER_S`, or while the caller is busy, comes as one piece: a fast model costs the server
        less, and no reader can tell.

        Raises:
            BusyError: too many wait already. PericiaError: whatever a work raises.
        """
        self.check()
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[int, str | None]] = asyncio.Queue()
        gone = threading.Event()

        def on_text(index: int, piece: str) -> None:
            _leave_if(gone)
            loop.call_soon_threadsafe(pieces.put_nowait, (index, piece))

        futures = []
        for index, work in enumerate(works):
            future = self._submit(_gathering(work), partial(on_text, index), gone, loop)
            end = partial(_call, loop, pieces.put_nowait, (index, _END))
            future.add_done_callback(lambda _, end=end: end())  # type: ignore[misc]
            futures.append(future)
        num_open = len(futures)
        try:
            while num_open:
                for index, piece in await _arrived(pieces):
                    num_open -= piece is _END
                    yield index, futures[index].result() if piece is _END else piece
        finally:
            gone.set()

    async def whole(
        self,
        work: Callable[[OnText], Answer],
        is_gone: Callable[[], Awaitable[bool]],
        *,
        is_further: bool = False,
    ) -> Answer:
        """Return the Answer when it is complete. Raises as `stream`, and CallerGoneError."""
        if not is_further:
            self.check()
        gone = threading.Event()
        loop = asyncio.get_running_loop()
        future = self._submit(work, lambda _: _leave_if(gone), gone, loop)
        answer = asyncio.wrap_future(future)
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while not (await asyncio.wait([answer], timeout=_LOOK_S))[0]:
                if await is_gone():
                    raise CallerGoneError
            return answer.result()
        finally:
            gone.set()

    def _submit(
        self,
        work: Callable[[OnText], Answer],
        on_text: OnText,
        gone: threading.Event,
        loop: asyncio.AbstractEventLoop,
    ) -> "Future[Answer]":
        def turn() -> Answer:
            _leave_if(gone)
            started = time.monotonic()
            answer = work(on_text)
            _leave_if(gone)
            self._mean_s = 0.8 * self._mean_s + 0.2 * (time.monotonic() - started)
            return answer

        self.num_waiting += 1
        future = self._pool.submit(turn)
        future.add_done_callback(lambda _: _call(loop, self._leave))
        return future

    def _leave(self) -> None:
        self.num_waiting -= 1


def _gathering(work: Callable[[OnText], Answer]) -> Callable[[OnText], Answer]:
    """Return a work that passes its first piece on at once, and what follows at most every `GATHER_S`."""

    def gathered(on_text: OnText) -> Answer:
        held, due = "", 0.0

        def take(piece: str) -> None:
            nonlocal held, due
            held += piece
            if (now := time.monotonic()) >= due:
                due = now + GATHER_S
                ready, held = held, ""
                on_text(ready)

        answer = work(take)
        if held:
            on_text(held)
        return answer

    return gathered


async def _arrived(pieces: "asyncio.Queue[tuple[int, str | None]]") -> list[tuple[int, str | None]]:
    """Return what has arrived, once something has; pieces of one answer that follow each other are joined."""
    found = [await pieces.get()]
    while not pieces.empty():
        index, piece = pieces.get_nowait()
        last_index, last = found[-1]
        if index == last_index and last is not _END and piece is not _END:
            found[-1] = index, last + piece
        else:
            found.append((index, piece))
    return found


def _leave_if(gone: threading.Event) -> None:
    if gone.is_set():
        raise CallerGoneError


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call a function in the loop, unless the server has ended meanwhile."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *args)


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
        self.is_cut = False
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
            self.is_cut = True
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

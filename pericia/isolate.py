"""A worker process that may die: calls run one after another in it, with limits of time and memory.

It is a plain child process that talks in pickles over its pipes, so the caller's main module is never imported
again, and one process serves many calls. A call that takes too long or too much ends the process, not the caller.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Self

from pericia.errors import PericiaError


class WorkerDiedError(PericiaError):
    """The process ended in the middle of a call: killed by a signal, or it ran out of memory."""


class WorkerTimeoutError(PericiaError):
    """The call took longer than it may, and its process was killed."""


class Worker:
    """One child process, started at the first call and again after it died."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def call(
        self, function: Callable[..., Any], *args: Any, timeout_s: float, **kwargs: Any
    ) -> Any:
        """Return `function(*args, **kwargs)` as the child computes it; its errors are raised here.

        Raises:
            WorkerTimeoutError: it took more than `timeout_s` seconds.
            WorkerDiedError: the process ended before it answered.
        """
        process = self._process
        if process is None or process.poll() is not None:
            self.close()
            process = self._process = self._start()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            _send(process.stdin, (function, args, kwargs))
            done, value = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            self.close()
            if late.is_set():
                raise WorkerTimeoutError(f"It took more than {timeout_s:g} s.") from error
            raise WorkerDiedError("The process that read it ended unexpectedly.") from error
        finally:
            timer.cancel()
        if not done:
            raise value
        return value

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:  # a request that nobody reads any more
                        continue
            self._process = None

    def _start(self) -> "subprocess.Popen[bytes]":
        code = f"from pericia.isolate import serve; serve({self._memory_bytes})"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )


def serve(memory_bytes: int) -> None:
    """Answer calls from standard input until it closes; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    while True:
        try:
            function, args, kwargs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, function(*args, **kwargs))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised again in the caller
            answer = (False, _picklable(error))
        _send(answers, answer)


def _send(pipe: IO[bytes], value: object) -> None:
    pickle.dump(value, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _picklable(error: Exception) -> Exception:
    if isinstance(error, PericiaError):
        # Its chain may hold objects of C libraries, which do not travel.
        error.__cause__ = error.__context__ = None
        return error
    return PericiaError(f"{type(error).__name__}: {error}")

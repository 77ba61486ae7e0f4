"""All answers of a model grow together in one thread, a token each a step; callers wait for theirs.

New answers read their prompts between two steps, short ones together and a long one piece by piece, so those that have
begun go on meanwhile. Where keys and values would outgrow their memory, the youngest answer goes back to those that
wait; what it has written is read again with its prompt.

Source: iteration-level scheduling, Yu et al., Orca: A Distributed Serving System for Transformer-Based Generative
Models, 2022; preemption by recomputation, Kwon et al., Efficient Memory Management for Large Language Model Serving
with PagedAttention, 2023.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pericia.errors import EnoughError
from pericia.models.local.adapters import Adapters
from pericia.models.local.batch import Rows, new_cache
from pericia.models.local.choose import Chooser
from pericia.models.local.text import GrowingText
from pericia.types import FinishReason

PROMPT_PIECE = (
    512  # tokens of prompts, padding included, that are read between two steps of the others
)
ROOM_TO_GROW = (
    64  # tokens that there must be room for when an answer joins, or it would soon leave again
)
IDLE_S = 5.0  # after which the thread ends, so that an unused model can be freed


@dataclass(slots=True)
class Reply:
    """One answer on its way: what it needs, how far it is, and at the end its reason or its error."""

    prompt_ids: Sequence[int]
    max_new_tokens: int
    adapter: Path | None
    text: GrowingText
    chooser: Chooser | None  # None: the likeliest token each time
    started: float = field(default_factory=time.perf_counter)
    first_token_ms: float | None = None
    written: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "length"
    error: BaseException | None = None
    is_unwanted: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> Sequence[int]:
        """Return what is to be read: the prompt, and what was written before the answer went back to wait."""
        return [*self.prompt_ids, *self.written]


class Decoder:
    """The thread and its batch. `run` may be called from any number of threads.

    `max_bytes` is the memory of the keys and values of all answers together; a single one may take more.
    """

    def __init__(
        self,
        adapters: Adapters,
        stop_ids: frozenset[int],
        device: torch.device,
        max_rows: int,
        max_bytes: int,
    ) -> None:
        self.stop_ids = stop_ids
        self._adapters = adapters
        self._device = device
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._token_bytes = 0  # of a row, once a prompt has been read
        self._changed = threading.Condition()
        self._arrived: deque[Reply] = deque()
        self._has_thread = False
        self._reading: list[
            Reply
        ] = []  # whose prompts are being read: several short ones, or a long one
        self._read = Rows(new_cache(), [])  # what is read of them
        self._replies: list[Reply] = []  # of the rows, in their order
        self._rows: Rows | None = None

    def run(self, reply: Reply) -> None:
        """Return when the reply has ended; its error is raised here."""
        with self._changed:
            self._arrived.append(reply)
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._work, name="decoding", daemon=True).start()
            self._changed.notify()
        try:
            reply.done.wait()
        except BaseException:  # Ctrl-C: nobody waits any more
            reply.is_unwanted = True
            raise
        if reply.error is not None:
            raise reply.error

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._arrived or self._reading or self._replies):
                    if not self._changed.wait(IDLE_S):
                        self._has_thread = False
                        return
            try:
                with torch.inference_mode():
                    self._read_prompts()
                    self._step()
            except BaseException as error:  # noqa: BLE001 - it is raised again in every caller
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """End everything at work: a step that failed, for want of memory say, leaves no row as it was."""
        at_work = [*self._replies, *self._reading]
        self._replies, self._rows, self._reading = [], None, []
        for reply in at_work:
            reply.error = error
            reply.done.set()

    def _read_prompts(self) -> None:
        """Read prompts, or a piece of one; those that are whole give their first token and join the rows."""
        if not self._reading:
            self._reading = self._next_to_read()
            self._read = Rows(new_cache(), [0] * len(self._reading))
        if all(reply.is_unwanted for reply in self._reading):
            self._reading = []
            return
        begin = self._read.lengths[0]  # nought, but for a long prompt, which is alone
        pieces = [reply.ids[begin : begin + PROMPT_PIECE] for reply in self._reading]
        inputs = self._read.prompt_inputs(pieces, self._device)
        folders = [reply.adapter for reply in self._reading]
        logits = self._adapters.forward(folders, logits_to_keep=1, **inputs).logits[:, -1]
        self._read.lengths = [begin + len(piece) for piece in pieces]
        self._token_bytes = self._read.token_bytes
        if self._read.lengths[0] < len(self._reading[0].ids):
            return
        replies, rows, self._reading = self._reading, self._read, []
        going_on = self._going_on(replies, logits)
        if not going_on:
            return
        if len(going_on) < len(replies):
            rows = rows.keep(going_on)
        self._replies += [replies[index] for index in going_on]
        self._rows = rows if self._rows is None else self._rows.join(rows)

    def _next_to_read(self) -> list[Reply]:
        """Return the oldest that wait, as many as fit into a piece together, and at least one."""
        found: list[Reply] = []
        longest = 0
        while self._arrived and len(self._replies) + len(found) < self._max_rows:
            longest = max(longest, len(self._arrived[0].ids))
            if found and (len(found) + 1) * longest > PROMPT_PIECE:
                break
            num_rows = len(self._replies) + len(found) + 1
            if num_rows > 1 and not self._has_room(num_rows, longest + ROOM_TO_GROW):
                break
            reply = self._arrived.popleft()
            try:
                if reply.adapter is not None:
                    in_use = [one.adapter for one in (*self._replies, *found, reply)]
                    self._adapters.make_room(in_use)
                    self._adapters.load(reply.adapter)
            except Exception as error:  # noqa: BLE001 - it is raised again in its caller
                reply.error = error
                reply.done.set()
                continue
            found.append(reply)
        return found

    def _has_room(self, num_rows: int, num_columns: int) -> bool:
        """Return whether so many rows, padded to so many columns or to those that there are, fit their memory."""
        columns = max(num_columns, 0 if self._rows is None else self._rows.num_columns)
        return num_rows * columns * self._token_bytes <= self._max_bytes

    def _step(self) -> None:
        """Let each answer grow by a token."""
        if self._rows is None:
            return
        while len(self._replies) > 1 and not self._has_room(
            len(self._replies), self._rows.num_columns + 1
        ):
            self._arrived.appendleft(self._replies.pop())
            self._rows = self._rows.keep(range(len(self._replies)))
        inputs = self._rows.inputs([reply.written[-1] for reply in self._replies], self._device)
        folders = [reply.adapter for reply in self._replies]
        logits = self._adapters.forward(folders, **inputs).logits[:, -1]
        self._rows.grow()
        going_on = self._going_on(self._replies, logits)
        if len(going_on) < len(self._replies):
            self._replies = [self._replies[index] for index in going_on]
            self._rows = self._rows.keep(going_on) if going_on else None

    def _going_on(self, replies: Sequence[Reply], logits: torch.Tensor) -> list[int]:
        """Return the indices of those that go on after their next tokens; `logits` is (B, vocabulary)."""
        likeliest = logits.argmax(-1).tolist()
        chosen = enumerate(zip(replies, likeliest, strict=True))
        return [i for i, (reply, token) in chosen if self._takes(reply, token, logits[i])]

    def _takes(self, reply: Reply, likeliest: int, logits: torch.Tensor) -> bool:
        """Return whether the reply goes on after its next token; otherwise it is done."""
        try:
            is_over = reply.is_unwanted or self._take(reply, likeliest, logits)
        except EnoughError:
            reply.finish_reason = "stop"
            is_over = True
        except Exception as error:  # noqa: BLE001 - it is raised again in its caller
            reply.error = error
            is_over = True
        if is_over:
            reply.done.set()
        return not is_over

    def _take(self, reply: Reply, likeliest: int, logits: torch.Tensor) -> bool:
        token = likeliest if reply.chooser is None else reply.chooser.choose(logits)
        if reply.first_token_ms is None:
            reply.first_token_ms = (time.perf_counter() - reply.started) * 1000
        reply.written.append(token)
        is_complete = reply.chooser is not None and reply.chooser.is_complete
        if token in self.stop_ids:
            reply.finish_reason = "stop"
            return True
        reply.text.add(token)
        if is_complete:
            reply.finish_reason = "stop"
        return is_complete or len(reply.written) >= reply.max_new_tokens

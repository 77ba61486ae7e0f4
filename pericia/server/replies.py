"""The shapes of answers to chats and completions, whole and piece by piece."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, Protocol

from pericia.said import Said, packed
from pericia.server.chat_schemas import Function
from pericia.server.citing import annotations
from pericia.server.served import Served
from pericia.server.tools import calls_shape, may_become_call, read_calls
from pericia.types import Answer, TokenLogprob

_SHOWN_CHARACTERS = 300  # of a passage beside an answer; its link shows the rest


class Reply(Protocol):
    """What a stream needs: the pieces of each choice, and the head that all its chunks share."""

    served: Served

    def chunk(self, choice: dict[str, Any] | None, include_usage: bool) -> dict[str, Any]:
        """Return one chunk; `choice` None for the last, which has none."""
        ...

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Return what comes before the first piece of a choice."""
        ...

    def pieces(self, index: int, piece: str) -> list[dict[str, Any]]:
        """Return the next piece of a choice, if it can be shown yet."""
        ...

    def closing(self, index: int, answer: Answer) -> list[dict[str, Any]]:
        """Return what was held back of a choice, and its end."""
        ...


def usage_body(answers: Sequence[Answer], num_choices: int) -> dict[str, Any]:
    """Return the usage of answers, `num_choices` of them to each prompt; a prompt counts once."""
    tokens_in = sum(answer.usage.tokens_in for answer in answers[::num_choices])
    tokens_out = sum(answer.usage.tokens_out for answer in answers)
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }


class ChatReply:
    """A chat's answer. `functions` are those that it may call; `root` is where links to sources begin."""

    def __init__(self, served: Served, root: str, functions: Sequence[Function] = ()) -> None:
        self.served = served
        self._root = root
        self._functions = functions
        self._held: dict[int, str] = {}  # of choices that may still become calls
        self._shown: set[int] = set()  # choices that are text for certain
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": served.fingerprint,
        }

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        choices = []
        for index, answer in enumerate(answers):
            message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
            message["annotations"] = annotations(answer, self._root)
            reason: str = answer.finish_reason
            if calls := read_calls(answer.text, self._functions):
                message |= {"content": None, "tool_calls": calls_shape(calls)}
                reason = "tool_calls"
            choice = {"index": index, "message": message, "finish_reason": reason}
            choice["logprobs"] = _chat_logprobs(answer.logprobs)
            choices.append(choice | _basis(answer))
        head = {**self._head, "object": "chat.completion"}
        usage = usage_body(answers, len(answers))
        return {**head, "choices": choices, "usage": usage}

    def chunk(self, choice: dict[str, Any] | None, include_usage: bool) -> dict[str, Any]:
        """See `Reply.chunk`."""
        choices = [] if choice is None else [choice]
        head = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        return {**head, "usage": None} if include_usage else head

    def opening(self, index: int) -> list[dict[str, Any]]:
        """See `Reply.opening`."""
        return [_choice(index, {"role": "assistant", "content": "", "refusal": None})]

    def pieces(self, index: int, piece: str) -> list[dict[str, Any]]:
        """See `Reply.pieces`; what may become a call is held back until it cannot any more."""
        if self._functions and index not in self._shown:
            text = self._held.pop(index, "") + piece
            if may_become_call(text):
                self._held[index] = text
                return []
            self._shown.add(index)
            return [_choice(index, {"content": text})]
        return [_choice(index, {"content": piece})]

    def closing(self, index: int, answer: Answer) -> list[dict[str, Any]]:
        """See `Reply.closing`. Log-probabilities come with the last chunk."""
        found: list[dict[str, Any]] = []
        reason: str = answer.finish_reason
        held = self._held.pop(index, "")
        if calls := read_calls(answer.text, self._functions) if held else ():
            found.append(_choice(index, {"tool_calls": calls_shape(calls, is_delta=True)}))
            reason = "tool_calls"
        elif held:
            found.append(_choice(index, {"content": held}))
        notes = annotations(answer, self._root)
        last = _choice(index, {"annotations": notes} if notes else {}, reason)
        last["logprobs"] = _chat_logprobs(answer.logprobs)
        return [*found, last | _basis(answer)]


def _basis(answer: Answer) -> dict[str, Any]:
    """Return what an answer from documents rests on, as one more field that the official client keeps."""
    if not answer.passages and not answer.refused and not answer.notes:
        return {}
    passages = [
        {
            "number": number,
            "source": passage.chunk.source,
            "page": passage.chunk.place.page,
            "line": passage.chunk.place.line,
            "cell": passage.chunk.place.cell,
            "text": passage.chunk.text[:_SHOWN_CHARACTERS],
        }
        for number, passage in enumerate(answer.passages, start=1)
    ]
    about = {"refused": answer.refused, "notes": list(answer.notes), "passages": passages}
    if any(isinstance(note, Said) for note in answer.notes):  # for readers of other languages
        about["note_parts"] = [packed(note) for note in answer.notes]
    return {"pericia": about}


def _choice(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _chat_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    def shape(one: TokenLogprob) -> dict[str, Any]:
        return {"token": one.token, "logprob": one.logprob, "bytes": list(one.data)}

    if not logprobs:
        return None
    content = [{**shape(one), "top_logprobs": [shape(top) for top in one.top]} for one in logprobs]
    return {"content": content, "refusal": None}


class TextReply:
    """A completion's answer."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": served.fingerprint,
        }

    def whole(self, answers: Sequence[Answer], echoed: Sequence[str], n: int) -> dict[str, Any]:
        choices = [
            _text_choice(index, echoed[index // n] + answer.text, answer)
            for index, answer in enumerate(answers)
        ]
        return {**self._head, "choices": choices, "usage": usage_body(answers, n)}

    def chunk(self, choice: dict[str, Any] | None, include_usage: bool) -> dict[str, Any]:
        """See `Reply.chunk`."""
        head = {**self._head, "choices": [] if choice is None else [choice]}
        return {**head, "usage": None} if include_usage else head

    def opening(self, index: int) -> list[dict[str, Any]]:
        """See `Reply.opening`."""
        return []

    def pieces(self, index: int, piece: str) -> list[dict[str, Any]]:
        """See `Reply.pieces`."""
        return [_text_choice(index, piece)]

    def closing(self, index: int, answer: Answer) -> list[dict[str, Any]]:
        """See `Reply.closing`."""
        return [_text_choice(index, "", answer)]


def _text_choice(index: int, text: str, answer: Answer | None = None) -> dict[str, Any]:
    reason = None if answer is None else answer.finish_reason
    logprobs = None if answer is None else _text_logprobs(answer.logprobs)
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def _text_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Return the parallel lists of the older API."""
    if not logprobs:
        return None
    offsets = [0]
    for one in logprobs[:-1]:
        offsets.append(offsets[-1] + len(one.token))
    return {
        "tokens": [one.token for one in logprobs],
        "token_logprobs": [one.logprob for one in logprobs],
        "top_logprobs": [{top.token: top.logprob for top in one.top} for one in logprobs],
        "text_offset": offsets,
    }

"""POST /chat/completions and /completions: a chat or a text goes on, whole or as a stream of pieces."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pericia.errors import PericiaError
from pericia.server.citing import annotations
from pericia.server.experts import Decoding, Served
from pericia.server.house import House
from pericia.server.schemas import ChatRequest, CompletionRequest, refuse_unserved
from pericia.server.turns import CallerGoneError
from pericia.server.wire import RequestError, dialect_of, error_body, server_sent
from pericia.types import Answer, Message, Usage

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
# what would change the answer and cannot be honoured, with the values that change nothing
_UNSERVED: dict[str, tuple[Any, ...]] = {"logit_bias": ({},)}
_UNSERVED_CHAT = _UNSERVED | {
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "store": (False,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
}
_UNSERVED_COMPLETION = _UNSERVED | {"logprobs": (0,), "suffix": ("",), "best_of": (1,)}


def routes(house: House) -> APIRouter:
    """Return the routes; under `/openai/deployments/{deployment}` the path names the model."""
    router = APIRouter()

    @router.post("/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        refuse_unserved(body, _UNSERVED_CHAT)
        if body.response_format is not None and body.response_format.type != "text":
            text = (
                f"response_format '{body.response_format.type}' cannot be honoured by this server."
            )
            raise RequestError(
                text,
                code="unsupported_value",
                param="response_format",
                hint="Send {'type': 'text'}.",
            )
        served = _model_of(house, body.model, request)
        messages = [message.read() for message in body.messages]
        decoding = Decoding(body.limit, body.stops, body.sampling)
        reply = _ChatReply(served, str(request.base_url))
        if body.stream:
            return await _stream(house, request, reply, messages, decoding, body)
        answers = [
            await _whole(house, request, served, messages, _nth(decoding, index))
            for index in range(body.n or 1)
        ]
        return JSONResponse(reply.whole(answers))

    @router.post("/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        refuse_unserved(body, _UNSERVED_COMPLETION)
        served = _model_of(house, body.model, request)
        reply = _TextReply(served)
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if len(texts) < len(prompts):
            text = "'prompt' holds token ids, and the tokens of this model are not yours to know."
            raise RequestError(text, code="invalid_value", param="prompt", hint="Send text.")
        decoding = Decoding(body.max_tokens, body.stops, body.sampling)
        echoed = texts if body.echo else [""] * len(texts)
        if body.stream:
            if len(texts) != 1 or body.echo:
                text = "A stream answers one prompt, without 'echo'."
                raise RequestError(text, code="unsupported_value", param="stream")
            chat = [Message("user", texts[0])]
            return await _stream(house, request, reply, chat, decoding, body)
        answers = []
        for prompt in texts:
            for index in range(body.n or 1):
                chat = [Message("user", prompt)]
                answers.append(await _whole(house, request, served, chat, _nth(decoding, index)))
        return JSONResponse(reply.whole(answers, echoed, body.n or 1))

    return router


def _model_of(house: House, name: str, request: Request) -> Served:
    """Return the model to ask: of the path under Azure's deployments, else of the body."""
    deployment = request.path_params.get("deployment")
    is_azure = request.url.path.startswith("/openai/")
    served = house.experts.find(deployment or name, in_deployments=is_azure)
    if served.kind == "embedder":
        text = f"'{served.name}' makes embeddings and cannot chat."
        raise RequestError(text, code="model_not_found", status=404, param="model")
    return served


def _nth(decoding: Decoding, index: int) -> Decoding:
    """Return the decoding of choice `index`: with a seed, each choice has one of its own."""
    sampling = decoding.sampling
    if sampling is None or sampling.seed is None:
        return decoding
    return replace(decoding, sampling=replace(sampling, seed=sampling.seed + index))


async def _whole(
    house: House, request: Request, served: Served, chat: Sequence[Message], decoding: Decoding
) -> Answer:
    def work(on_text: Any) -> Answer:
        return house.experts.answer(served, chat, decoding, on_text)

    return await house.turns.whole(work, request.is_disconnected)


async def _stream(
    house: House,
    request: Request,
    reply: "_ChatReply | _TextReply",
    chat: Sequence[Message],
    decoding: Decoding,
    body: ChatRequest | CompletionRequest,
) -> StreamingResponse:
    """Return the stream, once its first piece is there: what can be refused is refused before the first byte."""
    num = body.n or 1

    def one(index: int) -> AsyncIterator[str | Answer]:
        nth = _nth(decoding, index)
        return house.turns.stream(
            lambda on_text: house.experts.answer(reply.served, chat, nth, on_text)
        )

    first_stream = one(0)
    first = await anext(first_stream)

    async def lines() -> AsyncIterator[str]:
        usage = Usage()
        try:
            for index in range(num):
                stream = first_stream if index == 0 else one(index)
                piece = first if index == 0 else await anext(stream)
                if opening := reply.opening(index):
                    yield server_sent(reply.chunk(opening, body.include_usage))
                while not isinstance(piece, Answer):
                    yield server_sent(reply.chunk(reply.delta(index, piece), body.include_usage))
                    piece = await anext(stream)
                yield server_sent(reply.chunk(reply.closing(index, piece), body.include_usage))
                usage = _sum(usage, piece.usage, is_first=index == 0)
            if body.include_usage:
                yield server_sent({**reply.chunk(None, False), "usage": usage_body(usage)})
        except PericiaError as error:  # the answer has begun, so its status cannot change any more
            yield server_sent(error_body(error, dialect_of(request.url.path)))
            return
        except CallerGoneError:
            return
        yield server_sent("[DONE]")

    return StreamingResponse(lines(), media_type="text/event-stream", headers=STREAM_HEADERS)


def _sum(total: Usage, more: Usage, *, is_first: bool) -> Usage:
    """Return the sum; a prompt that is answered n times counts once."""
    tokens_in = more.tokens_in if is_first else total.tokens_in
    return Usage(tokens_in, total.tokens_out + more.tokens_out)


def usage_body(usage: Usage) -> dict[str, Any]:
    total = usage.tokens_in + usage.tokens_out
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": total,
    }


class _ChatReply:
    """The shapes of a chat's answer."""

    def __init__(self, served: Served, root: str) -> None:
        self.served = served
        self._root = root
        self._head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": served.fingerprint,
        }

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        usage = Usage()
        choices = []
        for index, answer in enumerate(answers):
            usage = _sum(usage, answer.usage, is_first=index == 0)
            notes = annotations(answer, self._root)
            message = {"role": "assistant", "content": answer.text, "refusal": None}
            choices.append(
                {
                    "index": index,
                    "message": {**message, "annotations": notes},
                    "logprobs": None,
                    "finish_reason": answer.finish_reason,
                }
            )
        head = {**self._head, "object": "chat.completion"}
        return {**head, "choices": choices, "usage": usage_body(usage)}

    def chunk(self, choice: dict[str, Any] | None, include_usage: bool) -> dict[str, Any]:
        choices = [] if choice is None else [choice]
        head = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        return {**head, "usage": None} if include_usage else head

    def opening(self, index: int) -> dict[str, Any] | None:
        return _choice(index, {"role": "assistant", "content": "", "refusal": None})

    def delta(self, index: int, piece: str) -> dict[str, Any]:
        return _choice(index, {"content": piece})

    def closing(self, index: int, answer: Answer) -> dict[str, Any]:
        notes = annotations(answer, self._root)
        delta = {"annotations": notes} if notes else {}
        return _choice(index, delta, answer.finish_reason)


def _choice(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


class _TextReply:
    """The shapes of a completion's answer."""

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
        usage = Usage(
            sum(answer.usage.tokens_in for answer in answers[::n]),
            sum(answer.usage.tokens_out for answer in answers),
        )
        choices = [
            self._choice(index, echoed[index // n] + answer.text, answer.finish_reason)
            for index, answer in enumerate(answers)
        ]
        return {**self._head, "choices": choices, "usage": usage_body(usage)}

    def chunk(self, choice: dict[str, Any] | None, include_usage: bool) -> dict[str, Any]:
        head = {**self._head, "choices": [] if choice is None else [choice]}
        return {**head, "usage": None} if include_usage else head

    def opening(self, index: int) -> dict[str, Any] | None:
        return None

    def delta(self, index: int, piece: str) -> dict[str, Any]:
        return self._choice(index, piece, None)

    def closing(self, index: int, answer: Answer) -> dict[str, Any]:
        return self._choice(index, "", answer.finish_reason)

    @staticmethod
    def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}

"""POST /chat/completions and /completions: a chat or a text goes on, whole or as a stream of pieces."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pericia.errors import PericiaError
from pericia.server.chat_schemas import ChatRequest, CompletionRequest
from pericia.server.house import House
from pericia.server.replies import ChatReply, Reply, TextReply, usage_body
from pericia.server.schemas import refuse_unserved
from pericia.server.served import Decoding, Served
from pericia.server.tools import call_schema, callable_functions, with_tools
from pericia.server.turns import CallerGoneError, OnText
from pericia.server.wire import (
    STREAM_HEADERS,
    RequestError,
    dialect_of,
    error_body,
    kept_alive,
    model_asked,
    server_sent,
)
from pericia.types import Answer, Message

# what would change the answer and cannot be honoured, with the values that change nothing
_UNSERVED_CHAT: dict[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "store": (False,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "moderation": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
}
_UNSERVED_COMPLETION: dict[str, tuple[Any, ...]] = {"suffix": ("",), "best_of": (1,)}


def routes(house: House) -> APIRouter:
    """Return the routes; under `/openai/deployments/{deployment}` the path names the model."""
    router = APIRouter()

    @router.post("/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        refuse_unserved(body, _UNSERVED_CHAT)
        if body.top_logprobs is not None and not body.logprobs:
            text = "'top_logprobs' needs 'logprobs' to be true."
            raise RequestError(text, code="invalid_value", param="top_logprobs")
        served = _model_of(house, body.model, request)
        functions = callable_functions(body)
        if served.kind == "arm" and functions:
            text = f"'{served.name}' answers from what was measured and calls no tools."
            hint = f"Ask '{served.base}', or leave 'tools' out."
            raise RequestError(text, code="unsupported_value", param="tools", hint=hint)
        must_call = bool(functions) and body.tool_choice not in (None, "auto")
        schema = body.response_format.schema_text if body.response_format is not None else ""
        schema = call_schema(functions) if must_call else schema
        messages = with_tools([message.read() for message in body.messages], functions)
        decoding = Decoding(body.limit, body.stops, body.sampling(schema))
        reply = ChatReply(served, str(request.base_url), functions)
        works = [_work(house, served, messages, _nth(decoding, i)) for i in range(body.n or 1)]
        if body.stream:
            return await _stream(house, request, reply, works, include_usage=body.include_usage)
        return JSONResponse(reply.whole(await _whole(house, request, works)))

    @router.post("/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        refuse_unserved(body, _UNSERVED_COMPLETION)
        served = _model_of(house, body.model, request)
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if len(texts) < len(prompts):
            text = "'prompt' holds token ids, and the tokens of this model are not yours to know."
            raise RequestError(text, code="invalid_value", param="prompt", hint="Send text.")
        if body.echo and body.logprobs is not None:
            text = "'echo' with 'logprobs' would need those of the prompt."
            raise RequestError(text, code="unsupported_value", param="echo")
        if body.stream and (len(texts) != 1 or body.echo):
            text = "A stream answers one prompt, without 'echo'."
            raise RequestError(text, code="unsupported_value", param="stream")
        n = body.n or 1
        if len(texts) * n > _MAX_CHOICES:
            text = f"{len(texts)} prompts with n {n} are more than {_MAX_CHOICES} answers."
            raise RequestError(text, code="invalid_value", param="prompt")
        decoding = Decoding(body.max_tokens, body.stops, body.sampling())
        works = [
            _work(house, served, [Message("user", text)], _nth(decoding, index))
            for text in texts
            for index in range(n)
        ]
        reply = TextReply(served)
        if body.stream:
            return await _stream(house, request, reply, works, include_usage=body.include_usage)
        answers = await _whole(house, request, works)
        echoed = texts if body.echo else [""] * len(texts)
        return JSONResponse(reply.whole(answers, echoed, n))

    return router


_MAX_CHOICES = 256  # of one request; each is an answer of the model
Work = Callable[[OnText], Answer]


def _model_of(house: House, name: str | None, request: Request) -> Served:
    """Return the model to ask: of the path under Azure's deployments, else of the body."""
    is_azure = request.url.path.startswith("/openai/")
    served = house.experts.find(model_asked(name, request), in_deployments=is_azure)
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


def _work(house: House, served: Served, chat: Sequence[Message], decoding: Decoding) -> Work:
    return lambda on_text: house.experts.answer(served, chat, decoding, on_text)


async def _whole(house: House, request: Request, works: Sequence[Work]) -> list[Answer]:
    """Return the answers in order; the first error ends all."""
    house.turns.check()
    tasks = [
        asyncio.ensure_future(house.turns.whole(work, request.is_disconnected, is_further=True))
        for work in works
    ]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _stream(
    house: House, request: Request, reply: Reply, works: Sequence[Work], *, include_usage: bool
) -> StreamingResponse:
    """Return the stream, once its first piece is there: what can be refused is refused before the first byte."""
    stream = house.turns.stream(works)
    first = await anext(stream)

    async def choices() -> AsyncIterator[tuple[list[dict[str, Any]], Answer | None]]:
        opened: set[int] = set()
        index, piece = first
        while True:
            opening = [] if index in opened else reply.opening(index)
            opened.add(index)
            if isinstance(piece, Answer):
                yield [*opening, *reply.closing(index, piece)], piece
            else:
                yield [*opening, *reply.pieces(index, piece)], None
            try:
                index, piece = await anext(stream)
            except StopAsyncIteration:
                return

    async def lines() -> AsyncIterator[str]:
        answers = []
        try:
            async for shown, answer in choices():
                for choice in shown:
                    yield server_sent(reply.chunk(choice, include_usage))
                if answer is not None:
                    answers.append(answer)
            if include_usage:
                usage = usage_body(answers, len(answers))
                yield server_sent({**reply.chunk(None, False), "usage": usage})
        except PericiaError as error:  # the answer has begun, so its status cannot change any more
            yield server_sent(error_body(error, dialect_of(request.url.path)))
            return
        except CallerGoneError:
            return
        finally:
            await stream.aclose()
        yield server_sent("[DONE]")

    return StreamingResponse(
        kept_alive(lines()), media_type="text/event-stream", headers=STREAM_HEADERS
    )

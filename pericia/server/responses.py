"""POST /responses: one answer, whole or as a stream of events; `file_search` answers from the industry's documents."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from pericia.errors import PericiaError
from pericia.server.attachments import score
from pericia.server.citing import annotations, named_file
from pericia.server.house import House
from pericia.server.open_stores import own_store_id
from pericia.server.reading import reader_of
from pericia.server.schemas import refuse_unserved
from pericia.server.served import Ask, Decoding, Served
from pericia.server.store_schemas import FileSearch, ResponseRequest
from pericia.server.turns import CallerGoneError, OnText
from pericia.server.wire import (
    STREAM_HEADERS,
    RequestError,
    dialect_of,
    error_body,
    kept_alive,
    server_sent,
)
from pericia.types import Answer

_UNSERVED: dict[str, tuple[Any, ...]] = {
    "previous_response_id": (),
    "store": (False,),
    "background": (False,),
    "reasoning": ({}, {"effort": "none"}),
    "top_logprobs": (0,),
    "conversation": (),
    "prompt": (),
    "image": (),
    "moderation": (),
    "access_programs": (),
    "context_management": (),
    "include": ([], ["file_search_call.results"]),
}


def routes(house: House) -> APIRouter:
    router = APIRouter()

    @router.post("/responses")
    async def respond(body: ResponseRequest, request: Request) -> Response:
        refuse_unserved(body, _UNSERVED)
        served = house.experts.find(
            body.model, in_deployments=request.url.path.startswith("/openai/")
        )
        if served.kind == "embedder":
            text = f"'{served.name}' makes embeddings and cannot answer."
            raise RequestError(text, code="model_not_found", status=404, param="model")
        ask = None
        if body.tools:
            served, ask = _searching(house, body.tools[0], served)
        chat = body.messages
        decoding = Decoding(body.max_output_tokens, sampling=body.sampling)
        reply = _Reply(body, str(request.base_url))

        def work(on_text: OnText) -> Answer:
            return house.experts.answer(served, chat, decoding, on_text, ask)

        if not body.stream:
            return JSONResponse(reply.whole(await house.turns.whole(work, request.is_disconnected)))
        stream = house.turns.stream([work])
        _, first = await anext(stream)  # what can be refused is refused before the first byte
        dialect = dialect_of(request.url.path)

        async def lines() -> AsyncIterator[str]:
            try:
                async for event in reply.events(first, stream):
                    yield f"event: {event['type']}\n{server_sent(event)}"
            except PericiaError as error:
                yield server_sent(error_body(error, dialect))
            except CallerGoneError:
                return
            finally:
                await stream.aclose()

        return StreamingResponse(
            kept_alive(lines()), media_type="text/event-stream", headers=STREAM_HEADERS
        )

    return router


def _searching(house: House, tool: FileSearch, served: Served) -> tuple[Served, Ask | None]:
    """Return what answers from the tool's stores: an arm as it was measured, or a model with what makes its prompt."""
    is_plain = tool.filters is None and not tool.ranking_options and tool.max_num_results is None
    if is_plain and tool.vector_store_ids == [own_store_id(house)]:
        if served.arm in ("rag", "rag_fine_tuned"):
            return served, None
        if served.kind == "base" and "rag" in house.room.arms():
            return replace(house.experts.find(f"{house.config.name}:rag"), name=served.name), None
    if served.kind == "arm":
        text = f"'{served.name}' answers from what was measured, so it cannot search otherwise."
        hint = f"Ask '{house.config.name}:rag' without options, or '{served.base}'."
        raise RequestError(text, code="unsupported_value", param="tools", hint=hint)
    return served, reader_of(house, tool, served)


class _Reply:
    """The shapes of a response."""

    def __init__(self, body: ResponseRequest, root: str) -> None:
        self._body = body
        self._root = root
        self._id = f"resp_{secrets.token_hex(16)}"
        self._item_id = f"msg_{secrets.token_hex(16)}"
        self._search_id = f"fs_{secrets.token_hex(16)}"
        self._created = time.time()

    def whole(self, answer: Answer) -> dict[str, Any]:
        items = self._search_items(answer)
        message = self._message(answer.text, "completed", self._annotations(answer))
        return self._response("completed", [*items, message], answer)

    async def events(
        self, first: str | Answer, rest: AsyncIterator[tuple[int, str | Answer]]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a stream in the order in which OpenAI sends them."""
        number = 0

        def event(type_: str, **values: Any) -> dict[str, Any]:
            nonlocal number
            number += 1
            return {"type": f"response.{type_}", "sequence_number": number - 1, **values}

        empty = self._response("in_progress", [])
        yield event("created", response=empty)
        yield event("in_progress", response=empty)
        index = 1 if self._body.tools else 0
        if self._body.tools:
            where = {"output_index": 0, "item_id": self._search_id}
            for name in ("in_progress", "searching", "completed"):
                yield event(f"file_search_call.{name}", **where)
        yield event(
            "output_item.added", output_index=index, item=self._message(None, "in_progress")
        )
        place = {"item_id": self._item_id, "output_index": index, "content_index": 0}
        yield event("content_part.added", **place, part=_text_part("", []))
        piece = first
        while not isinstance(piece, Answer):
            yield event("output_text.delta", **place, delta=piece, logprobs=[])
            _, piece = await anext(rest)
        notes = self._annotations(piece)
        for position, note in enumerate(notes):
            values = {"annotation_index": position, "annotation": note}
            yield event("output_text.annotation.added", **place, **values)
        yield event("output_text.done", **place, text=piece.text, logprobs=[])
        yield event("content_part.done", **place, part=_text_part(piece.text, notes))
        message = self._message(piece.text, "completed", notes)
        yield event("output_item.done", output_index=index, item=message)
        items = [*self._search_items(piece), message]
        yield event("completed", response=self._response("completed", items, piece))

    def _response(
        self, status: str, output: Sequence[dict[str, Any]], answer: Answer | None = None
    ) -> dict[str, Any]:
        body = self._body
        cut = answer is not None and answer.finish_reason == "length"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": "incomplete" if cut else status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": body.model,
            "output": list(output),
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": body.temperature,
            "text": _text_options(body),
            "tool_choice": "auto",
            "tools": [tool.model_dump(exclude_none=True) for tool in body.tools],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None if answer is None else _usage(answer),
        }

    def _message(
        self, text: str | None, status: str, notes: Sequence[dict[str, Any]] = ()
    ) -> dict[str, Any]:
        content = [] if text is None else [_text_part(text, notes)]
        head = {"type": "message", "id": self._item_id, "role": "assistant", "status": status}
        return {**head, "content": content}

    def _search_items(self, answer: Answer) -> list[dict[str, Any]]:
        if not self._body.tools:
            return []
        question = self._body.messages[-1].content
        results = None
        if self._body.include:
            results = [
                {
                    "file_id": named_file(passage.chunk.source)[0],
                    "filename": named_file(passage.chunk.source)[1],
                    "score": score(passage),
                    "text": passage.chunk.text,
                    "attributes": {},
                }
                for passage in answer.passages
            ]
        head = {"type": "file_search_call", "id": self._search_id, "status": "completed"}
        return [{**head, "queries": [question], "results": results}]

    def _annotations(self, answer: Answer) -> list[dict[str, Any]]:
        """Return each citation twice: as a link, and as the file that it stands in."""
        notes: list[dict[str, Any]] = []
        for note in annotations(answer, self._root):
            about = note["pericia"]
            span = note["url_citation"]
            notes.append({"type": "url_citation", **span, "pericia": about})
            id_, filename = named_file(about["source"])
            file = {"file_id": id_, "filename": filename, "index": span["start_index"]}
            notes.append({"type": "file_citation", **file, "pericia": about})
        return notes


def _text_options(body: ResponseRequest) -> dict[str, Any]:
    chosen = None if body.text is None else body.text.format
    if chosen is None:
        return {"format": {"type": "text"}}
    return {"format": chosen.model_dump(exclude_none=True, by_alias=True)}


def _text_part(text: str, notes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(notes), "logprobs": []}


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "input_tokens": usage.tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.tokens_in + usage.tokens_out,
    }

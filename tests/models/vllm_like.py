"""A small HTTP server with vLLM's contract for adapters, to be asked where vLLM itself cannot run.

Paths, bodies, status codes and texts are those of vLLM's `entrypoints/openai/models/serving.py` (00153c8) and of its
page features/lora; an answer is the name of the model that was asked, then the question.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

BASE = "owner/phi"
MAX_MODEL_LEN = 64


@dataclass
class VllmLike:
    """The state of the server: `loaded` are adapters by name, in order; `calls` the paths that were asked."""

    takes_adapters: bool = True  # VLLM_ALLOW_RUNTIME_LORA_UPDATING
    max_lora_rank: int = 16
    breaks_off: bool = False  # a stream ends with an error
    loaded: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def restart(self) -> None:
        """Forget what was loaded, as a process that is started anew."""
        self.loaded.clear()

    def app(self) -> FastAPI:
        app = FastAPI()
        app.get("/v1/models")(self.models)
        app.post("/v1/chat/completions")(self.chat)
        app.post("/tokenize")(self.tokenize)
        if self.takes_adapters:  # else the paths do not exist
            app.post("/v1/load_lora_adapter")(self.load)
            app.post("/v1/unload_lora_adapter")(self.unload)
        return app

    async def models(self) -> Any:
        base = {"id": BASE, "object": "model", "created": 1, "owned_by": "vllm", "root": BASE}
        cards = [{**base, "parent": None, "max_model_len": MAX_MODEL_LEN}]
        for name, path in self.loaded.items():
            cards.append({**base, "id": name, "root": path, "parent": BASE, "max_model_len": None})
        return {"object": "list", "data": cards}

    async def load(self, request: Request) -> Response:
        body = await self._body(request)
        name, path = body["lora_name"], body["lora_path"]
        if name in self.loaded and not body.get("load_inplace"):
            text = f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True."
            return _error(400, "InvalidUserInput", text)
        if not Path(path, "adapter_config.json").exists():
            text = f"Loading lora {name} failed: No adapter found for {path}"
            return _error(404, "NotFoundError", text)
        rank = json.loads(Path(path, "adapter_config.json").read_text(encoding="utf-8"))["r"]
        if rank > self.max_lora_rank:
            text = f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}."
            return _error(500, "InternalServerError", text)
        self.loaded[name] = path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        name = (await self._body(request))["lora_name"]
        if name not in self.loaded:
            text = f"The lora adapter '{name}' cannot be found."
            return _error(404, "NotFoundError", text)
        del self.loaded[name]
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def tokenize(self, request: Request) -> Any:
        tokens = list(range(_count((await self._body(request))["messages"])))
        return {"count": len(tokens), "max_model_len": MAX_MODEL_LEN, "tokens": tokens}

    async def chat(self, request: Request) -> Response:
        body = await self._body(request)
        model = body["model"]
        if model != BASE and model not in self.loaded:
            return _error(404, "NotFoundError", f"The model `{model}` does not exist.", "model")
        num_in = _count(body["messages"])
        if num_in + body["max_tokens"] > MAX_MODEL_LEN:
            text = f"This model's maximum context length is {MAX_MODEL_LEN} tokens."
            return _error(400, "BadRequestError", text, "input_tokens")
        words = f"{model}: {body['messages'][-1]['content']}".split(" ")[: body["max_tokens"]]
        return StreamingResponse(self._events(model, words, num_in), media_type="text/event-stream")

    def _events(self, model: str, words: list[str], num_in: int) -> Iterator[str]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

        def event(choices: list[Any], usage: Any = None) -> str:
            return f"data: {json.dumps({**head, 'choices': choices, 'usage': usage})}\n\n"

        def choice(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
            return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}

        yield event([choice({"role": "assistant", "content": ""})])
        for number, word in enumerate(words):
            yield event([choice({"content": word if number == 0 else f" {word}"})])
        if self.breaks_off:
            fault = {"message": "EngineCore died", "type": "InternalServerError", "code": 500}
            yield f"data: {json.dumps({'error': fault})}\n\n"
            return
        yield event([choice({"content": ""}, "stop")])
        counts = {"prompt_tokens": num_in, "completion_tokens": len(words)}
        yield event([], {**counts, "total_tokens": num_in + len(words)})
        yield "data: [DONE]\n\n"

    async def _body(self, request: Request) -> Any:
        self.calls.append(request.url.path)
        return json.loads(await request.body())


def _count(messages: list[dict[str, str]]) -> int:
    """Return a count of tokens: a word each, and three for the frame of a message."""
    return sum(len(message["content"].split()) + 3 for message in messages)


def _error(status: int, kind: str, message: str, param: str | None = None) -> JSONResponse:
    fault = {"message": message, "type": kind, "param": param, "code": status}
    return JSONResponse({"error": fault}, status)

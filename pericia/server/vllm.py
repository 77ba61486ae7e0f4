"""What vLLM's server has beside OpenAI's API: tokens are counted, and adapters are handed over by a server in front."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field

from pericia.errors import InputError
from pericia.server.chat_schemas import ChatMessage
from pericia.server.house import House
from pericia.server.schemas import Label, Request
from pericia.server.wire import RequestError
from pericia.types import Message


class CountRequest(Request):
    model: str = Field(min_length=1)
    messages: list[ChatMessage] | None = None
    prompt: str | None = None


class LoadRequest(Request):
    lora_name: str = Field(pattern=r"^[\w.-]{1,100}$")
    lora_path: str = Field(min_length=1, max_length=4096)
    load_inplace: Label = None


class UnloadRequest(Request):
    lora_name: str = Field(min_length=1, max_length=100)
    lora_int_id: Label = None


def routes(house: House) -> APIRouter:
    router = APIRouter()

    @router.post("/tokenize")
    def count(body: CountRequest) -> Response:
        served = house.experts.find(body.model)
        if served.kind == "embedder":
            text = f"'{served.name}' makes embeddings and cannot chat."
            raise RequestError(text, code="model_not_found", status=404, param="model")
        chat = [message.read() for message in body.messages or ()]
        chat = chat or [Message("user", body.prompt or "")]
        model = house.experts.model()
        return JSONResponse(
            {"count": model.count_tokens(chat), "max_model_len": model.context_tokens}
        )

    @router.post("/v1/load_lora_adapter")
    def load(body: LoadRequest) -> Response:
        _check_takes(house)
        adapter = Path(body.lora_path)
        files = ("adapter_config.json", "adapter_model.safetensors")
        if not all((adapter / file).is_file() for file in files):
            text = f"'{body.lora_path}' holds no adapter in safetensors."
            raise InputError(text, param="lora_path")
        house.experts.lend(body.lora_name, adapter)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    @router.post("/v1/unload_lora_adapter")
    def unload(body: UnloadRequest) -> Response:
        _check_takes(house)
        if not house.experts.give_back(body.lora_name):
            text = f"The adapter '{body.lora_name}' cannot be found."
            raise RequestError(text, code="not_found", status=404, param="lora_name")
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    return router


def _check_takes(house: House) -> None:
    if not house.config.serve.takes_adapters:
        text = "This server takes no adapters from another one."
        hint = "Set serve.takes_adapters in its pericia.yaml."
        raise RequestError(text, code="not_served", status=403, hint=hint)

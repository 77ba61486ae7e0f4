"""The shapes of requests to /chat/completions and /completions."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pericia.server.schemas import Label, Request
from pericia.types import Message, Role, Sampling, ToolCall

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Part(Request):
    type: Literal["text", "refusal"]
    text: str | None = None
    refusal: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type '{self.type}' has a field '{self.type}'")
        return self

    @property
    def said(self) -> str:
        return self.text or self.refusal or ""


class CalledFunction(Request):
    name: FunctionName
    arguments: str
    parsed_arguments: Label = None  # the client's own, when its answer is sent back


class CalledTool(Request):
    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Label = None  # of a call that was streamed


class ChatMessage(Request):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: Label = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    refusal: Label = None
    annotations: Label = None
    parsed: Label = None  # the client's own, when its answer is sent back
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _says_or_calls(self) -> Self:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("'content' is missing; only an assistant that calls tools has none")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only the assistant has 'tool_calls'")
        if (self.role == "tool") != bool(self.tool_call_id):
            raise ValueError("a message of role 'tool', and no other, has a 'tool_call_id'")
        return self

    def read(self) -> Message:
        """Return the message in our words; parts are joined, `developer` is OpenAI's newer word for `system`."""
        text = self.content if isinstance(self.content, str) else ""
        if isinstance(self.content, list):
            text = "".join(part.said for part in self.content)
        role: Role = "system" if self.role == "developer" else self.role
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in self.tool_calls or ()
        )
        return Message(role, text, tool_calls=calls, tool_call_id=self.tool_call_id or "")


class StreamOptions(Request):
    include_usage: bool = False
    include_obfuscation: Label = None


class NamedSchema(Request):
    name: FunctionName
    description: Label = None
    json_schema: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: Label = None  # what is asked for is always kept to


class ResponseFormat(Request):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("type 'json_schema', and no other, has a field 'json_schema'")
        return self

    @property
    def schema_text(self) -> str:
        """Return the JSON Schema to keep to, "" for none."""
        named = None if self.json_schema is None else self.json_schema.json_schema
        return schema_text(self.type, named)


def schema_text(kind: str, schema: dict[str, Any] | None) -> str:
    """Return the JSON Schema that an answer of a kind (text, json_object, json_schema) keeps to, "" for none."""
    if kind == "text":
        return ""
    return json.dumps({"type": "object"} if schema is None else schema)


class Function(Request):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Label = None


class Tool(Request):
    type: Literal["function"]
    function: Function


class ChosenFunction(Request):
    name: FunctionName


class ChosenTool(Request):
    type: Literal["function"]
    function: ChosenFunction


class Sampled(Request):
    """What chat and completions have in common."""

    model: str | None = Field(None, min_length=1)  # None where the path names a deployment
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(1, ge=1, le=128)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: (
        dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Annotated[float, Field(ge=-100, le=100)]]
        | None
    ) = None
    user: Label = None

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if stop == "" or (isinstance(stop, list) and "" in stop):
            raise ValueError("an empty stop string would end every answer before it begins")
        return stop

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def num_logprobs(self) -> int | None:
        """Return how many likeliest tokens to report at each place; None reports nothing."""
        return None

    def sampling(self, schema: str = "") -> Sampling | None:
        """Return how to choose tokens; None where nothing asks for it, and then the likeliest answer is given."""
        draws = bool(self.temperature) or self.top_p not in (None, 1)
        draws = draws and self.temperature != 0
        others = (self.frequency_penalty, self.presence_penalty, self.logit_bias, schema)
        if not draws and not any(others) and self.num_logprobs is None:
            return None
        return Sampling(
            temperature=(1.0 if self.temperature is None else self.temperature) if draws else 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            logit_bias={int(token): bias for token, bias in (self.logit_bias or {}).items()},
            num_logprobs=self.num_logprobs,
            schema=schema,
        )

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Sampled):
    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    store: bool | None = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    moderation: Any = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    metadata: Label = None
    service_tier: Label = None
    parallel_tool_calls: Label = None
    safety_identifier: Label = None
    prompt_cache_key: Label = None
    prompt_cache_options: Label = None
    prompt_cache_retention: Label = None

    @property
    def limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def num_logprobs(self) -> int | None:
        """See `Sampled.num_logprobs`."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Sampled):
    prompt: str | list[str] | list[int] | list[list[int]] = ""
    max_tokens: int | None = Field(16, ge=1)
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool | None = False
    suffix: str | None = None
    best_of: int | None = Field(None, ge=1, le=20)

    @property
    def num_logprobs(self) -> int | None:
        """See `Sampled.num_logprobs`."""
        return self.logprobs

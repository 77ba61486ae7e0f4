"""The shapes of requests as OpenAI's and Azure's clients send them; answers are built where they arise.

Fields that a caller may set but that change nothing here (labels such as `user`) are named `Label`. Fields that would
change the answer and cannot be honoured are refused with their name, so nothing is ignored in silence.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from pericia.errors import InputError
from pericia.types import Message, Role, Sampling

Label = Any
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


class Request(BaseModel):
    """The parent of all: an unknown field is a fault, because it would be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- chat, completions, embeddings -----------------------------------------------------------------


class Part(Request):
    type: Literal["text"]
    text: str


class ChatMessage(Request):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: Label = None

    def read(self) -> Message:
        """Return the message in our words; parts are joined, `developer` is OpenAI's newer word for `system`."""
        text = (
            self.content if isinstance(self.content, str) else "".join(p.text for p in self.content)
        )
        role: Role = "system" if self.role == "developer" else self.role
        return Message(role, text)


class StreamOptions(Request):
    include_usage: bool = False
    include_obfuscation: Label = None


class ResponseFormat(Request):
    type: str = "text"
    json_schema: Label = None


class Sampled(Request):
    """What chat and completions have in common."""

    model: str = Field(min_length=1)
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
    logit_bias: dict[str, float] | None = None
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
    def sampling(self) -> Sampling | None:
        """Return how to draw; None where nothing asks for it, and then the likeliest answer is given."""
        asked = (self.temperature or None, self.frequency_penalty, self.presence_penalty)
        if not any(asked) and (self.temperature == 0 or self.top_p in (None, 1)):
            return None
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
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
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    store: bool | None = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
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


class CompletionRequest(Sampled):
    prompt: str | list[str] | list[int] | list[list[int]] = ""
    max_tokens: int | None = Field(16, ge=1)
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool | None = False
    suffix: str | None = None
    best_of: int | None = Field(None, ge=1, le=20)


class EmbeddingRequest(Request):
    model: str = Field(min_length=1)
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)
    user: Label = None


def refuse_unserved(request: Request, unserved: dict[str, tuple[Any, ...]]) -> None:
    """Raise InputError for the first field that is set to anything but one of the values that change nothing."""
    for name, harmless in unserved.items():
        value = getattr(request, name)
        if value is not None and value not in harmless:
            text = f"'{name}' = {value!r} cannot be honoured by this server."
            shown = " or ".join(map(repr, harmless))
            hint = f"Leave it out, or send {shown}." if harmless else "Leave it out."
            raise InputError(text, hint=hint, param=name)


# --- fine-tuning ----------------------------------------------------------------------------------

Epochs = Annotated[int, Field(ge=1, le=50)] | Literal["auto"] | None
BatchSize = Annotated[int, Field(ge=1, le=256)] | Literal["auto"] | None
Multiplier = Annotated[float, Field(gt=0)] | Literal["auto"] | None


class Hyperparameters(BaseModel):
    """`auto` and a missing field mean the same; Azure's -1 too."""

    model_config = ConfigDict(extra="allow", frozen=True)
    n_epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate_multiplier: Multiplier = None
    beta: Annotated[float, Field(gt=0, le=2)] | Literal["auto"] | None = None

    @field_validator("n_epochs", "batch_size", "learning_rate_multiplier", mode="before")
    @classmethod
    def _azure_says_auto_as_minus_one(cls, value: Any) -> Any:
        return "auto" if value == -1 else value


class MethodPart(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    hyperparameters: Hyperparameters | None = None


class Method(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: MethodPart | None = None
    dpo: MethodPart | None = None


class JobRequest(BaseModel):
    """Unknown fields are kept: each becomes a warning among the job's events, as Azure's guides send some."""

    model_config = ConfigDict(extra="allow", frozen=True)
    model: str = Field(min_length=1)
    training_file: str = Field(min_length=1)
    validation_file: str | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    suffix: str | None = Field(None, min_length=1, max_length=64)
    seed: int | None = Field(None, ge=0, le=2147483647)
    metadata: Metadata | None = None
    integrations: list[Any] | None = None

    @field_validator("suffix")
    @classmethod
    def _a_name_keeps_its_parts(cls, suffix: str | None) -> str | None:
        if suffix and (set(suffix) & set(":/") or not suffix.isprintable()):
            raise ValueError("':' and '/' would break the model's name")
        return suffix


class DeploymentModel(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(min_length=1)
    format: str = "OpenAI"
    version: str = "1"


class DeploymentProperties(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    model: DeploymentModel


class DeploymentRequest(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    sku: dict[str, Any] = Field(default_factory=dict)
    properties: DeploymentProperties


# --- responses and vector stores -------------------------------------------------------------------


class InputPart(Request):
    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Label = None
    logprobs: Label = None


class InputItem(Request):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputPart]
    id: Label = None
    status: Label = None
    phase: Label = None

    def read(self) -> Message:
        """Return the item in our words."""
        text = (
            self.content if isinstance(self.content, str) else "".join(p.text for p in self.content)
        )
        return Message("system" if self.role == "developer" else self.role, text)


class FileSearch(Request):
    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1, max_length=1)
    max_num_results: int | None = Field(None, ge=1, le=50)
    ranking_options: Any = None
    filters: Any = None


class ResponseRequest(Request):
    model: str = Field(min_length=1)
    input: str | Annotated[list[InputItem], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = False
    tools: list[FileSearch] = Field(default_factory=list, max_length=1)
    include: list[str] | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    background: bool | None = None
    reasoning: Any = None
    text: Any = None
    tool_choice: Label = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: Label = None
    service_tier: Label = None
    user: Label = None
    safety_identifier: Label = None
    prompt_cache_key: Label = None
    stream_options: Label = None

    @property
    def sampling(self) -> Sampling | None:
        if not self.temperature and (self.temperature == 0 or self.top_p in (None, 1)):
            return None
        return Sampling(
            1.0 if self.temperature is None else self.temperature,
            1.0 if self.top_p is None else self.top_p,
        )


class SearchRequest(Request):
    query: str | list[str]
    max_num_results: int = Field(10, ge=1, le=50)
    filters: Any = None
    ranking_options: Any = None
    rewrite_query: bool | None = False

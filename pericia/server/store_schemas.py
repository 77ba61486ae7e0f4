"""The shapes of requests to /responses and /vector_stores."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from pericia.server.chat_schemas import schema_text
from pericia.server.schemas import Label, Metadata, Request
from pericia.types import Message, Sampling

# --- vector stores ---------------------------------------------------------------------------------

Scalar = str | bool | float
Attributes = Annotated[
    dict[Annotated[str, StringConstraints(max_length=64)], Scalar], Field(max_length=16)
]
FileId = Annotated[str, Field(min_length=1, max_length=100)]


class StoreRequest(Request):
    name: str | None = Field(None, max_length=256)
    description: str | None = Field(None, max_length=512)
    file_ids: list[FileId] | None = Field(None, max_length=500)
    metadata: Metadata | None = None
    chunking_strategy: Label = None  # the industry's own, whatever is asked
    expires_after: Any = None


class StoreChange(Request):
    name: str | None = Field(None, max_length=256)
    metadata: Metadata | None = None
    expires_after: Any = None


class AttachRequest(Request):
    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: Label = None


class AttachChange(Request):
    attributes: Attributes | None


class BatchRequest(Request):
    file_ids: list[FileId] | None = Field(None, min_length=1, max_length=500)
    files: list[AttachRequest] | None = Field(None, min_length=1, max_length=500)
    attributes: Attributes | None = None
    chunking_strategy: Label = None


class Comparison(Request):
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: Scalar | list[Scalar]


class Compound(Request):
    type: Literal["and", "or"]
    filters: list["Comparison | Compound"] = Field(min_length=1, max_length=100)


Filter = Annotated[Comparison | Compound, Field(discriminator="type")]


class Ranking(Request):
    ranker: Label = None
    score_threshold: float = Field(0.0, ge=0, le=1)
    hybrid_search: Label = None


class SearchRequest(Request):
    query: str | Annotated[list[str], Field(min_length=1, max_length=20)]
    max_num_results: int = Field(10, ge=1, le=50)
    filters: Filter | None = None
    ranking_options: Ranking | None = None
    rewrite_query: bool | None = False  # `search_query` of the answer shows what was searched


# --- responses --------------------------------------------------------------------------------------


class InputPart(Request):
    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Label = None
    logprobs: Label = None
    parsed: Label = None  # the client's own, when its answer is sent back


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


class PastSearch(Request):
    """A search of an earlier answer, sent back with it; its message says what came of it."""

    type: Literal["file_search_call"]
    id: Label = None
    status: Label = None
    queries: Label = None
    results: Label = None


class FileSearch(Request):
    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1, max_length=8)
    max_num_results: int | None = Field(None, ge=1, le=50)
    ranking_options: Ranking | None = None
    filters: Filter | None = None


class TextFormat(Request):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Label = None
    description: Label = None
    strict: Label = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")


class TextOptions(Request):
    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None

    @property
    def schema_text(self) -> str:
        """Return the JSON Schema to keep to, "" for none."""
        if self.format is None:
            return ""
        return schema_text(self.format.type, self.format.json_schema)


class ResponseRequest(Request):
    model: str = Field(min_length=1)
    input: str | Annotated[list[InputItem | PastSearch], Field(min_length=1)]
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
    top_logprobs: int | None = None
    conversation: Any = None
    prompt: Any = None
    image: Any = None
    moderation: Any = None
    access_programs: Any = None
    context_management: Any = None
    max_tool_calls: Label = None  # there is one search at most
    text: TextOptions | None = None
    tool_choice: Label = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: Label = None
    service_tier: Label = None
    user: Label = None
    safety_identifier: Label = None
    prompt_cache_key: Label = None
    prompt_cache_options: Label = None
    prompt_cache_retention: Label = None
    stream_options: Label = None

    @field_validator("input")
    @classmethod
    def _asks_something(
        cls, given: str | list[InputItem | PastSearch]
    ) -> str | list[InputItem | PastSearch]:
        if not isinstance(given, str) and not any(isinstance(i, InputItem) for i in given):
            raise ValueError("it holds no message to answer")
        return given

    @property
    def messages(self) -> list[Message]:
        """Return what was said, the instructions first."""
        said = [Message("system", self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return [*said, Message("user", self.input)]
        return said + [item.read() for item in self.input if isinstance(item, InputItem)]

    @property
    def sampling(self) -> Sampling | None:
        """Return how to choose tokens; None where nothing asks for it, and then the likeliest answer is given."""
        draws = (bool(self.temperature) or self.top_p not in (None, 1)) and self.temperature != 0
        schema = "" if self.text is None else self.text.schema_text
        if not draws and not schema:
            return None
        return Sampling(
            temperature=(1.0 if self.temperature is None else self.temperature) if draws else 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            schema=schema,
        )

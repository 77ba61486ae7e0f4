"""The shapes of requests as OpenAI's and Azure's clients send them; answers are built where they arise.

Here is what all share, and embeddings, jobs and deployments; chats are in `chat_schemas`, searches in `store_schemas`.

Fields that a caller may set but that change nothing here (labels such as `user`) are named `Label`. Fields that would
change the answer and cannot be honoured are refused with their name, so nothing is ignored in silence.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from pericia.errors import InputError

_MAX_DEPTH = 64
Label = Any
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


def refuse_half_characters(data: Any) -> Any:
    """Return data as they are.

    Raises:
        ValueError: a string holds half of a surrogate pair, which JSON can write and UTF-8 cannot; a number is none;
            or the nesting is deeper than anything that this server is asked.
    """
    waiting = [(data, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueError("a string holds half a character (a lone surrogate)") from error
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError("a number is no number (nan or infinity)")
        elif isinstance(value, dict):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]
    return data


class Request(BaseModel):
    """The parent of all: an unknown field is a fault, because it would be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, data: Any) -> Any:
        return refuse_half_characters(data)


def refuse_unserved(request: Request, unserved: dict[str, tuple[Any, ...]]) -> None:
    """Raise InputError for the first field that is set to anything but one of the values that change nothing."""
    for name, harmless in unserved.items():
        value = getattr(request, name)
        if value is not None and value not in harmless:
            text = f"'{name}' = {value!r} cannot be honoured by this server."
            shown = " or ".join(map(repr, harmless))
            hint = f"Leave it out, or send {shown}." if harmless else "Leave it out."
            raise InputError(text, hint=hint, param=name)


# --- embeddings -----------------------------------------------------------------------------------


class EmbeddingRequest(Request):
    model: str | None = Field(None, min_length=1)  # None where the path names a deployment
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)
    user: Label = None


# --- fine-tuning ----------------------------------------------------------------------------------

Epochs = Annotated[int, Field(ge=1, le=50)] | Literal["auto"] | None
BatchSize = Annotated[int, Field(ge=1, le=256)] | Literal["auto"] | None
Multiplier = Annotated[float, Field(gt=0)] | Literal["auto"] | None


class Lenient(BaseModel):
    """The parent of those whose unknown fields are kept, because Azure's guides send some."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, data: Any) -> Any:
        return refuse_half_characters(data)


class Hyperparameters(Lenient):
    """`auto` and a missing field mean the same; Azure's -1 too."""

    n_epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate_multiplier: Multiplier = None
    beta: Annotated[float, Field(gt=0, le=2)] | Literal["auto"] | None = None

    @field_validator("n_epochs", "batch_size", "learning_rate_multiplier", mode="before")
    @classmethod
    def _azure_says_auto_as_minus_one(cls, value: Any) -> Any:
        return "auto" if value == -1 else value


class MethodPart(Lenient):
    hyperparameters: Hyperparameters | None = None


class Method(Lenient):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: MethodPart | None = None
    dpo: MethodPart | None = None


class JobRequest(Lenient):
    """Each unknown field becomes a warning among the job's events."""

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


class DeploymentModel(Lenient):
    name: str = Field(min_length=1)
    format: str = "OpenAI"
    version: str = "1"


class DeploymentProperties(Lenient):
    model: DeploymentModel


class DeploymentRequest(Lenient):
    sku: dict[str, Any] = Field(default_factory=dict)
    properties: DeploymentProperties

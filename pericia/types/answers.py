"""What a model is asked and what it says: chats, prompts, replies and answers with citations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pericia.types.documents import Passage

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that an assistant's message asks to be called; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a chat. `trains` false: an answer that is read and not learnt (OpenAI's weight 0)."""

    role: Role
    content: str
    trains: bool = True
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""  # of a message of role tool: the call that it answers
    name: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: the chat as sent, and the question and passages that it was made from."""

    messages: tuple[Message, ...]
    question: str
    passages: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: float = 0.0
    first_token_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens instead of taking the likeliest. Penalties are taken from logits of tokens used already."""

    temperature: float = 1.0  # 0: the likeliest after penalties
    top_p: float = 1.0
    seed: int | None = None  # the same seed draws the same answer
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # added to the logits of tokens
    num_logprobs: int | None = None  # likeliest tokens reported at each place; None reports nothing
    schema: str = ""  # a JSON Schema that the whole answer matches


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token as it was chosen: the natural logarithm of its chance under the model itself, and the likeliest ones."""

    token: str
    logprob: float
    data: bytes  # several tokens may share a character, which none of them shows
    top: tuple["TokenLogprob", ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """A model's reply to one prompt, without markers of the chat template."""

    text: str
    usage: Usage
    finish_reason: FinishReason = "stop"
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TextLoss:
    """How unlikely a text is to a model: the summed negative log-likelihood of its scored tokens, in nats."""

    nats: float
    num_tokens: int
    num_bytes: int  # of the text that these tokens spell, in UTF-8


@dataclass(frozen=True, slots=True)
class Citation:
    """A numbered reference of an answer. `verified` is true only if the quote stands in the source as indexed."""

    number: int
    source: str
    quote: str
    verified: bool
    page: int | None = None
    line: int | None = None
    cell: str | None = None
    reason: str = ""  # why it is not verified
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user reads. A refusal has no citations and `refused` true; `sql` is how a table was asked, if one was.

    `notes` are what a reader should know of how it was found, a sentence each.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    refused: bool = False
    usage: Usage = Usage()
    passages: tuple[Passage, ...] = ()
    finish_reason: FinishReason = "stop"
    logprobs: tuple[TokenLogprob, ...] = ()
    sql: str = ""  # empty where the answer was written from passages
    notes: tuple[str, ...] = ()

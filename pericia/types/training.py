"""River 2: examples to adapters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pericia.types.answers import Message


@dataclass(frozen=True, slots=True)
class Example:
    """A solved conversation to learn from; `line` is where it stands in its file, `source` the document it is about.

    With `rejected`, a worse answer to the same prompt, it is a preference pair. One message by the assistant and no
    prompt is plain text, which no chat template touches.
    """

    messages: tuple[Message, ...]
    id: str
    line: int
    source: str = ""
    rejected: str = ""
    file: str = ""  # where the examples lie in a folder
    tools: tuple[Mapping[str, object], ...] = ()  # as OpenAI's API takes them

    @property
    def is_preference(self) -> bool:
        return bool(self.rejected)

    @property
    def is_text(self) -> bool:
        return all(m.role == "assistant" for m in self.messages)

    @property
    def question(self) -> str:
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def answer(self) -> str:
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), "")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of the user's data, with the place and the mend. An `error` stops the run, a `warning` is counted."""

    level: Literal["error", "warning"]
    code: str
    message: str
    line: int | None = None
    hint: str = ""
    file: str = ""  # where the data are a folder


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples checked, without duplicates, split by source document; `sha256` identifies rows, order and split."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    sha256: str
    findings: tuple[Finding, ...] = ()
    num_duplicates: int = 0


@dataclass(frozen=True, slots=True)
class TrainEvent:
    """One line of progress; losses and accuracies where the step measured them.

    An accuracy is the share of the tokens that count in the loss which the model holds for the likeliest.
    """

    step: int
    num_steps: int
    loss: float | None = None
    validation_loss: float | None = None
    accuracy: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One example as the model will be trained on it: `mask[i]` says whether token `ids[i]` counts in the loss.

    `prompt_ids` is the same chat up to its last answer, rendered as it is for generation.
    """

    example: Example
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    prompt_ids: tuple[int, ...]
    # of a preference pair: the worse answer, after the same prompt
    rejected_ids: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens of the row; of a pair, those of its longer side."""
        return max(len(self.ids), len(self.prompt_ids) + len(self.rejected_ids))


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything that a training would do, before it does it: what the pre-flight judges and the trainer then takes."""

    rows: tuple[LabelledRow, ...]
    validation_rows: tuple[LabelledRow, ...]
    # rows of more than `max_tokens`, left out whole: a cut answer would lose its end
    num_too_long: int
    stop_ids: frozenset[int]
    decode: Callable[[Sequence[int]], str]
    target_modules: tuple[str, ...]
    hit_modules: tuple[str, ...]  # full names of the layers that the targets matched
    num_layers: int
    num_trainable: int
    num_parameters: int
    num_tokens_known: int  # of the tokenizer
    num_embeddings: int
    base_sha256: str
    template_sha256: str
    stop_sha256: str
    unguarded_layers: tuple[str, ...] = ()  # 4-bit layers that an evaluation would spoil
    linear_modules: tuple[str, ...] = ()  # full names of all linear layers but the head
    # trained parameters, counted from the shapes of the layers asked for
    num_expected: int | None = None
    num_all_linear: int | None = None  # the same, if every linear layer were adapted
    untrained_tokens: tuple[str, ...] = ()  # tokens of the rows whose embeddings were never trained
    longest_tokens: int = 0  # of all rows, also those left out
    num_steps: int = 0  # optimiser steps of all epochs; 0: unknown
    learning_rate: float = 0.0  # its height, after the warm-up; 0: unknown


@dataclass(frozen=True, slots=True)
class Adapter:
    """A trained adapter in PEFT layout, as the registry keeps it; `manifest` is what its training recorded."""

    id: str
    path: str
    base: str
    kind: Literal["fine_tuned", "rag_fine_tuned"]
    manifest: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that a service has trained on our examples: `model` is its name there, `files` are the result files here."""

    model: str
    base: str
    job: str
    service: str
    trained_tokens: int | None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parity:
    """How near the written files come to the adapter as it was measured, on held-out prompts.

    Token by token along the adapter's own greedy answers, then greedy answers by themselves; shares are in 0..1.
    """

    num_prompts: int
    num_tokens: int
    max_logit_difference: float
    argmax_agreement: float
    identical_answers: float
    required_agreement: float
    allowed_difference: float | None  # of logits; None where rounding makes it meaningless
    same_prompts: bool  # template and tokenizer of the files render every prompt to the same ids
    passed: bool


@dataclass(frozen=True, slots=True)
class Export:
    """A model that left the house, in `path`. A failed one is kept for looking at and is not served."""

    format: str
    path: str
    precision: str
    files: Mapping[str, str]  # name to sha256
    parity: Parity

    @property
    def failed(self) -> bool:
        return not self.parity.passed

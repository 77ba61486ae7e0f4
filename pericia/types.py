"""The words of Pericia: one frozen dataclass for each thing that passes between two steps.

Text positions are character offsets into `Document.text`; pages, lines, rows and ranks count from 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Role = Literal["system", "user", "assistant", "tool"]
ChunkKind = Literal["text", "table", "summary"]
BlockKind = Literal["heading", "paragraph", "row"]
FinishReason = Literal["stop", "length"]
ArmName = str
Verdict = Literal["better", "worse", "not distinguishable"]
SideKind = Literal["gold", "curve"]  # what is asked beside an arm, to explain it


# --- river 1: documents to cited answers -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands in its source, as a reader would look it up; None where it does not apply."""

    page: int | None = None
    line: int | None = None
    sheet: str | None = None
    cell: str | None = None  # "B7" or, for a whole row, "A7:F7"
    box: tuple[float, float, float, float] | None = None  # left, bottom, right, top in PDF points


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or table row: `document.text[start:end]`, with its place and the headings above."""

    start: int
    end: int
    kind: BlockKind
    place: Place
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table kept as data. `cells[i][j]` stands in row `first_row + i` and column `first_column + j`, from 0, of its sheet."""

    name: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    first_row: int
    place: Place = Place()
    first_column: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read: its whole text, the blocks that cover it in order, and what the reader left out."""

    id: str
    source: str
    sha256: str
    title: str
    text: str
    blocks: tuple[Block, ...]
    tables: tuple[Table, ...] = ()
    skipped: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a document that is embedded and found as one: `document.text[start:end] == chunk.text`.

    A chunk of kind `summary` is searched like the others and expands to its document; it is never cited.
    """

    id: str
    document_id: str
    source: str
    text: str
    start: int
    end: int
    place: Place
    headings: tuple[str, ...] = ()
    kind: ChunkKind = "text"
    num_tokens: int = 0
    language: str = "en"
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk as it is stored: `vector` has length 1, `tokens` is the analyser's output joined by blanks."""

    chunk: Chunk
    vector: "NDArray[np.float32]"
    tokens: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search found; `score` is the cosine of a dense search or the BM25 of a lexical one."""

    chunk: Chunk
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that a search brought back. `score` is the fused one; the legs are None where a leg did not find it."""

    chunk: Chunk
    rank: int
    score: float
    dense: float | None = None  # cosine, -1..1
    lexical: float | None = None  # BM25, 0 upwards


@dataclass(frozen=True, slots=True)
class Context:
    """The passages that fit the budget, in the order in which the prompt numbers them from 1."""

    passages: tuple[Passage, ...]
    num_tokens: int = 0
    num_dropped: int = 0


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


# --- river 2: examples to adapters ---------------------------------------------------------------


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
    """One line of progress; `loss` and `validation_loss` where the step measured them."""

    step: int
    num_steps: int
    loss: float | None = None
    validation_loss: float | None = None


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One example as the model will be trained on it: `mask[i]` says whether token `ids[i]` counts in the loss.

    `prompt_ids` is the same chat up to its last answer, rendered as it is for generation.
    """

    example: Example
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    prompt_ids: tuple[int, ...]
    rejected_ids: tuple[
        int, ...
    ] = ()  # of a preference pair: the worse answer, after the same prompt


@dataclass(frozen=True, slots=True)
class Preparation:
    """Everything that a training would do, before it does it: what the pre-flight judges and the trainer then takes."""

    rows: tuple[LabelledRow, ...]
    validation_rows: tuple[LabelledRow, ...]
    num_too_long: (
        int  # rows of more than `max_tokens`, left out whole: a cut answer would lose its end
    )
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
    num_expected: int | None = (
        None  # trained parameters, counted from the shapes of the layers asked for
    )
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


# --- river 3: questions to a recommendation --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question. No `answers` means that the documents do not answer it and a refusal is right."""

    id: str
    text: str
    answers: tuple[str, ...]
    sources: tuple[str, ...] = ()
    family: str = ""
    kind: str = ""
    old_answers: tuple[str, ...] = ()  # right before the documents changed

    @property
    def answerable(self) -> bool:
        return bool(self.answers)


@dataclass(frozen=True, slots=True)
class Row:
    """One question under one arm: what was asked, answered, scored and spent."""

    question_id: str
    arm: ArmName
    answer: Answer
    scores: Mapping[str, float]
    prompt_sha256: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over questions with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm reached on all questions. Costs are in the currency of the configured prices, 0 without prices."""

    n: int
    scores: Mapping[str, Score]
    tokens_in: float  # mean a request
    tokens_out: float
    latency_ms_p50: float
    latency_ms_p95: float
    cost_per_request: float = 0.0
    cost_one_off: float = 0.0
    cost_per_correct: float | None = None
    train_s: float = 0.0
    first_token_ms_p50: float | None = None
    first_token_ms_p95: float | None = None
    cost_with_training: float = 0.0  # a request's cost and its share of the training
    kind: str = ""  # which of the five arms it is; "" says that its name is its kind


@dataclass(frozen=True, slots=True)
class Pair:
    """The paired difference `a - b` of one score on the same questions; `p` is adjusted over all pairs (Holm)."""

    a: ArmName
    b: ArmName
    score: str
    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class BreakEven:
    """After how many requests the arm that is `cheap_to_run` has paid for its training; None is never.

    `low` and `high` are the ends of the 95 % interval, from the interval of the saving a request.
    """

    cheap_to_make: ArmName
    cheap_to_run: ArmName
    requests: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Track:
    """The results on one part of the questions, such as those about documents that training has seen.

    `advice` is what these questions alone would advise.
    """

    name: str
    num_questions: int
    num_families: int
    detectable: float
    arms: Mapping[ArmName, ArmResult]
    pairs: tuple[Pair, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Reading:
    """An arm that reads, beside itself given the right passage alone, on the questions that name a source.

    `lost` is `given - found`, paired: what finding the passage, and telling it from others, costs.
    """

    arm: ArmName
    num_questions: int
    found: Score
    given: Score
    lost: Score


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a tuned arm reaches after so many examples; after none it is the arm that it was tuned from."""

    arm: ArmName
    num_examples: int
    score: Score


@dataclass(frozen=True, slots=True)
class OldAnswers:
    """How often an arm says what was right before the documents changed; `share` is lower the better."""

    arm: ArmName
    num_questions: int
    num_old: int
    share: Score


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The advice. `arm` may also be one of `recommend.REFUSALS` such as "not enough questions to tell"."""

    arm: str
    rule: str
    sentence: str
    reasons: tuple[str, ...]
    confidence: str
    would_change: tuple[str, ...] = ()
    next_step: str = ""
    rule_in_words: str = ""  # empty where no arm is advised


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run found out; recomputed from the rows of its folder, never stored apart from them.

    `arms` and `pairs` are those of the deciding track; `rows` and `questions` are all.
    """

    arms: Mapping[ArmName, ArmResult]
    pairs: tuple[Pair, ...]
    recommendation: Recommendation
    rows: tuple[Row, ...]
    questions: tuple[Question, ...]
    primary_score: str
    detectable: float
    facts: Mapping[str, object] = field(default_factory=dict)  # versions, hashes, seeds, hardware
    track: str = ""  # the questions that arms, pairs and recommendation rest on
    tracks: tuple[Track, ...] = ()
    break_even: tuple[BreakEven, ...] = ()
    readings: tuple[Reading, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    old_answers: tuple[OldAnswers, ...] = ()

"""The five arms: a question becomes what the model is asked, and with which adapter.

Equal in all arms are the model, the instruction, the decoding and the limit of new tokens; `rag` and
`rag_fine_tuned` get the very same passages. An arm differs from `prompt` only by what its function shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pericia.errors import InputError
from pericia.evaluate.normalise import normalise
from pericia.models import Model
from pericia.prompts import closed_book_prompt, open_book_prompt
from pericia.said import said
from pericia.types import Adapter, Context, Example, Prompt, Question


@dataclass(frozen=True, slots=True)
class Bench:
    """What the arms work with. `contexts` holds the passages of each question by its id, retrieved once."""

    model: Model
    instruction: str
    max_new_tokens: int
    contexts: Mapping[str, Context] = field(default_factory=dict)
    retrieval_ms: Mapping[str, float] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    num_examples: int = 3
    adapters: Mapping[str, Adapter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What one arm sends for one question."""

    prompt: Prompt
    adapter: Adapter | None = None


def prompt(question: Question, bench: Bench) -> Request:
    """Ask the bare model."""
    return Request(closed_book_prompt(question.text, bench.instruction))


def few_shot(question: Question, bench: Bench) -> Request:
    """Ask the bare model after showing it solved examples (see `similar_examples`)."""
    examples = similar_examples(question, bench)
    return Request(closed_book_prompt(question.text, bench.instruction, examples))


def rag(question: Question, bench: Bench) -> Request:
    """Ask the bare model with the passages."""
    return Request(open_book_prompt(question.text, bench.contexts[question.id], bench.instruction))


def fine_tuned(question: Question, bench: Bench) -> Request:
    """Ask as `prompt` does, with the adapter that learnt the answers closed book."""
    return Request(prompt(question, bench).prompt, bench.adapters["fine_tuned"])


def rag_fine_tuned(question: Question, bench: Bench) -> Request:
    """Ask as `rag` does, with the adapter that learnt to answer from passages."""
    return Request(rag(question, bench).prompt, bench.adapters["rag_fine_tuned"])


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm, and what it needs before it can run."""

    request: Callable[[Question, Bench], Request]
    line: str
    needs_passages: bool = False
    needs_examples: bool = False
    is_tuned: bool = False


# in order of cost before anything is measured: a tie goes to the earlier one
ARMS: dict[str, Arm] = {
    "prompt": Arm(prompt, "the model as it is"),
    "few_shot": Arm(few_shot, "with solved examples in the prompt", needs_examples=True),
    "rag": Arm(rag, "with retrieved passages", needs_passages=True),
    "fine_tuned": Arm(fine_tuned, "with an adapter", needs_examples=True, is_tuned=True),
    "rag_fine_tuned": Arm(
        rag_fine_tuned,
        "with passages and an adapter trained to read them",
        needs_passages=True,
        needs_examples=True,
        is_tuned=True,
    ),
}


def similar_examples(question: Question, bench: Bench) -> tuple[Example, ...]:
    """Return the training examples whose questions share most words with this one, the most alike last.

    Similarity is shared / all words of both questions, ties by id. While the chat and its answer would not fit the
    model's context, the least alike is left out.

    Raises:
        InputError: the question alone does not fit.
    """
    wanted = set(normalise(question.text).split())

    def likeness(example: Example) -> float:
        words = set(normalise(example.question).split())
        return len(words & wanted) / max(1, len(words | wanted))

    ranked = sorted(bench.examples, key=lambda example: (-likeness(example), example.id))
    chosen = tuple(reversed(ranked[: bench.num_examples]))
    while not _fits(closed_book_prompt(question.text, bench.instruction, chosen), bench):
        if not chosen:
            raise InputError(
                said(
                    "Question '%(id)s' does not fit the %(context_tokens)s tokens of the model.",
                    id=question.id,
                    context_tokens=bench.model.context_tokens,
                ),
                hint=said("Shorten the question, or take a model with a longer context."),
            )
        chosen = chosen[1:]
    return chosen


def _fits(chat: Prompt, bench: Bench) -> bool:
    used = bench.model.count_tokens(chat.messages) + bench.max_new_tokens
    return used <= bench.model.context_tokens


def runnable_arms(
    wanted: tuple[str, ...],
    *,
    has_documents: bool,
    has_examples: bool,
    is_tunable: bool,
    model: str,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the arms that can run, in the order of `ARMS`, and of each other one why not."""
    left_out: dict[str, str] = {}
    for name in (name for name in ARMS if name in wanted):
        arm = ARMS[name]
        if arm.is_tuned and not is_tunable:
            left_out[name] = said("'%(model)s' cannot be fine-tuned here.", model=model)
        elif name == "few_shot" and model == "quote":
            left_out[name] = said(
                "'quote' is no language model and reads passages only, not examples."
            )
        elif arm.needs_examples and not has_examples:
            left_out[name] = said("No examples are configured (key 'examples').")
        elif arm.needs_passages and not has_documents:
            left_out[name] = said("No documents are configured (key 'documents').")
    return tuple(n for n in ARMS if n in wanted and n not in left_out), left_out

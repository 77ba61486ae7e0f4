"""A question becomes a cited answer: river 1, from top to bottom.

    question -> understand: completed from the chat that it goes on from
             -> compute: a table's own answer, where one fits; else
             -> find: retrieve, fit -> refuse, or respond: generate, cite -> answer

`prepare` is all of this before the model is asked, for this page and for the server; `find` and `respond` are also the
halves from which the evaluation builds its arms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pericia import analyser
from pericia.citations import checked_files, cite
from pericia.conflicts import newest_first, notes_on
from pericia.context import fit_context, join_neighbours
from pericia.errors import InputError
from pericia.library import Library
from pericia.models import MODELS, Model
from pericia.prompts import REFUSAL, is_refusal, open_book_prompt
from pericia.retrieve import retrieve
from pericia.said import said
from pericia.table_answer import answer_from_tables
from pericia.table_forms import wants_many_rows
from pericia.table_sql import answer_by_sql
from pericia.types import Answer, Context, Generation, Message, Prompt
from pericia.understand import Understood, understand, with_chat

ABOUT_IT = 0.45  # cosine of the best passage above which other words than the question's are no reason to refuse


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as it is meant, and the passages to answer it from; `settled` where no model is needed for that."""

    understood: Understood
    context: Context = field(default_factory=lambda: Context(()))
    settled: Answer | None = None  # a table gave it, or nothing is about the question


def answer(
    question: str,
    library: Library,
    model: Model,
    *,
    instruction: str,
    max_new_tokens: int,
    adapter: Path | None = None,
    on_text: Callable[[str], None] | None = None,
    groups: Sequence[str] | None = None,
    history: Sequence[Message] = (),
) -> Answer:
    """Return the model's answer from the documents, each reference checked; a refusal when none fits.

    Only what `groups` may read is used; None leaves it to the library's. `history` is the chat before the question.

    Raises:
        InputError: the question is empty, or the model has no room for one passage. ModelError: the model failed.
    """
    if not question.strip():
        raise InputError("The question is empty.", hint="Ask something.", param="question")
    asked = prepare(
        question,
        library,
        model,
        instruction=instruction,
        max_new_tokens=max_new_tokens,
        groups=groups,
        history=history,
    )
    if asked.settled is not None:
        if on_text is not None:
            on_text(asked.settled.text)
        return asked.settled
    prompt = open_book_prompt(asked.understood.question, asked.context, instruction)
    answered = respond(
        prompt, model, max_new_tokens=max_new_tokens, adapter=adapter, on_text=on_text
    )
    return asked.understood.explain(checked(answered, library))


def prepare(
    question: str,
    library: Library,
    model: Model,
    *,
    instruction: str,
    max_new_tokens: int,
    groups: Sequence[str] | None = None,
    history: Sequence[Message] = (),
    sent: Sequence[Message] = (),
) -> Prepared:
    """Return a question with the passages that the model has room for, or with its answer where no model is needed.

    `sent` are messages of the chat that the model reads as well, and which take from that room.

    Raises:
        InputError: the model has no room for one passage. ModelError: the model failed.
    """
    meant = understand(question, library, model, history=history)
    if meant.completed_by != "rules":  # these make a list of words, which no table can read
        computed = compute(meant.question, library, model, groups=groups)
        if computed is not None:
            return Prepared(meant, settled=meant.explain(computed))
        meant = replace(
            meant, notes=(*meant.notes, *_not_computed(meant.question, library, groups))
        )

    def look_up(wanted: str) -> tuple[Context, bool]:
        room = room_for_passages(wanted, model, instruction, max_new_tokens, sent)
        context = find(wanted, library, text_counter(model), room_tokens=room, groups=groups)
        check_room(context, model, room)
        return context, is_about(wanted, context, library)

    context, is_found = look_up(meant.question)
    if not is_found and (completed := with_chat(meant, history, library)):
        meant = completed
        context, is_found = look_up(meant.question)
    if is_found:
        return Prepared(meant, context)
    refused = Answer(REFUSAL, refused=True, passages=context.passages)
    return Prepared(meant, context, meant.explain(refused))


def compute(
    question: str,
    library: Library,
    model: Model | None = None,
    *,
    groups: Sequence[str] | None = None,
) -> Answer | None:
    """Return the answer that one table gives, with its SQL and cells: to a recognised form of question; else None.

    With `retrieval.tables: model` an able `model` writes the SQL where no form fits.

    Raises:
        ModelError: the model failed.
    """
    if library.tables is None:
        return None
    language = library.language_of(question)
    groups = library.groups if groups is None else groups
    computed = answer_from_tables(question, library.tables, language=language, groups=groups)
    writes_sql = library.settings.tables == "model"
    if computed is None and writes_sql and model is not None and model.name not in MODELS:
        computed = answer_by_sql(question, library.tables, model, language=language, groups=groups)
    if computed is None:
        return None
    return replace(computed, citations=checked_files(computed.citations, library.catalogue))


def _not_computed(question: str, library: Library, groups: Sequence[str] | None) -> tuple[str, ...]:
    """Return a note where only a whole table can tell, there are tables, and none of them was clear enough."""
    groups = library.groups if groups is None else groups
    if library.tables is None or not library.tables.tables(groups):
        return ()
    if not wants_many_rows(question, library.language_of(question)):
        return ()
    return (
        said(
            "Only a whole table can tell this, and none was clear enough to compute it: what one passage says may be a "
            "part only. Name the column as the head of the table does."
        ),
    )


def find(
    question: str,
    library: Library,
    count_tokens: Callable[[str], int],
    *,
    room_tokens: int | None = None,
    groups: Sequence[str] | None = None,
) -> Context:
    """Return the passages for a question, within `retrieval.context_tokens` and the room that the model has."""
    passages = retrieve(
        question,
        store=library.store,
        embedder=library.embedder,
        settings=library.settings,
        language=library.language_of(question),
        groups=library.groups if groups is None else groups,
        is_newer=library.is_newer,
        reranker=library.reranker,
    )
    passages = newest_first(passages, library.edition_of)
    budget = library.settings.context_tokens
    budget = budget if room_tokens is None else min(budget, room_tokens)
    context = fit_context(passages, budget_tokens=budget, count_tokens=count_tokens)
    if not library.settings.neighbours:
        return context
    return join_neighbours(
        context,
        library.store.chunks,
        neighbours=library.settings.neighbours,
        budget_tokens=budget,
        count_tokens=count_tokens,
    )


def room_for_passages(
    question: str,
    model: Model,
    instruction: str,
    max_new_tokens: int,
    sent: Sequence[Message] = (),
) -> int:
    """Return how many tokens of passages the model can read beside the question, the messages `sent` and its answer."""
    prompt = open_book_prompt(question, Context(()), instruction)
    return model.context_tokens - max_new_tokens - model.count_tokens([*sent, *prompt.messages])


def check_room(context: Context, model: Model, room: int) -> None:
    """Raise InputError if passages were found and none fits."""
    if context.num_dropped and not context.passages:
        raise InputError(
            f"No passage fits: the model '{model.name}' leaves {room} tokens for them.",
            hint="Shorten the chat, lower retrieval.chunk_tokens or evaluate.max_new_tokens, or take a model that "
            "reads more.",
        )


def respond(
    prompt: Prompt,
    model: Model,
    *,
    max_new_tokens: int,
    adapter: Path | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Return what the model says to a prompt, with its references resolved; none in a refusal."""
    reply = model.generate(prompt, max_new_tokens=max_new_tokens, adapter=adapter, on_text=on_text)
    return read_reply(reply, prompt)


def read_reply(reply: Generation, prompt: Prompt) -> Answer:
    """Return a model's reply to a prompt as an answer, with its references resolved."""
    refused = is_refusal(reply.text) or not reply.text.strip()
    return Answer(
        text=reply.text.strip() or REFUSAL,
        citations=() if refused else cite(reply.text, prompt.question, prompt.passages),
        refused=refused,
        usage=reply.usage,
        passages=prompt.passages,
        finish_reason=reply.finish_reason,
    )


def is_about(question: str, context: Context, library: Library) -> bool:
    """Return whether the passages can hold the answer: they share the question's words, or at least its meaning.

    The rule is the one fitted on the examples (see `refusal.py`). Without one it is a careful constant, which refuses
    only where both legs are far off.
    """
    if not context.passages:
        return False
    language = library.language_of(question)
    if library.refusal is not None:
        return library.refusal.accepts(question, context.passages, language)
    asked = set(analyser.tokens(question, language))
    held = {
        word
        for passage in context.passages
        for text in (*passage.chunk.headings, passage.chunk.text)
        for word in analyser.tokens(text, language)
    }
    if not asked or len(asked & held) / len(asked) >= library.settings.refuse_below:
        return True
    return max(passage.dense or 0.0 for passage in context.passages) >= ABOUT_IT


def checked(answer: Answer, library: Library) -> Answer:
    """Return the answer with its citations checked against the files, and notes on documents that contradict them."""
    citations = checked_files(answer.citations, library.catalogue)
    against = notes_on(citations, answer.passages, library.edition_of)
    return replace(answer, citations=citations, notes=(*answer.notes, *against))


def text_counter(model: Model) -> Callable[[str], int]:
    """Return a function that counts a text in the model's tokens, chat markers included."""
    return lambda text: model.count_tokens([Message("user", text)])

"""A question becomes a cited answer: river 1, from top to bottom.

    question -> compute: a table's own answer, where one fits; else
             -> find: retrieve, fit -> refuse, or respond: generate, cite -> answer

`find` and `respond` are also the halves from which the evaluation builds its arms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pericia import analyser, embedders
from pericia.catalogue import Catalogue, read_catalogue
from pericia.citations import cite
from pericia.config import Config, RetrievalConfig
from pericia.context import fit_context
from pericia.embedders import Embedder
from pericia.errors import InputError, NotFoundError
from pericia.index import TABLES, index_folder, open_store
from pericia.models import Model
from pericia.prompts import REFUSAL, is_refusal, open_book_prompt
from pericia.refusal import Refusal, read_refusal
from pericia.retrieve import retrieve, with_legs
from pericia.stores import VectorStore
from pericia.table_answer import answer_from_tables
from pericia.tables import TableStore
from pericia.types import Answer, Citation, Context, Generation, Message, Prompt
from pericia.workspace import Workspace, sha256_of_file

ABOUT_IT = 0.45  # cosine of the best passage above which other words than the question's are no reason to refuse


@dataclass(frozen=True)
class Library:
    """What answers rest on: an index, open to be searched, and how to search it."""

    store: VectorStore
    embedder: Embedder
    settings: RetrievalConfig
    catalogue: Catalogue
    tables: TableStore | None = None  # for questions that a table answers by itself
    groups: Sequence[str] | None = (
        None  # whose rights hold where a question brings none; None: no access control
    )
    refusal: Refusal | None = None  # when to say "I don't know", fitted on examples


def open_library(
    workspace: Workspace,
    config: Config,
    embedder: Embedder | None = None,
    *,
    groups: Sequence[str] | None = None,
) -> Library:
    """Return the workspace's index, ready to be asked; `embedder` is the config's, if it is loaded already.

    `groups` are those whose rights hold for every question; None means that access is not controlled.

    Raises:
        NotFoundError: nothing is indexed with this embedder.
    """
    embedder = embedder or embedders.load(config.embedder)
    own = index_folder(workspace.index, embedder.name)
    catalogue = read_catalogue(own)
    if not catalogue.files:
        raise NotFoundError("No documents are indexed yet.", hint="Run: pericia add PATH")
    settings = with_legs(config.retrieval, own)
    store = open_store(workspace.index, config.store, embedder)
    tables = TableStore(own / TABLES)
    refusal = read_refusal(own) if settings.refusal == "fitted" else None
    return Library(store, embedder, settings, catalogue, tables, groups, refusal)


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
) -> Answer:
    """Return the model's answer from the documents, each reference checked; a refusal when none fits.

    Only what `groups` may read is used; None leaves it to the library's.

    Raises:
        InputError: the question is empty, or the model has no room for one passage. ModelError: the model failed.
    """
    if not question.strip():
        raise InputError("The question is empty.", hint="Ask something.", param="question")
    computed = compute(question, library, groups=groups)
    if computed is not None:
        if on_text is not None:
            on_text(computed.text)
        return computed

    room = model.context_tokens - max_new_tokens
    room -= model.count_tokens(open_book_prompt(question, Context(()), instruction).messages)

    context = find(question, library, text_counter(model), room_tokens=room, groups=groups)
    if context.num_dropped and not context.passages:
        raise InputError(
            f"No passage fits: the model '{model.name}' leaves {room} tokens for them.",
            hint="Lower retrieval.chunk_tokens or evaluate.max_new_tokens, or take a model that reads more.",
        )
    if not is_about(question, context, library):
        if on_text is not None:
            on_text(REFUSAL)
        return Answer(REFUSAL, refused=True, passages=context.passages)

    prompt = open_book_prompt(question, context, instruction)
    answered = respond(
        prompt, model, max_new_tokens=max_new_tokens, adapter=adapter, on_text=on_text
    )
    return replace(answered, citations=checked_files(answered.citations, library.catalogue))


def compute(
    question: str, library: Library, *, groups: Sequence[str] | None = None
) -> Answer | None:
    """Return the answer that one table gives to a recognised form of question, with its SQL and cells; else None."""
    if library.tables is None:
        return None
    language = question_language(question, library)
    groups = library.groups if groups is None else groups
    computed = answer_from_tables(question, library.tables, language=language, groups=groups)
    if computed is None:
        return None
    return replace(computed, citations=checked_files(computed.citations, library.catalogue))


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
        language=question_language(question, library),
        groups=library.groups if groups is None else groups,
    )
    budget = library.settings.context_tokens
    budget = budget if room_tokens is None else min(budget, room_tokens)
    return fit_context(passages, budget_tokens=budget, count_tokens=count_tokens)


def respond(
    prompt: Prompt,
    model: Model,
    *,
    max_new_tokens: int,
    adapter: Path | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Answer:
    """Return what the model says to a prompt, with its references resolved; none in a refusal."""
    said = model.generate(prompt, max_new_tokens=max_new_tokens, adapter=adapter, on_text=on_text)
    return read_reply(said, prompt)


def read_reply(said: Generation, prompt: Prompt) -> Answer:
    """Return a model's reply to a prompt as an answer, with its references resolved."""
    refused = is_refusal(said.text) or not said.text.strip()
    return Answer(
        text=said.text.strip() or REFUSAL,
        citations=() if refused else cite(said.text, prompt.question, prompt.passages),
        refused=refused,
        usage=said.usage,
        passages=prompt.passages,
        finish_reason=said.finish_reason,
    )


def is_about(question: str, context: Context, library: Library) -> bool:
    """Return whether the passages can hold the answer: they share the question's words, or at least its meaning.

    The rule is the one fitted on the examples (see `refusal.py`). Without one it is a careful constant, which refuses
    only where both legs are far off.
    """
    if not context.passages:
        return False
    language = question_language(question, library)
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


def checked_files(citations: Sequence[Citation], catalogue: Catalogue) -> tuple[Citation, ...]:
    """Return the citations, unverified where the file is no longer the one that was indexed."""
    return tuple(_checked_file(citation, catalogue) for citation in citations)


def _checked_file(citation: Citation, catalogue: Catalogue) -> Citation:
    entered = catalogue.files.get(citation.source)
    if not citation.verified or entered is None:
        return citation
    path = Path(entered.path)
    if not path.is_file():
        return replace(citation, verified=False, reason="the file is gone since it was indexed")
    if sha256_of_file(path) != entered.sha256:
        return replace(citation, verified=False, reason="the file has changed since it was indexed")
    return citation


def question_language(question: str, library: Library) -> str:
    """Return the language whose analyser reads the question: the configured one, or one of the documents'."""
    if library.settings.language != "auto":
        return library.settings.language
    return analyser.guess_language(question, library.catalogue.languages or ("en",))


def text_counter(model: Model) -> Callable[[str], int]:
    """Return a function that counts a text in the model's tokens, chat markers included."""
    return lambda text: model.count_tokens([Message("user", text)])

"""A question becomes a cited answer: river 1, from top to bottom.

    question -> understand: completed from the chat that it goes on from
             -> compute: a table's own answer, where one fits; else
             -> find: retrieve, fit -> refuse, or respond: generate, cite -> answer

`find` and `respond` are also the halves from which the evaluation builds its arms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pericia import analyser, embedders, follow_up, rerankers
from pericia.catalogue import Catalogue, read_catalogue, read_whole
from pericia.citations import cite
from pericia.config import Config, RetrievalConfig
from pericia.conflicts import newest_first, notes_on
from pericia.context import fit_context, join_neighbours
from pericia.editions import Edition, edition, is_newer
from pericia.embedders import Embedder
from pericia.errors import InputError, NotFoundError
from pericia.index import TABLES, index_folder, open_store
from pericia.models import MODELS, Model
from pericia.prompts import REFUSAL, is_refusal, open_book_prompt
from pericia.refusal import Refusal, read_refusal
from pericia.rerankers import Reranker
from pericia.retrieve import retrieve, with_legs
from pericia.stores import VectorStore
from pericia.table_answer import answer_from_tables
from pericia.table_sql import answer_by_sql
from pericia.tables import TableStore
from pericia.types import Answer, Chunk, Citation, Context, Generation, Message, Prompt, Usage
from pericia.workspace import Workspace, sha256_of_file

_NOT_WHOLE = "The embedder '{new}' has not embedded all documents yet (pericia add), so the index of '{old}' answered."
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
    notes: tuple[str, ...] = ()  # what every answer should say of this index
    reranker: Reranker | None = None

    def edition_of(self, chunk: Chunk) -> Edition:
        """Return how new the document of a chunk is, by its name, its first words and its file."""
        first = next(
            (c for c in self.store.chunks(chunk.document_id) if c.kind != "summary"), chunk
        )
        opening = " ".join([*first.headings, first.text])
        entered = self.catalogue.files.get(chunk.source)
        return edition(chunk.source, opening, entered.mtime_ns if entered else 0)

    def is_newer(self, one: Chunk, other: Chunk) -> bool:
        """Return whether the document of `one` is newer than that of `other`, by names and files alone, which is quick."""
        files = self.catalogue.files
        first, second = (
            edition(c.source, "", files[c.source].mtime_ns if c.source in files else 0)
            for c in (one, other)
        )
        return is_newer(first, second) is True


@dataclass(frozen=True, slots=True)
class Understood:
    """A question as it is searched and answered; `usage` is what a model spent to complete it."""

    question: str
    by_rules: bool = False  # then it is a list of words, which no table can read
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()

    def explain(self, answer: Answer) -> Answer:
        """Return the answer with what understanding its question took."""
        spent = replace(
            answer.usage,
            tokens_in=answer.usage.tokens_in + self.usage.tokens_in,
            tokens_out=answer.usage.tokens_out + self.usage.tokens_out,
            latency_ms=answer.usage.latency_ms + self.usage.latency_ms,
        )
        return replace(answer, usage=spent, notes=(*self.notes, *answer.notes))


def open_library(
    workspace: Workspace,
    config: Config,
    embedder: Embedder | None = None,
    *,
    groups: Sequence[str] | None = None,
) -> Library:
    """Return the workspace's index, ready to be asked; `embedder` is the config's, if it is loaded already.

    While the config's embedder has not embedded everything, the index of an earlier one answers, unless `embedder` is
    given. `groups` are those whose rights hold for every question; None means that access is not controlled.

    Raises:
        NotFoundError: nothing is indexed with this embedder, nor whole with another.
    """
    notes: tuple[str, ...] = ()
    if embedder is None:
        embedder = embedders.load(config.embedder)
        earlier = _earlier_embedder(workspace.index, embedder.name)
        if earlier is not None:
            embedder = embedders.load(earlier)
            notes = (_NOT_WHOLE.format(new=config.embedder, old=earlier),)
    own = index_folder(workspace.index, embedder.name)
    catalogue = read_catalogue(own)
    if not catalogue.files:
        raise NotFoundError("No documents are indexed yet.", hint="Run: pericia add PATH")
    settings = with_legs(config.retrieval, own)
    store = open_store(workspace.index, catalogue.store or config.store, embedder)
    tables = TableStore(own / TABLES)
    refusal = read_refusal(own) if settings.refusal == "fitted" else None
    reranker = rerankers.load(settings.reranker) if settings.reranker else None
    return Library(store, embedder, settings, catalogue, tables, groups, refusal, notes, reranker)


def _earlier_embedder(index: Path, name: str) -> str | None:
    """Return the embedder of a whole index, where the one by the embedder of this name is not whole yet."""
    own = index_folder(index, name)
    if read_whole(own) is not None:
        return None
    others = [path.parent for path in index.glob("*/whole.json") if path.parent != own]
    newest = max(others, key=lambda other: (other / "whole.json").stat().st_mtime_ns, default=None)
    return None if newest is None else read_whole(newest)


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
    understood = understand(question, library, model, history=history, groups=groups)
    question = understood.question
    computed = None
    if not understood.by_rules:
        computed = compute(question, library, model, groups=groups)
    if computed is not None:
        if on_text is not None:
            on_text(computed.text)
        return understood.explain(computed)

    room = model.context_tokens - max_new_tokens
    room -= model.count_tokens(open_book_prompt(question, Context(()), instruction).messages)

    context = find(question, library, text_counter(model), room_tokens=room, groups=groups)
    check_room(context, model, room)
    if not is_about(question, context, library):
        if on_text is not None:
            on_text(REFUSAL)
        return understood.explain(Answer(REFUSAL, refused=True, passages=context.passages))

    prompt = open_book_prompt(question, context, instruction)
    answered = respond(
        prompt, model, max_new_tokens=max_new_tokens, adapter=adapter, on_text=on_text
    )
    return understood.explain(checked(answered, library))


def understand(
    question: str,
    library: Library,
    model: Model,
    *,
    history: Sequence[Message] = (),
    groups: Sequence[str] | None = None,
) -> Understood:
    """Return the question as it is meant after `history`: as an able model writes it anew, else as rules complete it.

    The rules leave a question that stands by itself alone, unless it finds nothing that is about it.

    Raises:
        ModelError: the model failed.
    """
    settings = library.settings
    asked = [turn.content for turn in history if turn.role == "user"]
    if settings.follow_ups == "off" or not asked:
        return Understood(question, notes=library.notes)
    if settings.follow_ups == "auto" and model.name not in MODELS:
        written = follow_up.by_model(question, history, model)
        if written is not None:
            notes = (*library.notes, *_read_as(question, written[0]))
            return Understood(written[0], usage=written[1], notes=notes)
    language = question_language(f"{asked[-1]} {question}", library)
    meant = follow_up.by_rules(question, history, language)
    if meant == question:
        context = find(question, library, text_counter(model), groups=groups)
        if not is_about(question, context, library):
            meant = follow_up.by_rules(question, history, language, always=True)
    notes = (*library.notes, *_read_as(question, meant))
    return Understood(meant, by_rules=meant != question, notes=notes)


def _read_as(question: str, meant: str) -> tuple[str, ...]:
    return () if meant == question else (f"The question was read as: {meant}",)


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
    language = question_language(question, library)
    groups = library.groups if groups is None else groups
    computed = answer_from_tables(question, library.tables, language=language, groups=groups)
    writes_sql = library.settings.tables == "model"
    if computed is None and writes_sql and model is not None and model.name not in MODELS:
        computed = answer_by_sql(question, library.tables, model, language=language, groups=groups)
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


def check_room(context: Context, model: Model, room_tokens: int) -> None:
    """Raise InputError if passages were found and none fits."""
    if context.num_dropped and not context.passages:
        raise InputError(
            f"No passage fits: the model '{model.name}' leaves {room_tokens} tokens for them.",
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


def checked(answer: Answer, library: Library) -> Answer:
    """Return the answer with its citations checked against the files, and notes on documents that contradict them."""
    citations = checked_files(answer.citations, library.catalogue)
    against = notes_on(citations, answer.passages, library.edition_of)
    return replace(answer, citations=citations, notes=(*answer.notes, *against))


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

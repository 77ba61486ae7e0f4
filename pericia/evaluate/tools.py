"""What a run needs from the other two rivers: search, model and training, each as one function."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from pericia import answer, embedders, models, train
from pericia.bases import base_folder, base_sha256
from pericia.catalogue import Catalogue
from pericia.config import Config
from pericia.context import fit_context
from pericia.dataset import read_dataset
from pericia.errors import InputError
from pericia.evaluate.normalise import says
from pericia.evaluate.sourcing import is_same_source
from pericia.index import index_folder, sync
from pericia.library import Library, open_library
from pericia.models import Model
from pericia.refusal import Refusal, calibrate, write_refusal
from pericia.retrieve import choose_legs, has_legs, retrieve, with_legs, write_legs
from pericia.summaries import summarist
from pericia.types import Adapter, Answer, Context, Dataset, Passage, Prompt, Question, TrainEvent
from pericia.workspace import Workspace, sha256_of

MOST_HIDDEN = 2000  # documents: a search in all but one names the others
LEG_QUESTIONS = 100  # enough to tell the legs apart, and a few seconds to ask
MOST_LOOKED_AT = 50  # passages of a document, for the one that holds the answer
FEW_DOCUMENTS = 50  # up to which each is read by itself
UNTUNABLE = ("quote", "openai:", "azure:", "http:", "https:")


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions, and what identifies the things behind them: equal identities give equal answers.

    `load_model` and `find` are called only when something is to be asked, so a run without news starts at once.
    `is_about` says whether passages can hold an answer at all; where they cannot, the arms that read them refuse.
    `find_right` brings one passage of each source of a question: the first that holds an answer, else the best one.
    """

    model_identity: str
    index_identity: str
    sources: frozenset[str]  # the documents in the index; empty without documents
    load_model: Callable[[], Model]
    find: Callable[[str], Context]
    is_about: Callable[[str, Context], bool]
    answer: Callable[[Prompt, Path | None], Answer]
    train: Callable[[Dataset, train.Kind, Callable[[TrainEvent], None]], Adapter]
    is_tunable: bool = True
    compute: Callable[[str], Answer | None] = lambda question: None  # a table's own answer
    find_right: Callable[[Question], Context] = lambda question: Context(())
    texts: Callable[[Collection[str]], dict[str, str]] = lambda sources: {}  # of documents, by name


def is_tunable(model: str) -> bool:
    """Return whether adapters of a model can be trained here: its weights are in this process."""
    return not model.startswith(UNTUNABLE)


def open_tools(
    config: Config, workspace: Workspace, on_file: Callable[[str, int, int], None]
) -> Tools:
    """Return the tools of a config, with the index brought up to date; `on_file` hears name, number and total.

    Raises:
        InputError: a document, embedder, store or model does not exist.
    """
    model_identity = _model_identity(config.model)
    library = _library(config, workspace, on_file)

    @cache
    def load_model() -> Model:
        return models.load(config.model)

    def room_tokens(question: str) -> int:
        limit = config.evaluate.max_new_tokens
        return answer.room_for_passages(question, load_model(), config.instruction, limit)

    def find(question: str) -> Context:
        if library is None:
            raise InputError("No documents are configured.", hint="Name them: key 'documents'.")
        count_tokens, room = answer.text_counter(load_model()), room_tokens(question)
        return answer.find(question, library, count_tokens, room_tokens=room)

    def compute(question: str) -> Answer | None:
        if library is None:
            return None
        model = load_model() if library.settings.tables == "model" else None
        return answer.compute(question, library, model)

    def find_right(question: Question) -> Context:
        passages = _right_passages(question, library) if library else []
        count_tokens = answer.text_counter(load_model())
        return fit_context(
            passages, budget_tokens=room_tokens(question.text), count_tokens=count_tokens
        )

    return Tools(
        model_identity=model_identity,
        index_identity=_index_identity(library, config) if library else "",
        sources=frozenset(library.catalogue.files) if library else frozenset(),
        load_model=load_model,
        find=find,
        is_about=lambda question, context: (
            library is not None and answer.is_about(question, context, library)
        ),
        compute=compute,
        find_right=find_right,
        texts=lambda sources: _texts(sources, library) if library else {},
        answer=lambda prompt, adapter: answer.respond(
            prompt, load_model(), max_new_tokens=config.evaluate.max_new_tokens, adapter=adapter
        ),
        train=lambda dataset, kind, on_event: train.train(
            dataset,
            base=config.model,
            kind=kind,
            settings=config.train,
            instruction=config.instruction,
            folder=workspace.adapters,
            find=find,
            on_event=on_event,
        ),
        is_tunable=is_tunable(config.model),
    )


def _library(
    config: Config, workspace: Workspace, on_file: Callable[[str, int, int], None]
) -> Library | None:
    if not config.documents:
        return None
    embedder = embedders.load(config.embedder)
    done = sync(
        [workspace.resolve(path) for path in config.documents],
        folder=workspace.index,
        store_name=config.store,
        embedder=embedder,
        settings=config.retrieval,
        root=workspace.root,
        embedder_key=config.embedder,
        on_event=lambda event: on_file(event.message, event.done, event.total),
        summarist=summarist(config.retrieval.summaries, config.model, config.serve.upstream),
    )
    library = open_library(workspace, config, embedder)
    own = index_folder(workspace.index, embedder.name)
    if config.retrieval.legs != "auto" or (not done.has_changed and has_legs(own)):
        return library
    labelled = _labelled(config, workspace)
    if not labelled:
        return library
    language = library.language_of(" ".join(question for question, _ in labelled))
    scores = choose_legs(
        labelled,
        store=library.store,
        embedder=embedder,
        settings=config.retrieval,
        language=language,
    )
    write_legs(own, scores)
    share = f"{scores.dense_weight:.0%} by meaning, the rest by words"
    on_file(f"searching {share}, chosen on {len(labelled)} examples", 0, 0)
    library = replace(library, settings=with_legs(config.retrieval, own))
    refusal = _calibrated(labelled, library, language)
    write_refusal(own, refusal)
    if refusal is not None:
        rates = (
            f"{refusal.false_refusals:.0%} of the answerable, {refusal.caught:.0%} of the others"
        )
        on_file(f"refusing on {refusal.num_held_out} questions each: {rates}", 0, 0)
    return replace(library, refusal=refusal)


def _calibrated(
    labelled: Sequence[tuple[str, list[str]]], library: Library, language: str
) -> Refusal | None:
    """Return the rule when to refuse, fitted on questions with and without their documents."""
    files = library.catalogue.files
    if library.settings.refusal != "fitted" or len(files) > MOST_HIDDEN:
        return None

    def find(question: str, hidden: Sequence[str]) -> list[Passage]:
        shown = [e.document_id for source, e in files.items() if source not in hidden]
        return retrieve(
            question,
            store=library.store,
            embedder=library.embedder,
            settings=library.settings,
            language=language,
            documents=shown if hidden else None,
        )

    return calibrate(labelled, find, language)


def _labelled(config: Config, workspace: Workspace) -> list[tuple[str, list[str]]]:
    """Return questions of the training examples with their documents; never a held-out one."""
    if config.examples is None:
        return []
    dataset, _ = read_dataset(config, workspace)
    examples = (*dataset.train, *dataset.validation)
    named = [(example.question, [example.source]) for example in examples if example.source]
    return named[:: max(1, len(named) // LEG_QUESTIONS)][:LEG_QUESTIONS]


def _right_passages(question: Question, library: Library) -> list[Passage]:
    """Return of each source of a question the first passage found that holds an answer, else the best one."""
    language = library.language_of(question.text)
    chosen: list[Passage] = []
    for source in question.sources:
        files = library.catalogue.files.items()
        found = retrieve(
            question.text,
            store=library.store,
            embedder=library.embedder,
            settings=library.settings.model_copy(update={"top_k": MOST_LOOKED_AT}),
            language=language,
            documents=[e.document_id for name, e in files if is_same_source(source, name)],
        )
        holding = (
            passage
            for passage in found
            if any(says(passage.chunk.text, wanted, language) for wanted in question.answers)
        )
        if found:
            chosen.append(replace(next(holding, found[0]), rank=len(chosen) + 1))
    return chosen


def _texts(sources: Collection[str], library: Library) -> dict[str, str]:
    """Return what is indexed of each document; many are read in one go."""
    source_of = {library.catalogue.files[source].document_id: source for source in sources}
    wanted = [None] if len(source_of) > FEW_DOCUMENTS else list(source_of)
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for chunk in (chunk for each in wanted for chunk in library.store.chunks(each)):
        if chunk.document_id in source_of and chunk.kind != "summary":
            parts[source_of[chunk.document_id]].append(chunk.text)
    return {source: "\n".join(texts) for source, texts in parts.items()}


def _model_identity(name: str) -> str:
    if not is_tunable(name):
        return name
    return base_sha256(base_folder(name))


def _index_identity(library: Library, config: Config) -> str:
    """Return the hash of what search brings back: the indexed files, how they were read, and how they are found."""
    return sha256_of(
        [
            _files(library.catalogue),
            library.embedder.name,
            config.store,
            library.settings.legs,
            library.settings.dense_weight,
            asdict(library.refusal) if library.refusal else None,
        ]
    )


def _files(catalogue: Catalogue) -> list[list[str]]:
    kept = ("sha256", "document_id", "fingerprint")
    return [[s, *(asdict(e)[k] for k in kept)] for s, e in sorted(catalogue.files.items())]

"""What answers rest on: an index, opened to be searched, with how to search it and when to say "I don't know"."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pericia import analyser, embedders, rerankers
from pericia.catalogue import Catalogue, read_catalogue, read_whole
from pericia.config import Config, RetrievalConfig
from pericia.editions import Edition, edition, is_newer
from pericia.embedders import Embedder
from pericia.errors import NotFoundError
from pericia.index import TABLES, index_folder, open_store
from pericia.refusal import Refusal, read_refusal
from pericia.rerankers import Reranker
from pericia.retrieve import with_legs
from pericia.said import said
from pericia.stores import VectorStore
from pericia.tables import TableStore
from pericia.types import Chunk
from pericia.workspace import Workspace


@dataclass(frozen=True)
class Library:
    """An index and everything that a search in it needs."""

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

    def language_of(self, question: str) -> str:
        """Return the language whose analyser reads a question: the configured one, or one of the documents'."""
        if self.settings.language != "auto":
            return self.settings.language
        return analyser.guess_language(question, self.catalogue.languages or ("en",))

    def edition_of(self, chunk: Chunk) -> Edition:
        """Return how new the document of a chunk is: as it says, else as its name and its file say."""
        entered = self.catalogue.files.get(chunk.source)
        if entered is None:
            return edition(chunk.source, "", 0)
        dated = date.fromisoformat(entered.dated) if entered.dated else None
        named = edition(chunk.source, "", entered.mtime_ns)
        return replace(named, version=entered.version or None, dated=dated)

    def is_newer(self, one: Chunk, other: Chunk) -> bool:
        """Return whether the document of `one` is surely newer than that of `other`."""
        return is_newer(self.edition_of(one), self.edition_of(other)) is True


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
            note = said(
                "The embedder '%(new)s' has not embedded all documents yet (pericia add), so the index of '%(old)s' answered.",
                new=config.embedder,
                old=earlier,
            )
            notes = (note,)
    own = index_folder(workspace.index, embedder.name)
    catalogue = read_catalogue(own)
    if not catalogue.files:
        raise NotFoundError(
            said("No documents are indexed yet."), hint=said("Run: pericia add PATH")
        )
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

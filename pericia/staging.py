"""Documents on their way into the store: split, embedded piece by piece, and turned into entries.

A vector waits in the journal from the moment it is computed until its document is stored whole. What the journal
holds already, or what an earlier version of the document has in the store, is not embedded again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pericia import analyser, chunks
from pericia.access import groups_of
from pericia.changes import Change
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder, reads_context
from pericia.stores import VectorStore
from pericia.types import Chunk, Document, Entry
from pericia.vector_journal import VectorJournal
from pericia.workspace import sha256_of

BATCH_CHUNKS = (
    256  # embedded at a time; a commit holds at least as many: one a document is ten times slower
)
# Raised when `analyser.tokens` or what is stored changes, so that it is made again.
TOKENS_VERSION = 5
_VECTORS_AT_ONCE = 2000
_WHOLE_TOKENS = 20_000  # a longer document is no page: its words say little about what it is about


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """Progress: `done` of `total` files are read, or of the passages of the files read so far embedded."""

    stage: Literal["read", "embed"]
    message: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as it was read and split."""

    change: Change
    document: Document
    chunks: Sequence[Chunk]
    summary_by: str = ""  # the model that was asked for its summary


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of a document, made one by one, so that a large document is never in memory with its vectors.

    A summary is found by the words of the whole document, so that words which are spread over it count together.
    """

    chunks: Sequence[Chunk]
    vector_of: Callable[[Chunk], NDArray[np.float32]]
    settings: RetrievalConfig

    def __iter__(self) -> Iterator[Entry]:
        whole: list[str] = []
        for chunk in sorted(self.chunks, key=lambda chunk: chunk.kind == "summary"):
            words = lexical_tokens(chunk, self.settings)
            if len(whole) <= _WHOLE_TOKENS:
                whole += words
            if chunk.kind == "summary" and len(whole) <= _WHOLE_TOKENS:
                words = whole
            yield Entry(chunk, self.vector_of(chunk), " ".join(words))


def split(
    document: Document, embedder: Embedder, settings: RetrievalConfig, written: str = ""
) -> list[Chunk]:
    """Return the chunks of a document in its own language, and its summary, `written` or extracted; none where it is empty."""
    language = settings.language
    if language == "auto":
        language = analyser.guess_language(document.text)
    limit, count = min(settings.chunk_tokens, embedder.max_tokens), embedder.count_tokens
    made = chunks.split(document, chunk_tokens=limit, count_tokens=count, language=language)
    if not made:
        return []
    summary = chunks.summarise(
        document, count_tokens=count, max_tokens=limit, language=language, written=written
    )
    return [*made, summary]


def fingerprint(settings: RetrievalConfig, source: str, summary_by: str) -> str:
    """Return the hash of all that shapes chunks and tokens, and who may read them, but for file and embedder."""
    chosen = [settings.chunk_tokens, settings.language, settings.lexical_unit]
    chosen += [f"summary by {summary_by}"] if summary_by else []
    return sha256_of([TOKENS_VERSION, *chosen, *groups_of(source, settings.access)])[:16]


def indexed_text(chunk: Chunk) -> str:
    """Return what is embedded and searched: the headings above a chunk that it does not show, and its text."""
    shown = chunk.text.casefold()
    missing = [heading for heading in chunk.headings if heading.casefold() not in shown]
    return "\n".join([*missing, chunk.text])


def lexical_tokens(chunk: Chunk, settings: RetrievalConfig) -> list[str]:
    """Return the tokens by which the lexical leg finds a chunk."""
    unit = None if settings.lexical_unit == "auto" else settings.lexical_unit
    return analyser.tokens(indexed_text(chunk), chunk.language, unit)


def batches(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Yield readings together until they have enough chunks for a commit."""
    batch: list[Reading] = []
    for reading in readings:
        batch.append(reading)
        if sum(len(reading.chunks) for reading in batch) >= BATCH_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


class Embedding:
    """Embeds documents into the journal, `BATCH_CHUNKS` passages at a time."""

    def __init__(
        self,
        embedder: Embedder,
        journal: VectorJournal,
        store: VectorStore,
        tell: Callable[[SyncEvent], None],
    ) -> None:
        self.num_embedded = 0
        self._embedder = embedder
        self._in_context = reads_context(embedder)
        self._journal = journal
        self._store = store
        self._tell = tell
        self._done = self._total = 0
        self._seconds = 0.0

    def add(self, batch: Sequence[Reading]) -> None:
        """Put the vectors of a batch into the journal."""
        self._total += sum(len(reading.chunks) for reading in batch)
        # Where passages lend each other meaning, those of two documents never go together.
        for group in [[reading] for reading in batch] if self._in_context else [batch]:
            for reading in group:
                self._take_over(reading)
            keyed = [
                (self._key(reading.document.id, chunk), indexed_text(chunk))
                for reading in group
                for chunk in reading.chunks
            ]
            for start in range(0, len(keyed), BATCH_CHUNKS):
                self._embed(keyed[start : start + BATCH_CHUNKS])

    def entries(self, reading: Reading, settings: RetrievalConfig) -> Entries:
        """Return the entries of a document that was added."""

        def vector_of(chunk: Chunk) -> NDArray[np.float32]:
            return self._journal[self._key(reading.document.id, chunk)]

        return Entries(reading.chunks, vector_of, settings)

    def _key(self, document_id: str, chunk: Chunk) -> str:
        text = indexed_text(chunk)
        return f"{document_id}\0{text}" if self._in_context else text

    def _embed(self, keyed: Sequence[tuple[str, str]]) -> None:
        new = {key: text for key, text in keyed if key not in self._journal}
        if new:
            began = time.monotonic()
            self._journal.add(list(new), self._embedder.embed_passages(list(new.values())))
            self._seconds += time.monotonic() - began
            self.num_embedded += len(new)
        self._done += len(keyed)
        speed = f"{self.num_embedded / self._seconds:.0f} passages/s" if self._seconds else ""
        self._tell(SyncEvent("embed", speed, self._done, self._total))

    def _take_over(self, reading: Reading) -> None:
        """Copy the vectors of passages that an earlier version of the document has, word for word."""
        if reading.change.old is None or self._in_context:
            return
        stored = {
            indexed_text(chunk): chunk.id
            for chunk in self._store.chunks(reading.change.old.document_id)
        }
        texts = {indexed_text(chunk) for chunk in reading.chunks}
        same = sorted(text for text in texts & stored.keys() if text not in self._journal)
        for start in range(0, len(same), _VECTORS_AT_ONCE):
            some = same[start : start + _VECTORS_AT_ONCE]
            vectors = self._store.vectors([stored[text] for text in some])
            kept = [text for text in some if stored[text] in vectors]
            if kept:
                self._journal.add(kept, np.array([vectors[stored[text]] for text in kept]))

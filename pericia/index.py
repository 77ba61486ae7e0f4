"""Keep an index equal to the files: read what changed, leave what did not, remove what is gone.

    files -> compare with the catalogue -> read -> split -> embed -> one commit -> catalogue

One embedder's index is one folder, with the store and `catalogue.json`. Small documents share a commit, a large one
has its own; it is embedded piece by piece into a journal on disk and becomes visible whole. The documents of a commit
are announced in the catalogue, stored, and entered in the catalogue; killed anywhere, the next sync repairs it.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pericia import analyser, chunks, documents, stores
from pericia.catalogue import (
    Catalogue,
    Entered,
    read_catalogue,
    read_roots,
    write_catalogue,
    write_roots,
)
from pericia.changes import Change, changed
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.errors import InputError, MissingExtraError
from pericia.stores import VectorStore
from pericia.types import Chunk, Document, Entry
from pericia.vector_journal import VectorJournal
from pericia.workspace import lock, sha256_of

BATCH_CHUNKS = (
    256  # embedded at a time; a commit holds at least as many: one a document is ten times slower
)
COMMITS_TO_OPTIMIZE = 50
TOKENS_VERSION = 1  # raised when `analyser.tokens` changes, so that stored tokens are made again


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """Progress: `done` of `total` files are read, or of the passages of the files read so far embedded."""

    stage: Literal["read", "embed"]
    message: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did. `skipped` are files that are not indexed as they are now, `notes` parts of files left out."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    num_documents: int = 0
    num_chunks: int = 0
    num_embedded: int = 0  # passages for which the embedder was asked
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    fault: str = ""  # of the store's own maintenance; searching goes on

    @property
    def has_changed(self) -> bool:
        return bool(self.added or self.changed or self.moved or self.removed)


@dataclass(slots=True)
class _Outcome:
    """What has happened so far."""

    files: dict[str, Entered]
    changes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A file as it was read and split."""

    change: Change
    document: Document
    chunks: Sequence[Chunk]


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of a document, made one by one, so that a large document is never in memory with its vectors."""

    chunks: Sequence[Chunk]
    journal: VectorJournal
    settings: RetrievalConfig

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self.chunks:
            words = " ".join(lexical_tokens(chunk, self.settings))
            yield Entry(chunk, self.journal[indexed_text(chunk)], words)


def index_folder(folder: Path, embedder_name: str) -> Path:
    """Return where the index of one embedder lies."""
    return folder / sha256(embedder_name.encode()).hexdigest()[:12]


def open_store(folder: Path, store_name: str, embedder: Embedder) -> VectorStore:
    """Return the store of one embedder's index, made when missing. Raises as `stores.load`."""
    own = index_folder(folder, embedder.name)
    return stores.load(store_name, own, embedder.name, embedder.num_dimensions)


def sync(
    paths: Sequence[Path],
    *,
    folder: Path,
    store_name: str,
    embedder: Embedder,
    settings: RetrievalConfig,
    root: Path | None = None,
    on_event: Callable[[SyncEvent], None] | None = None,
) -> SyncReport:
    """Make the index hold exactly the files below `paths` and below the paths of earlier syncs.

    `root` is the folder of the config: sources are named from there, as questions and examples name them. A file
    that cannot be read is skipped with its reason; if an earlier version of it is indexed, that one stays.

    Raises:
        NotFoundError: a path does not exist.
        InputError: a folder is empty, or not one file can be read; the index is left as it was.
        ConflictError: another process is at work in the folder.
    """
    with lock(folder, "updating the index"):
        roots = _with_remembered(folder, paths)
        files = documents.find_files(roots, root=root)
        own = index_folder(folder, embedder.name)
        store = open_store(folder, store_name, embedder)
        known = _repaired(own, store)
        fingerprint = _fingerprint(settings)
        work = changed(files, known.files, fingerprint)
        outcome = _Outcome(dict(known.files))
        tell = on_event or (lambda event: None)
        with VectorJournal(own / "vectors.journal", embedder.num_dimensions) as journal:
            embedding = _Embedding(embedder, journal, tell)
            batches = _batches(_read(work, settings, embedder, outcome, tell))
            for number, batch in enumerate(batches, start=1):
                embedding.add(batch)
                _commit(batch, store, journal, settings, own, fingerprint, outcome)
                if number % COMMITS_TO_OPTIMIZE == 0:
                    store.optimize()
        present = {source for _, source in files}
        if not present & outcome.files.keys():
            source, reason = outcome.skipped[0]
            raise InputError(
                f"None of the {len(files)} files can be read; '{source}': {reason}",
                hint="Formats that are read: " + ", ".join(sorted(filter(None, documents.READERS))),
            )
        removed = _remove(outcome.files.keys() - present, store, own, outcome)
        write_roots(folder, roots)
        changes = outcome.changes
        fault = store.optimize() if changes or removed else ""
        _drop_other_embedders(folder, own)
        return SyncReport(
            added=changes.count("added"),
            changed=changes.count("changed"),
            moved=changes.count("moved"),
            removed=removed,
            unchanged=len(files) - len(work),
            num_documents=len(outcome.files),
            num_chunks=store.count(),
            num_embedded=embedding.num_embedded,
            skipped=tuple(outcome.skipped),
            notes=tuple(outcome.notes),
            fault=fault,
        )


def indexed_text(chunk: Chunk) -> str:
    """Return what is embedded and searched: the headings above a chunk that it does not show, and its text."""
    shown = chunk.text.casefold()
    missing = [heading for heading in chunk.headings if heading.casefold() not in shown]
    return "\n".join([*missing, chunk.text])


def lexical_tokens(chunk: Chunk, settings: RetrievalConfig) -> list[str]:
    """Return the tokens by which the lexical leg finds a chunk."""
    unit = None if settings.lexical_unit == "auto" else settings.lexical_unit
    return analyser.tokens(indexed_text(chunk), chunk.language, unit)


def _with_remembered(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Return earlier roots that still hold a file, then the new ones, absolute and each once."""
    remembered = [root for root in read_roots(folder) if root.is_file() or any(root.iterdir())]
    return list(dict.fromkeys([*remembered, *(path.absolute() for path in paths)]))


def _repaired(own: Path, store: VectorStore) -> Catalogue:
    """Return the catalogue after removing what a killed sync left; a store that lost rows starts anew."""
    known = read_catalogue(own)
    entered = {file.document_id for file in known.files.values()}
    if strays := [key for key in known.announced if key not in entered]:
        store.replace({key: [] for key in strays})
    if store.count() == known.num_chunks:
        return Catalogue(known.files)
    stored = Counter(chunk.document_id for chunk in store.chunks())
    store.replace({key: [] for key in stored.keys() - entered})
    whole = {s: f for s, f in known.files.items() if stored[f.document_id] == f.num_chunks}
    return Catalogue(whole)


def _fingerprint(settings: RetrievalConfig) -> str:
    """Return the hash of everything that shapes chunks and tokens, apart from the file and the embedder."""
    chosen = [settings.chunk_tokens, settings.language, settings.lexical_unit]
    return sha256_of([TOKENS_VERSION, *chosen])[:16]


def _read(
    work: Sequence[Change],
    settings: RetrievalConfig,
    embedder: Embedder,
    outcome: _Outcome,
    tell: Callable[[SyncEvent], None],
) -> Iterator[_Reading]:
    """Yield each readable file with its chunks; the others go to `outcome.skipped`."""
    with documents.ReadingRoom() as room:
        for number, change in enumerate(work):
            tell(SyncEvent("read", change.source, number, len(work)))
            try:
                document = room.read(change.path, change.source, password=settings.pdf_password)
            except (InputError, MissingExtraError) as error:
                kept = (
                    " The version indexed before is kept." if change.source in outcome.files else ""
                )
                outcome.skipped.append((change.source, f"{error.message} {error.hint}{kept}"))
                continue
            language = settings.language
            if language == "auto":
                language = analyser.guess_language(document.text)
            made = chunks.split(
                document,
                chunk_tokens=min(settings.chunk_tokens, embedder.max_tokens),
                count_tokens=embedder.count_tokens,
                language=language,
            )
            outcome.notes += [(change.source, note) for note in document.skipped]
            yield _Reading(change, document, made)
    if work:
        tell(SyncEvent("read", "", len(work), len(work)))


def _batches(readings: Iterable[_Reading]) -> Iterator[list[_Reading]]:
    """Yield readings together until they have enough chunks for a commit."""
    batch: list[_Reading] = []
    for reading in readings:
        batch.append(reading)
        if sum(len(reading.chunks) for reading in batch) >= BATCH_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


class _Embedding:
    """Embeds documents into the journal, piece by piece; what is there already is not embedded again."""

    def __init__(
        self, embedder: Embedder, journal: VectorJournal, tell: Callable[[SyncEvent], None]
    ) -> None:
        self.num_embedded = 0
        self._embedder = embedder
        self._journal = journal
        self._tell = tell
        self._done = self._total = 0
        self._seconds = 0.0

    def add(self, batch: Sequence[_Reading]) -> None:
        texts = [indexed_text(chunk) for reading in batch for chunk in reading.chunks]
        self._total += len(texts)
        for start in range(0, len(texts), BATCH_CHUNKS):
            piece = texts[start : start + BATCH_CHUNKS]
            new = [text for text in dict.fromkeys(piece) if text not in self._journal]
            if new:
                began = time.monotonic()
                self._journal.add(new, self._embedder.embed_passages(new))
                self._seconds += time.monotonic() - began
                self.num_embedded += len(new)
            self._done += len(piece)
            speed = f"{self.num_embedded / self._seconds:.0f} passages/s" if self._seconds else ""
            self._tell(SyncEvent("embed", speed, self._done, self._total))


def _commit(
    batch: Sequence[_Reading],
    store: VectorStore,
    journal: VectorJournal,
    settings: RetrievalConfig,
    own: Path,
    fingerprint: str,
    outcome: _Outcome,
) -> None:
    """Replace the documents of a batch in one commit and enter them in the catalogue."""
    announced = tuple(reading.document.id for reading in batch)
    write_catalogue(own, Catalogue(outcome.files, announced))
    entries: dict[str, Iterable[Entry]] = {}
    for reading in batch:
        if reading.change.old is not None:
            entries.setdefault(reading.change.old.document_id, ())
        entries[reading.document.id] = _Entries(reading.chunks, journal, settings)
    store.replace(entries)
    for reading in batch:
        change, document, made = reading.change, reading.document, reading.chunks
        outcome.changes.append(change.kind)
        outcome.files.pop(change.moved_from, None)
        outcome.files[change.source] = Entered(
            path=str(change.path.resolve()),
            size=change.stat.st_size,
            mtime_ns=change.stat.st_mtime_ns,
            sha256=document.sha256,
            document_id=document.id,
            num_chunks=len(made),
            language=made[0].language if made else settings.language,
            fingerprint=fingerprint,
        )
    write_catalogue(own, Catalogue(outcome.files))
    journal.clear()


def _remove(sources: Collection[str], store: VectorStore, own: Path, outcome: _Outcome) -> int:
    """Take files that are gone out of the store, then out of the catalogue; return how many."""
    if sources:
        store.replace({outcome.files[source].document_id: [] for source in sources})
        outcome.files = {s: file for s, file in outcome.files.items() if s not in sources}
        write_catalogue(own, Catalogue(outcome.files))
    return len(sources)


def _drop_other_embedders(folder: Path, own: Path) -> None:
    """Delete the index of an earlier embedder now that this one is complete: no removed text may stay behind."""
    for other in folder.iterdir():
        if other.is_dir() and other != own and (other / "catalogue.json").exists():
            shutil.rmtree(other)

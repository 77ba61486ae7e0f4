"""Keep an index equal to the files: read what changed, leave what did not, remove what is gone.

    files -> compare with the catalogue -> read -> split -> embed -> one commit -> catalogue

One embedder's index is one folder, with the store and `catalogue.json`. A batch of documents is announced in the
catalogue, committed to the store, and entered in the catalogue; killed anywhere, the next sync repairs it.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pericia import analyser, chunks, documents, stores
from pericia.catalogue import (
    Catalogue,
    Entered,
    read_catalogue,
    read_roots,
    write_catalogue,
    write_roots,
)
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.errors import InputError, MissingExtraError
from pericia.stores import VectorStore
from pericia.types import Chunk, Document, Entry
from pericia.workspace import lock, sha256_of, sha256_of_file

BATCH_CHUNKS = (
    256  # embedded and committed together: one commit for each document is ten times slower
)
COMMITS_TO_OPTIMIZE = 50
TOKENS_VERSION = 1  # raised when `analyser.tokens` changes, so that stored tokens are made again


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """Progress: of `num_files` files to be read, `done` are."""

    source: str
    done: int
    num_files: int


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
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    fault: str = ""  # of the store's own maintenance; searching goes on

    @property
    def has_changed(self) -> bool:
        return bool(self.added or self.changed or self.moved or self.removed)


@dataclass(frozen=True, slots=True)
class _Work:
    """A file to be indexed; `old` is its entry in the catalogue, or that of the file it was moved from."""

    path: Path
    source: str
    sha256: str
    stat: (
        os.stat_result
    )  # from before it was read: a file that changes meanwhile differs from it at the next sync
    old: Entered | None
    moved_from: str = ""


@dataclass(slots=True)
class _Outcome:
    """What has happened so far."""

    files: dict[str, Entered]
    changes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


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
        work = _changed(files, known.files, fingerprint)
        outcome = _Outcome(dict(known.files))
        batches = _batches(_read(work, settings, embedder, outcome, on_event))
        for number, batch in enumerate(batches, start=1):
            _commit(batch, store, embedder, settings, own, fingerprint, outcome)
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


def _changed(
    files: Sequence[tuple[Path, str]], known: Mapping[str, Entered], fingerprint: str
) -> list[_Work]:
    """Return the files to be read. Size and time are looked at first, then the content."""
    present = {source for _, source in files}
    gone = {e.sha256: source for source, e in known.items() if source not in present}
    work = []
    for path, source in files:
        old = known.get(source)
        stat = path.stat()
        is_current = old is not None and old.fingerprint == fingerprint
        if old and is_current and (old.size, old.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            continue
        digest = sha256_of_file(path)
        if old and is_current and old.sha256 == digest:
            continue
        moved_from = "" if old else gone.pop(digest, "")
        work.append(_Work(path, source, digest, stat, known.get(moved_from) or old, moved_from))
    return work


def _read(
    work: Sequence[_Work],
    settings: RetrievalConfig,
    embedder: Embedder,
    outcome: _Outcome,
    on_event: Callable[[SyncEvent], None] | None,
) -> Iterator[tuple[_Work, Document, list[Chunk]]]:
    """Yield each readable file with its chunks; the others go to `outcome.skipped`."""
    with documents.ReadingRoom() as room:
        for number, item in enumerate(work, start=1):
            if on_event is not None:
                on_event(SyncEvent(item.source, number - 1, len(work)))
            try:
                document = room.read(item.path, item.source, password=settings.pdf_password)
            except (InputError, MissingExtraError) as error:
                kept = (
                    " The version indexed before is kept." if item.source in outcome.files else ""
                )
                outcome.skipped.append((item.source, f"{error.message} {error.hint}{kept}"))
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
            outcome.notes += [(item.source, note) for note in document.skipped]
            yield item, document, made


def _batches(
    readings: Iterator[tuple[_Work, Document, list[Chunk]]],
) -> Iterator[list[tuple[_Work, Document, list[Chunk]]]]:
    batch: list[tuple[_Work, Document, list[Chunk]]] = []
    for reading in readings:
        batch.append(reading)
        if sum(len(made) for _, _, made in batch) >= BATCH_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


def _commit(
    batch: Sequence[tuple[_Work, Document, Sequence[Chunk]]],
    store: VectorStore,
    embedder: Embedder,
    settings: RetrievalConfig,
    own: Path,
    fingerprint: str,
    outcome: _Outcome,
) -> None:
    """Replace the documents of a batch in one commit and enter them in the catalogue."""
    write_catalogue(own, Catalogue(outcome.files, tuple(document.id for _, document, _ in batch)))
    texts = [indexed_text(chunk) for _, _, made in batch for chunk in made]
    vectors = iter(embedder.embed_passages(texts))
    entries: dict[str, list[Entry]] = {}
    for item, document, made in batch:
        if item.old is not None:
            entries.setdefault(item.old.document_id, [])
        entries[document.id] = [
            Entry(chunk, next(vectors), " ".join(lexical_tokens(chunk, settings))) for chunk in made
        ]
    store.replace(entries)
    for item, document, made in batch:
        outcome.changes.append("moved" if item.moved_from else "changed" if item.old else "added")
        outcome.files.pop(item.moved_from, None)
        outcome.files[item.source] = Entered(
            path=str(item.path.resolve()),
            size=item.stat.st_size,
            mtime_ns=item.stat.st_mtime_ns,
            sha256=document.sha256,
            document_id=document.id,
            num_chunks=len(made),
            language=made[0].language if made else settings.language,
            fingerprint=fingerprint,
        )
    write_catalogue(own, Catalogue(outcome.files))


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

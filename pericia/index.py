"""Keep an index equal to the files: read what changed, leave what did not, remove what is gone.

    files -> compare with the catalogue -> read -> split -> embed -> one commit -> catalogue

One embedder's index is one folder, with the store and `catalogue.json`. Small documents share a commit, a large one
has its own; it is embedded piece by piece into a journal on disk and becomes visible whole. The documents of a commit
are announced in the catalogue, stored, and entered in the catalogue; killed anywhere, the next sync repairs it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from pericia import documents, stores
from pericia.access import groups_of, idle_patterns
from pericia.catalogue import (
    Catalogue,
    Entered,
    LeftOut,
    read_catalogue,
    read_left_out,
    read_roots,
    write_catalogue,
    write_left_out,
    write_roots,
    write_whole,
)
from pericia.changes import Change, changed
from pericia.config import RetrievalConfig
from pericia.editions import edition
from pericia.embedders import Embedder, Metered
from pericia.errors import InputError, MissingExtraError
from pericia.old_indexes import drop_other_embedders, move_from_earlier_store
from pericia.said import joined, said
from pericia.staging import Embedding, Reading, SyncEvent, batches, fingerprint, split
from pericia.stores import VectorStore
from pericia.summaries import Summarist, Written
from pericia.tables import TableStore
from pericia.types import Entry
from pericia.vector_journal import VectorJournal
from pericia.workspace import lock

COMMITS_TO_OPTIMIZE = 50
TABLES = "tables.sqlite"


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
    num_tokens_sent: int = 0  # to a remote embedder
    cost_usd: float | None = None  # of these tokens, where the price is known
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
    store: str = ""
    changes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)  # kept versions that other groups could read

    def catalogue(self, announced: tuple[str, ...] = ()) -> Catalogue:
        return Catalogue(self.files, announced, self.store)


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
    embedder_key: str = "",
    on_event: Callable[[SyncEvent], None] | None = None,
    summarist: Summarist | None = None,
) -> SyncReport:
    """Make the index hold exactly the files below `paths` and below the paths of earlier syncs.

    `root` is the folder of the config: sources are named from there, as questions and examples name them. A file
    that cannot be read is skipped with its reason; if an earlier version of it is indexed, that one stays.
    `embedder_key` is what the config calls the embedder: by it the index is opened while a later one's is being made.
    A `summarist` has a model write the summaries, which are extracts without one.

    Raises:
        NotFoundError: a path does not exist.
        InputError: a folder is empty, or not one file can be read; the index is left as it was.
        ConflictError: another process is at work in the folder.
    """
    with lock(folder, "updating the index"):
        remembered = [root for root in read_roots(folder) if root.is_file() or any(root.iterdir())]
        roots = list(dict.fromkeys([*remembered, *(path.absolute() for path in paths)]))
        files = documents.find_files(roots, root=root)
        own = index_folder(folder, embedder.name)
        store = open_store(folder, store_name, embedder)
        notes = move_from_earlier_store(own, store, store_name, embedder, settings)
        known = _repaired(own, store, store_name)
        if summarist is not None and (unable := summarist.unable):
            notes, summarist = [*notes, ("summaries", unable)], None
        by = summarist.name if summarist else ""
        work = changed(files, known.files, lambda source: fingerprint(settings, source, by))
        outcome = _Outcome(dict(known.files), store_name, notes=notes)
        tables = TableStore(own / TABLES)
        tell = on_event or (lambda event: None)
        with VectorJournal(own / "vectors.journal", embedder.num_dimensions) as journal:
            embedding = Embedding(embedder, journal, store, tell)
            readings = _read(work, settings, embedder, outcome, tell, summarist)
            for number, batch in enumerate(batches(readings), start=1):
                embedding.add(batch)
                _commit(batch, store, tables, embedding, settings, own, outcome)
                journal.clear()
                if number % COMMITS_TO_OPTIMIZE == 0 and (fault := store.optimize()):
                    outcome.notes.append(("the index", fault))
        present = {source for _, source in files}
        if files and not present & outcome.files.keys():
            source, reason = outcome.skipped[0]
            write_left_out(own, LeftOut(tuple(outcome.skipped)))
            raise InputError(
                said(
                    "None of the %(num_files)s files can be read; '%(source)s': %(reason)s",
                    num_files=len(files),
                    source=source,
                    reason=reason,
                ),
                hint="Formats that are read: " + ", ".join(sorted(filter(None, documents.READERS))),
            )
        removed = _remove(
            outcome.files.keys() - present | outcome.withdrawn, store, tables, own, outcome
        )
        tables.keep({entered.document_id for entered in outcome.files.values()})
        idle = idle_patterns(settings.access, outcome.files)
        outcome.notes += [
            (f"access '{p}'", said("fits no document; is it misspelt?")) for p in idle
        ]
        write_roots(folder, roots)
        read_now = {change.source for change in work}
        earlier = [
            (s, n) for s, n in read_left_out(own).notes if s in outcome.files.keys() - read_now
        ]
        write_left_out(own, LeftOut(tuple(outcome.skipped), (*earlier, *outcome.notes)))
        changes = outcome.changes
        fault = store.optimize() if changes or removed else ""
        if embedder_key:
            write_whole(own, embedder_key)
        outcome.notes += drop_other_embedders(folder, own)
        return SyncReport(
            added=changes.count("added"),
            changed=changes.count("changed"),
            moved=changes.count("moved"),
            removed=removed,
            unchanged=len(files) - len(work),
            num_documents=len(outcome.files),
            num_chunks=store.count(),
            num_embedded=embedding.num_embedded,
            num_tokens_sent=embedder.num_tokens_sent if isinstance(embedder, Metered) else 0,
            cost_usd=embedder.cost_usd if isinstance(embedder, Metered) else None,
            skipped=tuple(outcome.skipped),
            notes=tuple(outcome.notes),
            fault=fault,
        )


def _repaired(own: Path, store: VectorStore, store_name: str) -> Catalogue:
    """Return the catalogue after removing what a killed sync left; another store, or lost rows, start anew."""
    known = read_catalogue(own)
    if known.store not in ("", store_name):
        known = Catalogue()
    entered = {file.document_id for file in known.files.values()}
    if strays := [key for key in known.announced if key not in entered]:
        store.replace({key: [] for key in strays})
    if store.count() == known.num_chunks:
        return Catalogue(known.files)
    stored = Counter(chunk.document_id for chunk in store.chunks())
    store.replace({key: [] for key in stored.keys() - entered})
    whole = {s: f for s, f in known.files.items() if stored[f.document_id] == f.num_chunks}
    return Catalogue(whole)


def _read(
    work: Sequence[Change],
    settings: RetrievalConfig,
    embedder: Embedder,
    outcome: _Outcome,
    tell: Callable[[SyncEvent], None],
    summarist: Summarist | None,
) -> Iterator[Reading]:
    """Yield each readable file with its chunks; the others go to `outcome.skipped`."""
    with documents.ReadingRoom() as room:
        for number, change in enumerate(work):
            tell(SyncEvent("read", change.source, number, len(work)))
            groups = groups_of(change.source, settings.access)
            try:
                document = room.read(change.path, change.source, password=settings.pdf_password)
                document = replace(document, groups=groups)
            except (InputError, MissingExtraError) as error:
                kept = ""
                if old := outcome.files.get(change.source):
                    kept = said("The version indexed before is kept.")
                    if old.groups != groups:
                        outcome.withdrawn.add(change.source)
                        kept = said(
                            "The version indexed before is withdrawn: who may read it has changed."
                        )
                outcome.skipped.append((change.source, joined([error.message, error.hint, kept])))
                continue
            outcome.notes += [(change.source, note) for note in document.skipped]
            written = summarist.write(document) if summarist else Written()
            outcome.notes += [(change.source, written.note)] if written.note else []
            made = split(document, embedder, settings, written.text)
            yield Reading(change, document, made, written.by)
    if work:
        tell(SyncEvent("read", "", len(work), len(work)))


def _commit(
    batch: Sequence[Reading],
    store: VectorStore,
    tables: TableStore,
    embedding: Embedding,
    settings: RetrievalConfig,
    own: Path,
    outcome: _Outcome,
) -> None:
    """Replace the documents of a batch in one commit and enter them in the catalogue."""
    announced = tuple(reading.document.id for reading in batch)
    write_catalogue(own, outcome.catalogue(announced))
    tables.replace(
        (reading.document for reading in batch),
        gone=[reading.change.old.document_id for reading in batch if reading.change.old],
    )
    entries: dict[str, Iterable[Entry]] = {}
    for reading in batch:
        if reading.change.old is not None:
            entries.setdefault(reading.change.old.document_id, ())
        entries[reading.document.id] = embedding.entries(reading, settings)
    store.replace(entries)
    for reading in batch:
        change, document, made = reading.change, reading.document, reading.chunks
        opening = " ".join([*made[0].headings, made[0].text]) if made else ""
        stated = edition(change.source, opening, change.stat.st_mtime_ns)
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
            fingerprint=fingerprint(settings, change.source, reading.summary_by),
            groups=document.groups,
            version=stated.version or (),
            dated=stated.dated.isoformat() if stated.dated else "",
            num_pages=max((block.place.page or 0 for block in document.blocks), default=0),
            num_rows=sum(len(table.cells) for table in document.tables),
        )
    write_catalogue(own, outcome.catalogue())


def _remove(
    sources: Collection[str],
    store: VectorStore,
    tables: TableStore,
    own: Path,
    outcome: _Outcome,
) -> int:
    """Take files that are gone out of the stores, then out of the catalogue; return how many."""
    if sources:
        ids = [outcome.files[source].document_id for source in sources]
        tables.replace([], gone=ids)
        store.replace({key: [] for key in ids})
        outcome.files = {s: file for s, file in outcome.files.items() if s not in sources}
        write_catalogue(own, outcome.catalogue())
    return len(sources)

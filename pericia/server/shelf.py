"""The documents of a workspace file by file: what lies in its folders, what of it is read, and what was left out and why."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from pericia import documents, index, snapshots
from pericia.catalogue import Catalogue, LeftOut, read_catalogue, read_left_out, read_roots
from pericia.config import Config
from pericia.embedders import Embedder
from pericia.errors import NotFoundError
from pericia.said import said
from pericia.server.citing import file_id
from pericia.summaries import summarist
from pericia.types import Document
from pericia.workspace import Workspace

State = Literal["read", "partly", "skipped", "changed", "waiting", "gone"]
KIND = "documents"
UPLOADS = "documents"  # the folder that takes uploads where the config names none
_PIECE = 1 << 20
_NAME_BYTES = 255


class Tell(Protocol):
    def __call__(self, stage: str, message: str = "", done: int = 0, total: int = 0) -> None: ...


@dataclass(frozen=True, slots=True)
class Shelved:
    """One file. `skipped`: not read, `reasons` say why; `partly`: read but for what `reasons` name; `waiting`: new."""

    id: str
    source: str
    path: Path
    state: State
    num_bytes: int = 0
    modified_at: float = 0.0
    num_passages: int = 0
    num_pages: int = 0  # where it has pages
    num_rows: int = 0  # of its tables
    same_as: str = ""  # the source of another file with the same content, which comes before it
    language: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower().lstrip(".")


def upload_folder(workspace: Workspace, config: Config) -> Path:
    """Return where uploads go: the first folder of the config, else `documents` beside it."""
    folders = [workspace.resolve(path) for path in config.documents]
    return next((path for path in folders if path.is_dir()), workspace.resolve(UPLOADS))


def find_files(workspace: Workspace, config: Config) -> list[tuple[Path, str]]:
    """Return every file of the workspace's folders with its source; a folder that is gone or empty has none."""
    return documents.find_files(_roots(workspace, config), root=workspace.root)


def catalogue_of(workspace: Workspace) -> Catalogue:
    """Return what the index holds; no model is loaded."""
    found = [read_catalogue(path.parent) for path in workspace.index.glob("*/catalogue.json")]
    return max(found, key=lambda catalogue: len(catalogue.files), default=Catalogue())


def list_files(workspace: Workspace, config: Config) -> list[Shelved]:
    """Return all files by source, those too that are indexed and gone."""
    entered = catalogue_of(workspace).files
    found = find_files(workspace, config)
    shelf = _Shelf.of(workspace)
    shelved = [shelf.place(path, source) for path, source in found]
    present = {source for _, source in found}
    shelved += [
        Shelved(file_id(source), source, Path(old.path), "gone", num_passages=old.num_chunks)
        for source, old in entered.items()
        if source not in present
    ]
    shelved.sort(key=lambda one: one.source)
    first: dict[str, str] = {}  # source of the first file of each content
    for one in shelved:
        if one.state in ("read", "partly"):
            first.setdefault(entered[one.source].sha256, one.source)
    same_as = {source: first.get(old.sha256, source) for source, old in entered.items()}
    return [
        replace(one, same_as=same_as[one.source])
        if one.state in ("read", "partly") and same_as[one.source] != one.source
        else one
        for one in shelved
    ]


def num_waiting(workspace: Workspace, config: Config) -> int:
    """Return how many files are not read as they are now and could be; those that were refused do not wait."""
    states = [one.state for one in list_files(workspace, config)]
    return sum(state in ("waiting", "changed", "gone") for state in states)


def find(workspace: Workspace, config: Config, wanted: str) -> Shelved:
    """Return the file of an id or of a source.

    Raises:
        NotFoundError: there is no such file in the workspace's folders.
    """
    for path, source in find_files(workspace, config):
        if wanted in (source, file_id(source)):
            return _Shelf.of(workspace).place(path, source)
    raise NotFoundError(
        said("There is no document '%(name)s'.", name=wanted),
        hint=said("It may have been moved or removed."),
    )


def read_all(
    workspace: Workspace, config: Config, embedder: Embedder, tell: Tell
) -> dict[str, Any]:
    """Return what was read and left out; files that come in meanwhile are read too."""
    unread = dict(snapshots.refresh(config.tables, workspace.tables, root=workspace.root))
    skipped: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    counts = dict.fromkeys(("added", "changed", "moved", "removed"), 0)
    while True:
        seen = _states(find_files(workspace, config))
        report = index.sync(
            _roots(workspace, config),
            folder=workspace.index,
            store_name=config.store,
            embedder=embedder,
            settings=config.retrieval,
            root=workspace.root,
            embedder_key=config.embedder,
            on_event=lambda event: tell(event.stage, event.message, event.done, event.total),
            summarist=summarist(config.retrieval.summaries, config.model, config.serve.upstream),
        )
        skipped = {**unread, **dict(report.skipped)}
        for source, note in report.notes:
            notes.setdefault(source, []).append(note)
        counts = {name: counts[name] + getattr(report, name) for name in counts}
        if _states(find_files(workspace, config)) == seen:
            break
    made = {"documents": report.num_documents, "passages": report.num_chunks}
    return {**counts, **made, "skipped": skipped, "notes": notes, "fault": report.fault}


def read_document(path: Path, source: str, password: str) -> Document:
    """Return a file as it was understood; the last few are kept. Raises as `documents.read`."""
    stat = path.stat()
    return _read_once(path, source, password, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _read_once(path: Path, source: str, password: str, _mtime_ns: int, _size: int) -> Document:
    return documents.read(path, source, password=password)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What the index holds, and what the last sync left out, whether the page or a command ran it."""

    catalogue: Catalogue
    left_out: LeftOut
    synced_at: float

    @classmethod
    def of(cls, workspace: Workspace) -> "_Shelf":
        notes = list(workspace.index.glob("*/left_out.json"))
        if not notes:
            return cls(catalogue_of(workspace), LeftOut(), 0.0)
        newest = max(notes, key=lambda path: path.stat().st_mtime)
        left_out = read_left_out(newest.parent)
        return cls(catalogue_of(workspace), left_out, newest.stat().st_mtime)

    def place(self, path: Path, source: str) -> Shelved:
        stat, old = path.stat(), self.catalogue.files.get(source)
        state: State = "waiting"
        if old is not None:
            is_same = (old.size, old.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
            state = "read" if is_same else "changed"
        skipped, notes = self._said(source, stat.st_mtime)
        if skipped:
            state = "skipped"
        elif notes and state == "read":
            state = "partly"
        return Shelved(
            id=file_id(source),
            source=source,
            path=path,
            state=state,
            num_bytes=stat.st_size,
            modified_at=stat.st_mtime,
            num_passages=old.num_chunks if old else 0,
            num_pages=old.num_pages if old else 0,
            num_rows=old.num_rows if old else 0,
            language=old.language if old else "",
            reasons=skipped or notes,
        )

    def _said(self, source: str, modified_at: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return why a file was skipped, and what of it was; nothing once it has changed."""
        if modified_at > self.synced_at:
            return (), ()
        return (
            tuple(why for name, why in self.left_out.skipped if name == source),
            tuple(why for name, why in self.left_out.notes if name == source),
        )


def _roots(workspace: Workspace, config: Config) -> list[Path]:
    """Return the files and folders that hold documents: those ever added, the config's, its tables', the uploads'."""
    chosen = [*read_roots(workspace.index), *(workspace.resolve(p) for p in config.documents)]
    chosen += [workspace.tables, upload_folder(workspace, config)]
    return [path for path in dict.fromkeys(chosen) if path.is_file() or _holds_files(path)]


def _states(files: Sequence[tuple[Path, str]]) -> set[tuple[str, int, int]]:
    stats = ((source, path.stat()) for path, source in files)
    return {(source, stat.st_size, stat.st_mtime_ns) for source, stat in stats}


def _holds_files(folder: Path) -> bool:
    """Return whether `documents.find_files` would find a file below a folder."""
    if not folder.is_dir():
        return False
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(not name.startswith(".") for name in files):
            return True
    return False

"""The documents of a workspace file by file: what lies in its folders, what of it is read, and what was left out and why.

A file comes in whole or not at all, and one that is taken away is kept until it is put back or its name is used again.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, Protocol

from pericia import documents, index, snapshots
from pericia.catalogue import Catalogue, LeftOut, read_catalogue, read_left_out, read_roots
from pericia.config import Config
from pericia.embedders import Embedder
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.said import said
from pericia.server.citing import file_id
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


def put(workspace: Workspace, config: Config, name: str, content: BinaryIO) -> str:
    """Return the source of a file that is now in the upload folder; an older one of the same name is replaced.

    Raises:
        InputError: the name leads elsewhere, or no reader takes its format.
    """
    folder = upload_folder(workspace, config)
    target = folder.joinpath(*_checked_parts(name))
    documents.load(target)
    if target.is_dir() or any(above.is_file() for above in target.parents if above != folder):
        raise InputError(
            said("'%(name)s': a folder and a file would have the same name.", name=name)
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".upload.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            while piece := content.read(_PIECE):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return _source(workspace, target)


def take_away(workspace: Workspace, config: Config, wanted: str) -> str:
    """Return the source of a file that is now out of the folders; `put_back` undoes it.

    Raises:
        NotFoundError: there is no such file. ConflictError: it lies outside of the workspace, where nothing is touched.
    """
    one = find(workspace, config, wanted)
    if not one.path.resolve().is_relative_to(workspace.root.resolve()):
        raise ConflictError(
            said(
                "'%(name)s' lies outside of this project's folder and is not touched.",
                name=one.source,
            ),
            hint=said("Remove it there: %(path)s", path=one.path),
        )
    kept = _removed(workspace, one.source)
    kept.parent.mkdir(parents=True, exist_ok=True)
    one.path.replace(kept)
    return one.source


def put_back(workspace: Workspace, source: str) -> None:
    """Put a file that was taken away where it was.

    Raises:
        NotFoundError: it is not kept. ConflictError: another file has its name now.
    """
    target = workspace.root.joinpath(*_checked_parts(source))
    kept = _removed(workspace, source)
    if not kept.is_file():
        raise NotFoundError(
            said("'%(name)s' is not kept any more.", name=source), hint=said("Add the file again.")
        )
    if target.exists():
        raise ConflictError(
            said("Another file is called '%(name)s' now.", name=source),
            hint=said("Remove it first."),
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    kept.replace(target)


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


def _checked_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a relative path.

    Raises:
        InputError: it is absolute, leads out of its folder, is hidden, or no file system takes it.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    fault = ""
    if not parts or name.endswith("/"):
        fault = said("'%(name)s' has no name.", name=name)
    elif parts[0] == "/" or ".." in parts or ":" in parts[0]:
        fault = said("'%(name)s' leads out of the documents' folder.", name=name)
    elif any(part.startswith(".") for part in parts):
        fault = said("'%(name)s' is hidden: its name begins with a dot.", name=name)
    elif any("\0" in part or len(part.encode()) > _NAME_BYTES for part in parts):
        fault = said("'%(name)s' has a name that no file can have.", name=name)
    if fault:
        raise InputError(fault, hint=said("Rename the file."), param="file")
    return parts


def _source(workspace: Workspace, path: Path) -> str:
    above = workspace.root if path.is_relative_to(workspace.root) else path.parent.parent
    return path.relative_to(above).as_posix()


def _removed(workspace: Workspace, source: str) -> Path:
    return workspace.state / "removed" / source

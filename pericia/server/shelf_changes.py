"""Documents come into the folders of a workspace, go out of them and come back.

A file comes in whole or not at all, and one that is taken away is kept until it is put back or its name is used again.
"""

import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pericia import documents
from pericia.config import Config
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.said import said
from pericia.server.shelf import find, upload_folder
from pericia.workspace import Workspace

_PIECE = 1 << 20
_NAME_BYTES = 255


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

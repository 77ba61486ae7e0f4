"""Readers: a file becomes a Document, whose blocks know their page, line or cell.

To add a format, write `documents/<format>.py` with a `read` function and name its suffixes in `READERS`.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pericia.draft import Limits
from pericia.errors import InputError, NotFoundError, PericiaError
from pericia.isolate import Worker, WorkerDiedError, WorkerTimeoutError
from pericia.lookup import load_object
from pericia.said import Figure, said
from pericia.sniff import sniff
from pericia.types import Document


class Reader(Protocol):
    def __call__(self, path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
        """Return the file as a Document; `source` is the name that citations will show.

        Blocks are in reading order, do not overlap, and `text[start:end]` of each is not blank. What could not be
        read (a scanned page, an attachment) is named in `skipped`.

        Raises:
            InputError: nothing can be read from the file; the message says why, the hint what to do.
        """
        ...


READERS: dict[str, str] = {
    **dict.fromkeys((".txt", ".text", ".log", ""), "pericia.documents.text:read"),
    **dict.fromkeys((".md", ".markdown"), "pericia.documents.text:read_markdown"),
    ".rst": "pericia.documents.text:read_rst",
    **dict.fromkeys((".html", ".htm", ".xhtml"), "pericia.documents.web:read"),
    ".epub": "pericia.documents.web:read_epub",
    ".pdf": "pericia.documents.pdf:read",
    ".docx": "pericia.documents.office:read_docx",
    ".pptx": "pericia.documents.office:read_pptx",
    **dict.fromkeys((".csv", ".tsv"), "pericia.documents.spreadsheet:read_csv"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), "pericia.documents.spreadsheet:read"),
    ".parquet": "pericia.documents.parquet:read",
    ".json": "pericia.documents.structured:read_json",
    **dict.fromkeys((".jsonl", ".ndjson"), "pericia.documents.structured:read_jsonl"),
    ".xml": "pericia.documents.structured:read_xml",
    ".eml": "pericia.documents.mail:read",
    ".mbox": "pericia.documents.mail:read_mbox",
    ".msg": "pericia.documents.mail:read_msg",
}

# Formats that people have and that are not read here, with the mend.
UNREADABLE = {
    ".doc": "Save it as .docx.",
    ".ppt": "Save it as .pptx.",
    ".rtf": "Save it as .docx.",
    ".xlsb": "Save it as .xlsx.",
    ".zip": "Unpack the archive and add the folder.",
    **dict.fromkeys(
        (".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".bmp", ".webp"),
        "Run it through OCR and add the resulting PDF or text.",
    ),
}


def load(path: Path, suffix: str | None = None) -> Reader:
    """Return the reader for a file, chosen by its suffix or by the one given.

    Raises:
        InputError: no reader takes this format.
    """
    suffix = path.suffix.lower() if suffix is None else suffix
    if suffix in UNREADABLE:
        raise InputError(
            said("'%(name)s': the format %(format)s is not read.", name=path.name, format=suffix),
            hint=UNREADABLE[suffix],
        )
    if suffix not in READERS:
        raise InputError(
            said("'%(name)s' has no known format.", name=path.name),
            hint=said("Known: %(formats)s.", formats=", ".join(sorted(filter(None, READERS)))),
        )
    reader: Reader = load_object(READERS, suffix, "format")
    return reader


def find_files(paths: Sequence[Path], *, root: Path | None = None) -> list[tuple[Path, str]]:
    """Return every file below the paths with its source name, sorted by it; hidden files and folders are left out.

    The source is the path relative to `root`, the folder of the config, where the file lies below it; else it begins
    with the name of the folder that was named. Where two would be alike, both are their whole path as named.

    Raises:
        NotFoundError: a path does not exist.
        InputError: there is no file below a folder.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for path in paths:
        if not path.exists():
            raise NotFoundError(
                f"'{path}' does not exist.", hint="Name a file or a folder of documents."
            )
        files = list(_walk(path)) if path.is_dir() else [path]
        if not files:
            raise InputError(
                f"The folder '{path}' holds no files.",
                hint="Put documents into it, or name another.",
            )
        for file in files:
            absolute = file.absolute()
            above = path.absolute().parent
            if root is not None and absolute.is_relative_to(root.absolute()):
                above = root.absolute()
            found.setdefault(file.resolve(), (file, absolute.relative_to(above).as_posix()))
    times = Counter(source for _, source in found.values())
    named = [(f, s if times[s] == 1 else f.as_posix()) for f, s in found.values()]
    return sorted(named, key=lambda pair: pair[1])


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


class ReadingRoom:
    """Reads files one after another in a process of its own, so that a broken file takes nothing else along."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._worker = Worker(self.limits.memory_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._worker.close()

    def read(self, path: Path, source: str, *, password: str = "") -> Document:
        """Return the document in a file. See `read_here`.

        Raises:
            InputError: it cannot be read, or not within the limits.
        """
        try:
            document: Document = self._worker.call(
                read_here, path, source, password, self.limits, timeout_s=self.limits.time_s
            )
        except WorkerTimeoutError as error:
            raise InputError(
                said(
                    "'%(name)s' was not read within %(n)s s.",
                    name=path.name,
                    n=f"{self.limits.time_s:g}",
                ),
                hint=said("Split the file, or save it again in a simpler form."),
            ) from error
        except WorkerDiedError as error:
            raise InputError(
                said(
                    "'%(name)s' could not be read: it needs more than %(n)s bytes of memory, or breaks its parser.",
                    name=path.name,
                    n=Figure(self.limits.memory_bytes),
                ),
                hint=said("Split the file, or save it again in a simpler form."),
            ) from error
        except InputError:
            raise
        except PericiaError as error:
            if type(error) is not PericiaError:
                raise
            raise InputError(
                said("'%(name)s' is damaged: %(why)s", name=path.name, why=error.message),
                hint=said("Open it in the program that made it and save it again."),
            ) from error
        return document


def read(path: Path, source: str, *, password: str = "", limits: Limits | None = None) -> Document:
    """Return the document in one file, read in a process of its own; for many files use `ReadingRoom`."""
    with ReadingRoom(limits) as room:
        return room.read(path, source, password=password)


def read_here(path: Path, source: str, password: str, limits: Limits) -> Document:
    """Return the document in a file, read in this process by the reader that fits its content.

    A content that differs from the suffix is read as what it is, and `skipped` says so.
    """
    if not path.is_file():
        raise NotFoundError(f"'{path}' is not a file.", hint="Name an existing file.")
    suffix = sniff(path, limits)
    document = load(path, suffix)(path, source, password=password, limits=limits)
    if suffix != path.suffix.lower() and path.suffix:
        note = said(
            "the suffix %(suffix)s: the content is %(content)s and was read as such",
            suffix=path.suffix,
            content=suffix,
        )
        document = replace(document, skipped=(*document.skipped, note))
    return document

"""Readers: a file becomes a Document, whose blocks know their page, line or cell.

To add a format, write `documents/<format>.py` with a `read` function and name its suffixes in `READERS`.
"""

from pathlib import Path
from typing import Protocol

from pericia.errors import InputError
from pericia.lookup import load_object
from pericia.types import Document


class Reader(Protocol):
    def __call__(self, path: Path, source: str, *, password: str = "") -> Document:
        """Return the file as a Document; `source` is the name that citations will show.

        Blocks are in reading order, do not overlap, and `text[start:end]` of each is not blank. What could not be
        read (a scanned page, an attachment) is named in `skipped`.

        Raises:
            InputError: nothing can be read from the file; the message says why, the hint what to do.
        """
        ...


READERS: dict[str, str] = {}


def load(path: Path) -> Reader:
    """Return the reader for a file, chosen by its suffix."""
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise InputError(
            f"'{path.name}' has no known format.", hint=f"Known: {', '.join(sorted(READERS))}."
        )
    reader: Reader = load_object(READERS, suffix, "format")
    return reader

"""Files against the catalogue: which of them must be read, and which were only moved."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pericia.catalogue import Entered
from pericia.workspace import sha256_of_file


@dataclass(frozen=True, slots=True)
class Change:
    """A file to be indexed; `old` is its entry in the catalogue, or that of the file it was moved from.

    `stat` is from before it was read: a file that changes meanwhile differs from it at the next sync.
    """

    path: Path
    source: str
    sha256: str
    stat: os.stat_result
    old: Entered | None
    moved_from: str = ""

    @property
    def kind(self) -> str:
        return "moved" if self.moved_from else "changed" if self.old else "added"


def changed(
    files: Sequence[tuple[Path, str]],
    known: Mapping[str, Entered],
    fingerprint: Callable[[str], str],
) -> list[Change]:
    """Return the files to be read, in their order. Size and time are looked at first, then the content.

    A file that was indexed under another fingerprint than its source has now counts as changed.
    """
    present = {source for _, source in files}
    gone = {e.sha256: source for source, e in known.items() if source not in present}
    found = []
    for path, source in files:
        old = known.get(source)
        stat = path.stat()
        is_current = old is not None and old.fingerprint == fingerprint(source)
        if old and is_current and (old.size, old.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            continue
        digest = sha256_of_file(path)
        if old and is_current and old.sha256 == digest:
            continue
        moved_from = "" if old else gone.pop(digest, "")
        found.append(Change(path, source, digest, stat, known.get(moved_from) or old, moved_from))
    return found

"""What an index holds, file by file: `catalogue.json` beside the store, replaced in one step."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pericia.errors import ConflictError
from pericia.said import packed, unpacked
from pericia.workspace import write_json


@dataclass(frozen=True, slots=True)
class Entered:
    """One indexed file: where it was, what it was, and the document that stands for it in the store."""

    path: str
    size: int
    mtime_ns: int
    sha256: str
    document_id: str
    num_chunks: int
    language: str
    fingerprint: str  # of the settings that it was indexed with
    groups: tuple[str, ...] = ()  # who may read it; none means everybody
    version: tuple[int, ...] = ()  # as its name or its first lines say
    dated: str = ""  # likewise, in ISO form
    num_pages: int = 0  # 0 too where it was indexed before this was counted
    num_rows: int = 0  # of its tables


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The indexed files by source name; `announced` are documents that a killed sync may have left in the store.

    `store` is the one that holds them, "" where the catalogue is older than this field.
    """

    files: Mapping[str, Entered] = field(default_factory=dict)
    announced: tuple[str, ...] = ()
    store: str = ""

    @property
    def num_chunks(self) -> int:
        return sum(entered.num_chunks for entered in self.files.values())

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the indexed documents, most frequent first."""
        found = [entered.language for entered in self.files.values()]
        return tuple(sorted(set(found), key=lambda language: (-found.count(language), language)))


def read_catalogue(folder: Path) -> Catalogue:
    """Return the catalogue of an index folder, an empty one where there is none yet.

    Raises:
        ConflictError: the file is damaged.
    """
    path = folder / "catalogue.json"
    if not path.exists():
        return Catalogue()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        files = {
            source: Entered(
                **entered | {name: tuple(entered.get(name, ())) for name in ("groups", "version")}
            )
            for source, entered in stored["files"].items()
        }
        return Catalogue(files, tuple(stored["announced"]), stored.get("store", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise ConflictError(
            f"'{path}' is damaged: {error}.", hint=f"Delete '{folder}' and run: pericia add"
        ) from error


def write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    """Replace the catalogue in one step."""
    write_json(folder / "catalogue.json", asdict(catalogue))


def write_whole(folder: Path, embedder: str) -> None:
    """Remember that an index folder holds everything, and which embedder of the config its vectors are by."""
    write_json(folder / "whole.json", {"embedder": embedder})


def read_whole(folder: Path) -> str | None:
    """Return the embedder of an index folder that was once complete; None while it is made for the first time."""
    path = folder / "whole.json"
    if not path.exists():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["embedder"])


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What an index lacks: whole files in `skipped`, parts of files in `notes`, each with its reason."""

    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def read_left_out(folder: Path) -> LeftOut:
    """Return what the last sync left out of an index folder; nothing where there was none yet."""
    path = folder / "left_out.json"
    if not path.exists():
        return LeftOut()
    stored = json.loads(path.read_text(encoding="utf-8"))
    return LeftOut(
        *(tuple((source, unpacked(why)) for source, why in stored[n]) for n in ("skipped", "notes"))
    )


def write_left_out(folder: Path, left_out: LeftOut) -> None:
    """Keep what a sync left out, in one step."""
    kept = {
        name: [(source, packed(why)) for source, why in pairs]
        for name, pairs in (("skipped", left_out.skipped), ("notes", left_out.notes))
    }
    write_json(folder / "left_out.json", kept)


def read_roots(folder: Path) -> list[Path]:
    """Return the files and folders that were ever added and still exist."""
    path = folder / "roots.json"
    if not path.exists():
        return []
    return [
        root for root in map(Path, json.loads(path.read_text(encoding="utf-8"))) if root.exists()
    ]


def write_roots(folder: Path, roots: list[Path]) -> None:
    """Remember what was added, in order."""
    write_json(folder / "roots.json", [str(root) for root in roots])

"""Where examples come from: files, folders and a hub's data sets become rows, each with its file and line.

Read are JSON Lines, JSON lists, CSV and TSV, Parquet, InstructLab's qna.yaml and plain text. A row that cannot be read
comes as a `BadRow` in its place: it is reported with the others, and nothing after it is lost.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pericia.errors import InputError
from pericia.row_formats import FORMATS, json_lines, read_text
from pericia.row_formats import BadRow as BadRow
from pericia.said import said

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".yaml", ".yml", ".txt")
_TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_TRAIN_NAMES = ("train",)
_VALIDATION_NAMES = ("validation", "valid", "val", "dev")
_HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as it was read. `line` is where it begins in `file`, in Parquet and on a hub its number; both from 1."""

    file: str
    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class Splits:
    """What to train on, what to validate on if the folder says so, and the files that are neither."""

    train: str
    validation: str | None = None
    ignored: tuple[str, ...] = ()


def find_splits(source: str) -> Splits:
    """Return the splits of a folder that names them (`train.jsonl`, `validation.csv` …); else the source is one.

    Raises:
        InputError: a split is there twice.
    """
    folder = Path(source)
    if not folder.is_dir():
        return Splits(source)
    by_name: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() in SUFFIXES:
            by_name.setdefault(re.split(r"[-.]", path.name.lower())[0], []).append(path)
    train, validation = (
        [path for name in names for path in by_name.get(name, ())]
        for names in (_TRAIN_NAMES, _VALIDATION_NAMES)
    )
    if not train:
        return Splits(source)
    for found in (train, validation):
        if len(found) > 1:
            raise InputError(
                said(
                    "'%(folder)s' has more than one split of a kind: %(found)s.",
                    folder=folder,
                    found=", ".join(p.name for p in found),
                ),
                hint=said(
                    "Leave one file for training and one for validation, or give the file itself."
                ),
            )
    others = [p.name for paths in by_name.values() for p in paths if p not in (*train, *validation)]
    return Splits(str(train[0]), str(validation[0]) if validation else None, tuple(others))


def read_rows(source: str) -> Iterator[SourceRow]:
    """Yield the rows of a file, of all files of a folder in the order of their paths, or of a hub's data set.

    A hub's data set is `owner/name`, `owner/name:split` or `owner/name:config:split`; the split is `train` if not said.

    Raises:
        InputError: there is nothing of this name, or a file as a whole cannot be read.
    """
    path = Path(source)
    if path.is_dir():
        files = _files_of(path)
        if not files:
            hint = said("Files end in %(suffixes)s.", suffixes=", ".join(SUFFIXES))
            raise InputError(
                said("The folder '%(path)s' holds no file of examples.", path=path), hint=hint
            )
        for file in files:
            yield from _read_file(file, str(file.relative_to(path)))
    elif is_hub_name(source) and not path.exists():
        yield from _read_hub(source)
    else:
        yield from _read_file(path, "")


def _files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that hold examples: notes and settings lie beside them."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    data = [p for p in files if p.name == "qna.yaml" or p.suffix.lower() in _TABLES]
    return data or [p for p in files if p.suffix.lower() == ".txt"]


def is_hub_name(source: str) -> bool:
    """Return whether a source can only be a hub's data set or a path, and has no suffix of a file.

    Example:
        >>> is_hub_name("HuggingFaceH4/no_robots:train"), is_hub_name("data/train.jsonl")
        (True, False)
    """
    name = source.partition(":")[0]
    return bool(_HUB_NAME.match(name)) and not name.lower().endswith(SUFFIXES)


def _read_file(path: Path, name: str) -> Iterator[SourceRow]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        numbered: Iterator[tuple[int, Any]] = _parquet(path)
    else:
        numbered = FORMATS.get(suffix, json_lines)(read_text(path), path)
    for line, value in numbered:
        yield SourceRow(name, line, value)


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except FileNotFoundError as error:
        raise InputError(
            said("There is no file '%(path)s'.", path=path), hint=said("Mend the path.")
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            said("'%(path)s' is no Parquet that can be read: %(error)s.", path=path, error=error),
            hint=said("Export it again."),
        ) from error


def _read_hub(name: str) -> Iterator[SourceRow]:
    from datasets import load_dataset

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of each retry
    repository, *rest = name.split(":")
    split = rest[-1] if rest else "train"
    try:
        found = load_dataset(repository, rest[0] if len(rest) > 1 else None, split=split)
    except Exception as error:  # whatever the transport of the hub's client raises
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            said(
                "There is no file or folder '%(name)s', and the hub gave no data set: %(reason)s",
                name=name,
                reason=reason,
            ),
            hint=said(
                "Mend the path; or the name, which is owner/name:split. Without a network take a file."
            ),
        ) from error
    for number, row in enumerate(found, start=1):
        yield SourceRow("", number, row)

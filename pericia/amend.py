"""A file of examples changed by a person: rows changed, added, taken out, brought in from another file, undone.

    row  -> changed, added, taken out; each file before a change is kept   change, add, remove, undo
    file of another shape -> rows of this one, faults left out and named   bring_in

A change names the file that it was made on by its hash, so two tabs cannot overwrite each other unseen.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.examples import as_chat, read_examples
from pericia.recast import Columns
from pericia.rows import read_rows
from pericia.said import said
from pericia.types import Example, Finding
from pericia.workspace import lock, sha256_of_file, write_atomic

_EMPTY = "0" * 64
KEPT_VERSIONS = 50


@dataclass(frozen=True, slots=True)
class BroughtIn:
    """What an import did, or would do: examples that are sound, findings of the others with their lines."""

    num_added: int
    findings: tuple[Finding, ...]
    first: tuple[Example, ...] = ()


def change(
    path: Path, versions: Path, sha256: str, line: int, question: str, answer: str, source: str
) -> None:
    """Replace question, answer and source of the row in a line; earlier turns and other keys stay.

    Raises:
        InputError: a text is empty; `param` names it. NotFoundError: no such row. ConflictError: see `_edited`.
    """
    _check(question, answer)

    def edit(lines: list[str]) -> list[str]:
        lines[_at(lines, line)] = _written(lines[line - 1], question, answer, source)
        return lines

    _edited(path, versions, sha256, edit)


def add(
    path: Path, versions: Path, sha256: str | None, question: str, answer: str, source: str
) -> int:
    """Append a row and return its line. `sha256` None: whatever the file is now. Raises as `change`."""
    _check(question, answer)
    made: list[int] = []

    def edit(lines: list[str]) -> list[str]:
        made.append(len(lines) + 1)
        return [*lines, _written("", question, answer, source)]

    _edited(path, versions, sha256, edit)
    return made[0]


def remove(path: Path, versions: Path, sha256: str, line: int) -> None:
    """Take the row in a line out. Raises as `change`."""

    def edit(lines: list[str]) -> list[str]:
        at = _at(lines, line)
        return lines[:at] + lines[at + 1 :]

    _edited(path, versions, sha256, edit)


def undo(path: Path, versions: Path) -> None:
    """Put back the file as it was before the last change.

    Raises:
        NotFoundError: nothing has been changed here.
    """
    with lock(versions, "editing the examples"):
        kept = sorted(versions.glob("*.jsonl"))
        if not kept:
            raise NotFoundError(said("There is nothing to undo."))
        write_atomic(path, kept[-1].read_bytes())
        kept[-1].unlink()


def bring_in(
    upload: Path,
    path: Path,
    versions: Path,
    *,
    columns: Columns | None = None,
    replace: bool = False,
    dry: bool = False,
) -> BroughtIn:
    """Write the sound examples of any readable file into this one, behind its own or in their place.

    `dry` only says what would happen. Lines in findings are those of `upload`.

    Raises:
        InputError: the upload as a whole cannot be read, or holds no sound example.
    """
    examples, findings = read_examples(upload, columns)
    if not dry and not examples:
        fault = findings[0]
        text = said(
            "No row can be used; line %(line)s: %(message)s", line=fault.line, message=fault.message
        )
        raise InputError(text, hint=fault.hint, param="file")
    if not dry:
        written = [_row_of(example) for example in examples]
        _edited(path, versions, None, lambda lines: written if replace else [*lines, *written])
    return BroughtIn(len(examples), findings, examples[:5])


def columns_of(upload: Path) -> tuple[str, ...]:
    """Return the names of the first row's columns, which a mapping can use."""
    first = next((row.value for row in read_rows(str(upload))), None)
    return tuple(map(str, first)) if isinstance(first, dict) else ()


def state_of(path: Path) -> str:
    """Return the hash of the file as it is; of one that is not there, zeros."""
    return sha256_of_file(path) if path.exists() else _EMPTY


def _edited(
    path: Path, versions: Path, sha256: str | None, edit: Callable[[list[str]], list[str]]
) -> None:
    """Write the file with its lines edited and keep the one before.

    Raises:
        InputError: the file is no JSONL. ConflictError: it is no longer the one of `sha256`.
    """
    if path.suffix != ".jsonl":
        text = said(
            "'%(name)s' is edited where it comes from: only JSONL is edited here.", name=path.name
        )
        raise InputError(text, hint=said("Import it into examples.jsonl."), param="examples")
    with lock(versions, "editing the examples"):
        if sha256 is not None and sha256 != state_of(path):
            text = said("'%(file)s' has changed since it was shown.", file=path.name)
            hint = said("Reload the page; what was typed stays in the field.")
            raise ConflictError(text, hint=hint)
        before = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        lines = before.split("\n")
        while lines and not lines[-1].strip():
            lines.pop()
        kept = sorted(versions.glob("*.jsonl"))
        number = int(kept[-1].stem) + 1 if kept else 1
        write_atomic(versions / f"{number:08}.jsonl", before)
        for old in kept[: max(0, len(kept) + 1 - KEPT_VERSIONS)]:
            old.unlink()
        write_atomic(path, "".join(f"{line}\n" for line in edit(lines)))


def _written(line: str, question: str, answer: str, source: str) -> str:
    """Return a line with its last question and answer replaced; one that is no example is made anew."""
    try:
        row = json.loads(line) if line.strip() else {}
    except ValueError:
        row = {}
    turns = row.get("messages") if isinstance(row, dict) else None
    sound = isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
    asks = [n for n, turn in enumerate(turns or ()) if sound and turn.get("role") == "user"]
    answers = [n for n, turn in enumerate(turns or ()) if sound and turn.get("role") == "assistant"]
    if not sound or not asks or not answers or answers[-1] < asks[-1]:
        row, turns = {}, [{"role": "user"}, {"role": "assistant"}]
        asks, answers = [0], [1]
    assert turns is not None
    turns[asks[-1]]["content"] = question.strip()
    turns[answers[-1]]["content"] = answer.strip()
    row = {**row, "messages": turns}
    row.pop("source", None)
    return json.dumps(
        {**row, "source": source.strip()} if source.strip() else row, ensure_ascii=False
    )


def _row_of(example: Example) -> str:
    """Return an example as a line in OpenAI's chat shape."""
    turns = as_chat(example.messages)
    for turn, message in zip(turns, example.messages, strict=True):
        if not message.trains:
            turn["weight"] = 0
    row: dict[str, Any] = {"messages": turns}
    if example.source:
        row["source"] = example.source
    if example.tools:
        row["tools"] = list(example.tools)
    if example.rejected:
        row["rejected"] = example.rejected
    return json.dumps(row, ensure_ascii=False)


_MISSING = {"question": said("The question is empty."), "answer": said("The answer is empty.")}


def _check(question: str, answer: str) -> None:
    for param, text in (("question", question), ("answer", answer)):
        if not text.strip():
            raise InputError(_MISSING[param], hint=said("Write one."), param=param)


def _at(lines: Sequence[str], line: int) -> int:
    if not 1 <= line <= len(lines) or not lines[line - 1].strip():
        raise NotFoundError(
            said("There is no example in line %(n)s.", n=line), hint=said("Load the page again.")
        )
    return line - 1

"""The folder of a run: what was asked of whom, and one row per question and arm, safe against a kill at any moment.

run.json     what the answers depend on and what the report says about it: config, questions, hashes, versions
rows.jsonl   one Row a line, appended and synced one by one; a line cut off by a kill is dropped and asked again
report.*     made from these two and from nothing else
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pericia.errors import JobError, NotFoundError
from pericia.lookup import unknown_name
from pericia.said import said
from pericia.types import Question, Row
from pericia.workspace import read_json_lines, write_atomic

_NOT_CHOSEN = {"arms", "own_arms", "sides", "scores_version", "prompts_sha256"}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run was: `config` as resolved, `facts` for the report (versions, hashes, seeds, hardware, data set)."""

    id: str
    config: dict[str, Any]
    questions: tuple[Question, ...]
    arms: tuple[str, ...]
    facts: dict[str, Any]


_RECORD = TypeAdapter(RunRecord)
_ROW = TypeAdapter(Row)


def write_record(folder: Path, record: RunRecord) -> None:
    """Replace run.json in one step."""
    write_atomic(folder / "run.json", _RECORD.dump_json(record, indent=2) + b"\n")


def read_record(folder: Path) -> RunRecord:
    """Return what run.json says.

    Raises:
        NotFoundError: there is no such run; the hint names the ones there are. JobError: the file is damaged.
    """
    path = folder / "run.json"
    if not path.is_file():
        runs = {p.parent.name: p for p in folder.parent.glob("*/run.json")}
        raise (
            unknown_name("run", folder.name, runs)
            if runs
            else NotFoundError(
                said("There is no run '%(name)s'.", name=folder.name), hint=said("Run: pericia run")
            )
        )
    try:
        return _RECORD.validate_json(path.read_bytes())
    except ValidationError as error:
        raise JobError(
            said("'%(path)s' is damaged: %(error)s.", path=path, error=error.errors()[0]["msg"]),
            hint=said("Remove the folder and run: pericia run"),
        ) from error


def latest_run(runs: Path) -> Path:
    """Return the folder of the run that was worked on last.

    Raises:
        NotFoundError: nothing has run yet.
    """
    records = sorted(runs.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    if not records:
        raise NotFoundError(said("Nothing has run here yet."), hint=said("Run: pericia run"))
    return records[-1].parent


def append_row(folder: Path, row: Row) -> None:
    """Add a row and return when it is on the disk."""
    with (folder / "rows.jsonl").open("ab") as file:
        file.write(_ROW.dump_json(row) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_rows(folder: Path) -> tuple[Row, ...]:
    """Return the rows in the order in which they were written, the last one of each question and arm.

    Raises:
        JobError: a line that is not the last one is damaged.
    """
    path = folder / "rows.jsonl"
    if not path.exists():
        return ()
    rows = {(row.question_id, row.arm): row for row in _parsed(path)}
    return tuple(rows.values())


def repair_lines(path: Path) -> None:
    """Cut off a last line that was not written to its end, if the file is there."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        write_atomic(path, content[: content.rfind(b"\n") + 1])


def answers_of_other_runs(runs: Path, but: Path) -> dict[tuple[str, str], Row]:
    """Return the rows of all other runs by question id and hash of the request: the same request has one answer."""
    found: dict[tuple[str, str], Row] = {}
    for folder in sorted(path.parent for path in runs.glob("*/rows.jsonl")):
        if folder == but:
            continue
        repair_lines(folder / "rows.jsonl")
        found.update({(row.question_id, row.prompt_sha256): row for row in read_rows(folder)})
    return found


def earlier_looks(
    runs: Path, but: Path, questions: Sequence[Question], hashes: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the ids of other runs that have asked some of these questions, with anything but the arms different.

    `hashes` are what the answers of this run depend on. A later version of Pericia is no other run in this sense.
    """
    texts = {question.text for question in questions}
    found = []
    for path in sorted(runs.glob("*/rows.jsonl")):
        if path.parent == but:
            continue
        record = read_record(path.parent)
        earlier = record.facts["hashes"]
        chosen = {*hashes, *earlier} - _NOT_CHOSEN
        if any(hashes.get(key) != earlier.get(key) for key in chosen) and any(
            question.text in texts for question in record.questions
        ):
            found.append(record.id)
    return tuple(found)


def looks_in_words(looks: Sequence[str]) -> str:
    """Return what earlier looks at the questions mean for this one.

    Example:
        >>> looks_in_words([])
        ''
    """
    if not looks:
        return ""
    many = said("%(n)s earlier runs have", n=len(looks))
    return said(
        "%(runs)s looked at these questions, with other settings, documents, examples or fewer questions: "
        "each look makes a difference by chance likelier, so hold out new questions for the last word.",
        runs=said("one earlier run has") if len(looks) == 1 else many,
    )


def in_order(
    rows: Sequence[Row], questions: Sequence[Question], arms: Sequence[str]
) -> tuple[Row, ...]:
    """Return the rows by question and then by arm, whatever order they were made in."""
    by_key = {(row.question_id, row.arm): row for row in rows}
    keys = [(question.id, arm) for question in questions for arm in arms]
    return tuple(by_key[key] for key in keys if key in by_key)


def _parsed(path: Path) -> Iterator[Row]:
    for line, value in read_json_lines(path):
        try:
            yield _ROW.validate_python(value)
        except ValidationError as error:
            raise JobError(
                said(
                    "%(path)s, line %(line)s: no row of a run (%(error)s).",
                    path=path,
                    line=line,
                    error=error.errors()[0]["msg"],
                ),
                hint=said("Remove the folder of the run and run: pericia run"),
            ) from error

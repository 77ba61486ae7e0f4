"""A file of examples looked at row by row: rows with their findings and their side of the split. amend.py changes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pericia.amend import state_of
from pericia.dataset import leaks, make_dataset
from pericia.errors import InputError
from pericia.examples import auto_epochs, read_examples
from pericia.types import Example, Finding, Message, Question

Part = Literal["train", "validation", "left out", "fault"]
COUNTED = (
    "examples",
    "train",
    "validation",
    "left_out",
    "faults",
    "errors",
    "warnings",
    "leaks",
    "sources",
)


@dataclass(frozen=True, slots=True)
class CuratedRow:
    """A row of the file. A `fault` cannot be read as an example and is shown as its `raw` text."""

    line: int
    part: Part
    question: str = ""
    answer: str = ""
    source: str = ""
    messages: tuple[Message, ...] = ()
    findings: tuple[Finding, ...] = ()
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """What a file of examples holds. `sha256` identifies it; `findings` of no single line stand in `general`."""

    path: str
    sha256: str
    rows: tuple[CuratedRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    epochs: int = 0
    can_undo: bool = False
    is_editable: bool = True
    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))

    @property
    def general(self) -> tuple[Finding, ...]:
        """Findings that belong to no row."""
        return tuple(finding for finding in self.findings if finding.line is None)


def look(
    path: Path,
    questions: Sequence[Question] = (),
    *,
    validation_share: float,
    seed: int,
    versions: Path | None = None,
) -> Book:
    """Return the rows of a file with everything that is to say about them; faults are findings, not exceptions.

    Raises:
        InputError: the file is no text.
    """
    can_undo = versions is not None and any(versions.glob("*.jsonl"))
    if not path.exists() or not path.read_bytes().strip():
        return Book(str(path), state_of(path), can_undo=can_undo)
    examples, read = read_examples(path)
    findings = [*read]
    part_of: dict[int, Part] = {}
    try:
        made = make_dataset(examples, validation_share=validation_share, seed=seed)
        findings += [*made.findings, *leaks(made, questions)]
        part_of = {example.line: "train" for example in made.train}
        part_of |= {example.line: "validation" for example in made.validation}
    except InputError as error:
        findings.append(Finding("error", "no_split", error.message, hint=error.hint))
    rows = _rows(path, examples, findings, part_of)
    levels = [finding.level for finding in findings]
    parts = [row.part for row in rows]
    return Book(
        path=str(path),
        sha256=state_of(path),
        rows=rows,
        findings=tuple(findings),
        epochs=auto_epochs(max(1, len(examples))),
        can_undo=can_undo,
        is_editable=path.suffix == ".jsonl",
        counts={
            "examples": len(examples),
            "train": parts.count("train"),
            "validation": parts.count("validation"),
            "left_out": parts.count("left out"),
            "faults": parts.count("fault"),
            "errors": levels.count("error"),
            "warnings": levels.count("warning"),
            "leaks": sum(finding.code == "leak" for finding in findings),
            "sources": len({example.source for example in examples if example.source}),
        },
    )


# --- rows -----------------------------------------------------------------------------------------------------


def _rows(
    path: Path,
    examples: Sequence[Example],
    findings: Sequence[Finding],
    part_of: Mapping[int, Part],
) -> tuple[CuratedRow, ...]:
    by_line: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.line is not None:
            by_line.setdefault(finding.line, []).append(finding)
    rows = {}
    for example in examples:
        rows[example.line] = CuratedRow(
            line=example.line,
            part=part_of.get(example.line, "left out"),
            question=example.question,
            answer=example.answer,
            source=example.source,
            messages=example.messages,
            findings=tuple(by_line.get(example.line, ())),
        )
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    for line in by_line.keys() - rows.keys():
        raw = lines[line - 1] if line <= len(lines) else ""
        rows[line] = CuratedRow(line, "fault", findings=tuple(by_line[line]), raw=raw)
    return tuple(rows[line] for line in sorted(rows))

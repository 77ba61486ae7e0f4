"""`pericia check`: everything that is to say about a source of examples before anybody trains on it.

Faults are findings, not exceptions. With a base model the rows are prepared as training would prepare them, so lengths,
truncation and the pre-flight are those of the training itself.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pericia import trainers
from pericia.config import ColumnsConfig, TrainConfig
from pericia.dataset import make_dataset
from pericia.duplicates import contradictions, leaks, leaks_between, without_duplicates
from pericia.errors import ConfigError, InputError, PericiaError
from pericia.examples import num_epochs, num_steps, read_examples
from pericia.preflight import check_preparation
from pericia.recast import Columns
from pericia.rows import find_splits
from pericia.said import said
from pericia.types import Dataset, Example, Finding, Question

_WHOLE = 200_000  # tokens: every row is measured before any is left out


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the rows are in the base model's tokens, and what training on them would come to."""

    shortest: int
    median: float
    longest: int
    p95: float
    max_tokens: int
    num_too_long: int
    num_tokens: int  # of the rows that fit, read once
    num_labels: int  # of these, tokens that count in the loss
    num_steps: int  # without what is held out
    learning_rate: float  # its height, after the warm-up
    cost_usd: float | None = None  # for all epochs, where a price was given


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `pericia check` shows. `kinds` counts examples by sort: chat, preference, text."""

    num_examples: int
    num_duplicates: int
    num_near_duplicates: int
    num_validation: int
    num_sources: int
    kinds: dict[str, int]
    turns: dict[int, int]  # messages an example, and how many examples have that many
    num_without_system: int
    findings: tuple[Finding, ...]
    epochs: int
    num_steps: int
    lengths: Lengths | None = None

    @property
    def num_errors(self) -> int:
        return sum(finding.level == "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the document of `pericia check --json`."""
        return asdict(self) | {"num_errors": self.num_errors}


def check(
    source: str,
    *,
    columns: Columns | None = None,
    validation: str | None = None,
    questions: Sequence[Question] = (),
    base: str | None = None,
    settings: TrainConfig | None = None,
    usd_per_million_tokens: float | None = None,
) -> CheckReport:
    """Return everything that is to say about a file, folder or hub's data set of examples.

    `validation` is a split of its own; a folder's is found by its name. `questions` are held out: no example may give
    them away. With `base` the rows are measured in its tokens.

    Raises:
        InputError: a source is missing, empty or unreadable as a whole.
    """
    settings = settings or TrainConfig()
    splits = find_splits(source)
    examples, findings = read_examples(splits.train, columns)
    kept, duplicates = without_duplicates(examples)
    found = [*findings, *duplicates, *contradictions(kept), *leaks(kept, questions)]
    found += [
        Finding(
            "warning",
            "split_ignored",
            said("'%(name)s' is no split to train on and is not read.", name=name),
        )
        for name in splits.ignored
    ]
    held_out: list[Example] = []
    if other := validation or splits.validation:
        others, faults = read_examples(other, columns)
        held_out, also = without_duplicates(others)
        found += [_in_validation(fault) for fault in (*faults, *also)]
        found += [*leaks_between(kept, held_out), *leaks(held_out, questions)]
        if not held_out:
            found.append(
                Finding(
                    "error", "validation_empty", said("'%(other)s' holds no example.", other=other)
                )
            )
    epochs = num_epochs(settings, len(kept))
    lengths = None
    if base and kept:
        lengths, faults_of_rows = _measure(kept, held_out, base, settings)
        found += faults_of_rows
    if lengths is not None and usd_per_million_tokens is not None:
        cost = lengths.num_tokens * epochs * usd_per_million_tokens / 1e6
        lengths = replace(lengths, cost_usd=round(cost, 6))
    return CheckReport(
        num_examples=len(examples),
        num_duplicates=len(duplicates),
        num_near_duplicates=sum(f.code == "near_duplicate_example" for f in duplicates),
        num_validation=len(held_out),
        num_sources=len({example.source for example in examples if example.source}),
        kinds=dict(Counter(map(_kind, examples))),
        turns=dict(sorted(Counter(len(e.messages) for e in examples).items())),
        num_without_system=sum(e.messages[0].role != "system" for e in examples),
        findings=tuple(found),
        epochs=epochs,
        num_steps=lengths.num_steps if lengths else num_steps(settings, len(kept)),
        lengths=lengths,
    )


def parse_columns(given: Sequence[str], configured: ColumnsConfig) -> Columns:
    """Return the columns of a config, those of `given`, each like "question=Tone of: {phrase}", put in their place.

    Raises:
        ConfigError: a part has no name or an unknown one, or the columns make no example.
    """
    chosen = configured.model_dump()
    for part in given:
        name, mark, value = part.partition("=")
        if not mark or name not in chosen:
            hint = said("Write NAME=COLUMN; the names are %(chosen)s.", chosen=", ".join(chosen))
            raise ConfigError(
                said("--column %(part)s names no part of an example.", part=repr(part)), hint=hint
            )
        chosen[name] = value
    return Columns(**chosen)


def _kind(example: Example) -> str:
    if example.is_preference:
        return "preference"
    return "text" if example.is_text else "chat"


def _in_validation(fault: Finding) -> Finding:
    text = said("validation split: %(message)s", message=fault.message)
    return Finding(fault.level, fault.code, text, fault.line, fault.hint, fault.file)


def _measure(
    kept: Sequence[Example], held_out: Sequence[Example], base: str, settings: TrainConfig
) -> tuple[Lengths | None, list[Finding]]:
    """Return the lengths, and as findings what the pre-flight of a training would stop at."""
    try:
        dataset = _split(kept, held_out, settings)
        trainer = trainers.load()
        whole = trainer.prepare(dataset, base, settings.model_copy(update={"max_tokens": _WHOLE}))
    except PericiaError as error:
        return None, [_as_finding(error)]
    rows = [*whole.rows, *whole.validation_rows]
    sizes = sorted(row.num_tokens for row in rows)
    long = [row for row in rows if row.num_tokens > settings.max_tokens]
    fitting, held = (
        tuple(row for row in part if row.num_tokens <= settings.max_tokens)
        for part in (whole.rows, whole.validation_rows)
    )
    steps = num_steps(settings, len(fitting))
    hint = said(
        "Rows of more than %(max_tokens)s tokens are left out whole: raise train.max_tokens, or split them.",
        max_tokens=settings.max_tokens,
    )
    found = [
        Finding(
            "warning",
            "too_long",
            said("%(row)s tokens, so it would be left out.", row=row.num_tokens),
            row.example.line,
            hint,
            row.example.file,
        )
        for row in long
    ]
    lengths = Lengths(
        shortest=sizes[0],
        median=statistics.median(sizes),
        longest=sizes[-1],
        p95=float(sizes[min(len(sizes) - 1, round(0.95 * (len(sizes) - 1)))]),
        max_tokens=settings.max_tokens,
        num_too_long=len(long),
        num_tokens=sum(len(row.ids) + len(row.rejected_ids) for row in fitting),
        num_labels=sum(sum(row.mask) for row in fitting),
        num_steps=steps,
        learning_rate=whole.learning_rate,
    )
    ready = replace(
        whole, rows=fitting, validation_rows=held, num_too_long=len(long), num_steps=steps
    )
    try:
        check_preparation(ready, truncated_share=settings.truncated_share)
    except PericiaError as error:
        found.append(_as_finding(error))
    return lengths, found


def _split(kept: Sequence[Example], held_out: Sequence[Example], settings: TrainConfig) -> Dataset:
    if held_out:
        return Dataset(tuple(kept), tuple(held_out), "")
    try:
        return make_dataset(kept, validation_share=settings.validation_share, seed=settings.seed)
    except InputError:
        return Dataset(tuple(kept), (), "")


def _as_finding(error: PericiaError) -> Finding:
    return Finding("error", error.code, error.message, hint=error.hint)

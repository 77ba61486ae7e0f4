"""What the screens Examples to Playground have in common: the config as it works now, and tasks as JSON."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile

from pericia.config import Config
from pericia.errors import InputError, PericiaError
from pericia.evaluate.collect import collect_questions
from pericia.said import joined, said
from pericia.server.house import House
from pericia.server.tasks import Task
from pericia.types import Question

MAX_UPLOAD_BYTES = 64 << 20
EXAMPLES, QUESTIONS = "examples.jsonl", "questions.jsonl"


def working(house: House) -> Config:
    """Return the config; files that the page has made are used where the config names none."""
    made: dict[str, Any] = {}
    for key, name in (("examples", EXAMPLES), ("questions", QUESTIONS)):
        if getattr(house.config, key) is None and house.workspace.resolve(name).is_file():
            made[key] = name
    return house.config.model_copy(update=made) if made else house.config


def held_out(house: House) -> tuple[tuple[Question, ...], str]:
    """Return the held-out questions, and what is wrong where there are none."""
    try:
        return collect_questions(working(house), house.workspace, ()), ""
    except PericiaError as error:
        return (), joined((error.message, error.hint))


def changed_since(house: House, before: Mapping[str, Any], asked: Sequence[str]) -> list[str]:
    """Return which settings, or "questions", are other than those that a run was made with."""
    now = working(house).model_dump(mode="json")
    default = Config().model_dump(mode="json")
    changed = [
        key
        for key in ("model", "documents", "retrieval", "train", "instruction", "use")
        if now[key] != _as_of_now(before.get(key), default[key])
    ]
    questions, _ = held_out(house)
    if questions and [question.text for question in questions] != list(asked):
        changed.append("questions")
    return changed


def _as_of_now(before: Any, default: Any) -> Any:
    """Return a setting of an earlier version; a knob that was not there then had its default."""
    if not isinstance(before, Mapping):
        return before
    return {name: before.get(name, value) for name, value in default.items()}


def task_json(task: Task | None) -> dict[str, Any] | None:
    """Return a task as the API shows it."""
    return None if task is None else asdict(task)


@contextmanager
def kept_upload(file: UploadFile) -> Iterator[Path]:
    """Yield the upload as a file with its own ending, which says how it is read."""
    suffix = Path(file.filename or "").suffix.lower()
    descriptor, name = tempfile.mkstemp(prefix="pericia-upload-", suffix=suffix)
    try:
        with os.fdopen(descriptor, "wb") as target:
            size = 0
            while block := file.file.read(1 << 20):
                size += len(block)
                if size > MAX_UPLOAD_BYTES:
                    text = said(
                        "'%(name)s' is larger than %(n)s MiB.",
                        name=file.filename,
                        n=MAX_UPLOAD_BYTES >> 20,
                    )
                    raise InputError(text, hint=said("Split it."), param="file")
                target.write(block)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)

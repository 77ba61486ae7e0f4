"""What the screens Examples to Playground have in common: the config as it works now, and tasks as JSON."""

from dataclasses import asdict
from typing import Any

from pericia.config import Config
from pericia.errors import PericiaError
from pericia.evaluate.collect import collect_questions
from pericia.server.house import House
from pericia.server.tasks import Task
from pericia.types import Question

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
        return (), f"{error.message} {error.hint}".strip()


def task_json(task: Task | None) -> dict[str, Any] | None:
    """Return a task as the API shows it."""
    return None if task is None else asdict(task)

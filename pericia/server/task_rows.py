"""The rows of tasks and of their events, and what they are read as."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import sqlalchemy as sql

from pericia.config import Config
from pericia.said import unpacked
from pericia.workspace import Workspace

Status = Literal["running", "done", "failed", "stopped", "interrupted"]
ENDED = ("done", "failed")

TABLES = sql.MetaData()
TASKS = sql.Table(
    "tasks",
    TABLES,
    sql.Column("id", sql.String, primary_key=True),
    sql.Column("kind", sql.String, nullable=False),
    sql.Column("created_at", sql.Float, nullable=False),
    sql.Column("root", sql.String, nullable=False),
    sql.Column("config", sql.JSON, nullable=False),
    sql.Column("params", sql.JSON, nullable=False),
    sql.Column("pid", sql.Integer, nullable=False, default=0),
)
EVENTS = sql.Table(
    "task_events",
    TABLES,
    sql.Column("seq", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("task_id", sql.String, nullable=False, index=True),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("status", sql.String, nullable=False),
    sql.Column("stage", sql.String, nullable=False),
    sql.Column("message", sql.String, nullable=False),
    sql.Column("done", sql.Integer, nullable=False),
    sql.Column("total", sql.Integer, nullable=False),
    sql.Column("result", sql.JSON),
    sql.Column("error", sql.JSON),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Task:
    """Work that was asked for, as of its last event. `total` is 0 where the end is not known.

    `result` is what it made, `error` message, hint, code and param of a failure.
    """

    id: str
    kind: str
    created_at: float
    params: Mapping[str, Any]
    status: Status = "running"
    stage: str = ""
    message: str = ""
    done: int = 0
    total: int = 0
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """An event: the task as it was then. `seq` rises over all tasks."""

    seq: int
    task: Task


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do."""

    kind: str
    workspace: Workspace
    config: Config
    params: Mapping[str, Any]


class Tell(Protocol):
    """Says how far a task is; `total` is 0 where the end is not known."""

    def __call__(self, stage: str, message: str = "", done: int = 0, total: int = 0) -> None: ...


# what an event tells of its task
TOLD = ("at", "status", "stage", "message", "done", "total", "result", "error")


def task_of(id_: str, row: Any) -> Task:
    """Return a task with what a row of an event tells of it."""
    told = {name: row[name] for name in TOLD if row[name] is not None}
    if "error" in told:
        told["error"] = {name: unpacked(part) for name, part in told["error"].items()}
    return Task(
        id=id_, kind=row["kind"], created_at=row["created_at"], params=row["params"], **told
    )

"""Long work of the page in a process of its own: it goes on when the page or the server is closed.

A task's row says what is to be done with which config; its events, in one rising sequence over all tasks, say what has
happened. The process holds a lock from before its first event until it ends, however it ends, so what is at work, and
what was cut off, is told by the operating system.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import sqlalchemy as sql
from sqlalchemy import event as sql_event

from pericia.config import Config
from pericia.errors import ConflictError, NotFoundError
from pericia.jobs import new_id, set_up_sqlite
from pericia.said import packed, said, unpacked
from pericia.workspace import Workspace

try:
    import fcntl
except ImportError:  # Windows: a task that was cut off cannot be told from one at work
    fcntl = None  # type: ignore[assignment]

Status = Literal["running", "done", "failed", "stopped", "interrupted"]
ENDED = ("done", "failed")
WORKER = ("-m", "pericia.server.taskwork")
_STOP_WITHIN_S = 10.0

_tables = sql.MetaData()
_tasks = sql.Table(
    "tasks",
    _tables,
    sql.Column("id", sql.String, primary_key=True),
    sql.Column("kind", sql.String, nullable=False),
    sql.Column("created_at", sql.Float, nullable=False),
    sql.Column("root", sql.String, nullable=False),
    sql.Column("config", sql.JSON, nullable=False),
    sql.Column("params", sql.JSON, nullable=False),
    sql.Column("pid", sql.Integer, nullable=False, default=0),
)
_events = sql.Table(
    "task_events",
    _tables,
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


class Tasks:
    """The tasks of one workspace, in a database in `folder`; several processes may share it."""

    def __init__(self, folder: Path, command: Sequence[str] = WORKER) -> None:
        self.folder = folder / "tasks"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._command = tuple(command)
        self._engine = sql.create_engine(f"sqlite:///{self.folder / 'tasks.db'}")
        sql_event.listen(self._engine, "connect", set_up_sqlite)
        _tables.create_all(self._engine)

    def close(self) -> None:
        """Close the connections of this process; what is at work goes on."""
        self._engine.dispose()

    def start(
        self, kind: str, workspace: Workspace, config: Config, params: Mapping[str, Any]
    ) -> Task:
        """Return the task, whose process has been started.

        Raises:
            ConflictError: one of this kind is at work.
        """
        if (other := self.running(kind)) is not None:
            raise ConflictError(
                said("Work of this kind is not finished yet (%(task)s).", task=other.id),
                hint=said("Wait until it has ended, or stop it."),
            )
        id_ = new_id("task-")
        values = {"id": id_, "kind": kind, "created_at": time.time(), "params": dict(params)}
        values |= {"root": str(workspace.root), "config": config.model_dump(mode="json"), "pid": 0}
        with self._engine.begin() as connection:
            connection.execute(_tasks.insert().values(**values))
        self._run(id_)
        return self.get(id_)

    def resume(self, id_: str) -> Task:
        """Return a task that was stopped or cut off, started again with the same config; what it has done is kept.

        Raises:
            ConflictError: it is at work, or has ended.
        """
        task = self.get(id_)
        if task.status not in ("stopped", "interrupted"):
            raise ConflictError(
                said("This work has ended and cannot be taken up again."),
                hint=said("Start it anew."),
            )
        if (other := self.running(task.kind)) is not None:
            raise ConflictError(
                said("Work of this kind is not finished yet (%(task)s).", task=other.id),
                hint=said("Wait until it has ended, or stop it."),
            )
        self.tell(id_, "resumed")
        self._run(id_)
        return self.get(id_)

    def stop(self, id_: str) -> Task:
        """Return the task, whose process has ended; everything that it writes is safe against that."""
        task = self.get(id_)
        if task.status == "running":
            with self._engine.connect() as connection:
                pid = connection.execute(
                    sql.select(_tasks.c.pid).where(_tasks.c.id == id_)
                ).scalar()
            if pid:
                os.killpg(pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_WITHIN_S
            while self._is_held(id_) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.tell(id_, "stopped", status="stopped")
        return self.get(id_)

    def get(self, id_: str) -> Task:
        """Return one task as it is now.

        Raises:
            NotFoundError: there is none of this id.
        """
        found = self._select(_tasks.c.id == id_)
        if not found:
            raise NotFoundError(f"There is no task '{id_}'.", hint="See: GET /api/tasks")
        return found[0]

    def all(self, kind: str | None = None) -> list[Task]:
        """Return all tasks, newest first."""
        return self._select(_tasks.c.kind == kind if kind else sql.true())

    def running(self, kind: str) -> Task | None:
        """Return the task of a kind that is at work."""
        return next((task for task in self.all(kind) if task.status == "running"), None)

    def newest(self, kind: str) -> Task | None:
        """Return the task of a kind that was started last."""
        return next(iter(self.all(kind)), None)

    def last_event(self) -> int:
        """Return the number of the newest event, 0 without one."""
        with self._engine.connect() as connection:
            return connection.execute(sql.select(sql.func.max(_events.c.seq))).scalar() or 0

    def events(self, after: int = 0, limit: int = 500, task_id: str = "") -> list[Change]:
        """Return up to `limit` events behind number `after`, oldest first, of one task or of all."""
        query = (
            sql.select(_events, _tasks.c.kind, _tasks.c.created_at, _tasks.c.params)
            .join(_tasks, _tasks.c.id == _events.c.task_id)
            .where(_events.c.seq > after)
            .order_by(_events.c.seq)
            .limit(limit)
        )
        if task_id:
            query = query.where(_events.c.task_id == task_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Change(row["seq"], _task(row["task_id"], row)) for row in rows]

    def order(self, id_: str) -> Order:
        """Return what the worker of a task is to do."""
        with self._engine.connect() as connection:
            row = connection.execute(_tasks.select().where(_tasks.c.id == id_)).mappings().one()
        config = Config.model_validate(row["config"])
        return Order(row["kind"], Workspace(Path(row["root"])), config, row["params"])

    def tell(
        self,
        id_: str,
        stage: str,
        message: str = "",
        done: int = 0,
        total: int = 0,
        *,
        status: Status = "running",
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event; only a task's worker, and who stops it, tells of it."""
        values = {"task_id": id_, "at": time.time(), "status": status, "stage": stage}
        values |= {"message": message, "done": done, "total": total}
        kept = None if error is None else {name: packed(part) for name, part in error.items()}
        values |= {"result": result, "error": kept}
        with self._engine.begin() as connection:
            connection.execute(_events.insert().values(**values))

    def _select(self, which: "sql.ColumnElement[bool]") -> list[Task]:
        last = (
            sql.select(_events.c.task_id, sql.func.max(_events.c.seq).label("seq"))
            .group_by(_events.c.task_id)
            .subquery()
        )
        query = (
            sql.select(_tasks, *(_events.c[n] for n in _OF_EVENTS))
            .outerjoin(last, last.c.task_id == _tasks.c.id)
            .outerjoin(_events, _events.c.seq == last.c.seq)
            .where(which)
            .order_by(_tasks.c.created_at.desc())
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        found = [_task(row["id"], row) for row in rows]
        return [self._seen(task) for task in found]

    def _seen(self, task: Task) -> Task:
        """Return the task, interrupted if its last event says that it runs and no process holds its lock."""
        if task.status != "running" or self._is_held(task.id):
            return task
        again = self.events(task_id=task.id, limit=1_000_000)  # it may have ended just now
        now = again[-1].task if again else task
        if now.status != "running":
            return now
        return Task(**{**_fields(now), "status": "interrupted"})

    def _run(self, id_: str) -> None:
        """Start the worker with the lock already held: it shares the open file, and the lock ends with it."""
        log = self.folder / f"{id_}.log"
        with self._lock_file(id_).open("a") as held, log.open("ab") as output:
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX)
            process = subprocess.Popen(
                [sys.executable, *self._command, str(self.folder.parent), id_],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(held.fileno(),),
            )
            change = _tasks.update().where(_tasks.c.id == id_).values(pid=process.pid)
            with self._engine.begin() as connection:
                connection.execute(change)
        threading.Thread(target=process.wait, daemon=True).start()

    def _is_held(self, id_: str) -> bool:
        path = self._lock_file(id_)
        if fcntl is None or not path.exists():
            return False
        with path.open("a") as file:
            try:  # shared, so that two who look do not see each other
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def _lock_file(self, id_: str) -> Path:
        return self.folder / f"{id_}.lock"


_OF_EVENTS = ("at", "status", "stage", "message", "done", "total", "result", "error")


def _task(id_: str, row: Any) -> Task:
    told = {name: row[name] for name in _OF_EVENTS if row[name] is not None}
    if "error" in told:
        told["error"] = {name: unpacked(part) for name, part in told["error"].items()}
    return Task(
        id=id_, kind=row["kind"], created_at=row["created_at"], params=row["params"], **told
    )


def _fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in Task.__dataclass_fields__}

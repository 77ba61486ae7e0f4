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
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event as sql_event

from pericia.config import Config
from pericia.errors import ConflictError, NotFoundError
from pericia.jobs import new_id, set_up_sqlite
from pericia.said import packed, said
from pericia.server.task_rows import (
    ENDED,
    EVENTS,
    TABLES,
    TASKS,
    TOLD,
    Change,
    Order,
    Status,
    Task,
    Tell,
    task_of,
)
from pericia.workspace import Workspace

try:
    import fcntl
except ImportError:  # Windows: a task that was cut off cannot be told from one at work
    fcntl = None  # type: ignore[assignment]

__all__ = ["ENDED", "Change", "Order", "Status", "Task", "Tasks", "Tell"]
WORKER = ("-m", "pericia.server.taskwork")
_STOP_WITHIN_S = 10.0


class Tasks:
    """The tasks of one workspace, in a database in `folder`; several processes may share it."""

    def __init__(self, folder: Path, command: Sequence[str] = WORKER) -> None:
        self.folder = folder / "tasks"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._command = tuple(command)
        self._engine = sql.create_engine(f"sqlite:///{self.folder / 'tasks.db'}")
        sql_event.listen(self._engine, "connect", set_up_sqlite)
        TABLES.create_all(self._engine)

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
            connection.execute(TASKS.insert().values(**values))
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
                pid = connection.execute(sql.select(TASKS.c.pid).where(TASKS.c.id == id_)).scalar()
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
        found = self._select(TASKS.c.id == id_)
        if not found:
            raise NotFoundError(f"There is no task '{id_}'.", hint="See: GET /api/tasks")
        return found[0]

    def all(self, kind: str | None = None) -> list[Task]:
        """Return all tasks, newest first."""
        return self._select(TASKS.c.kind == kind if kind else sql.true())

    def running(self, kind: str) -> Task | None:
        """Return the task of a kind that is at work."""
        return next((task for task in self.all(kind) if task.status == "running"), None)

    def newest(self, kind: str) -> Task | None:
        """Return the task of a kind that was started last."""
        return next(iter(self.all(kind)), None)

    def last_event(self) -> int:
        """Return the number of the newest event, 0 without one."""
        with self._engine.connect() as connection:
            return connection.execute(sql.select(sql.func.max(EVENTS.c.seq))).scalar() or 0

    def events(self, after: int = 0, limit: int = 500, task_id: str = "") -> list[Change]:
        """Return up to `limit` events behind number `after`, oldest first, of one task or of all."""
        query = (
            sql.select(EVENTS, TASKS.c.kind, TASKS.c.created_at, TASKS.c.params)
            .join(TASKS, TASKS.c.id == EVENTS.c.task_id)
            .where(EVENTS.c.seq > after)
            .order_by(EVENTS.c.seq)
            .limit(limit)
        )
        if task_id:
            query = query.where(EVENTS.c.task_id == task_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Change(row["seq"], task_of(row["task_id"], row)) for row in rows]

    def order(self, id_: str) -> Order:
        """Return what the worker of a task is to do."""
        with self._engine.connect() as connection:
            row = connection.execute(TASKS.select().where(TASKS.c.id == id_)).mappings().one()
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
            connection.execute(EVENTS.insert().values(**values))

    def _select(self, which: "sql.ColumnElement[bool]") -> list[Task]:
        last = (
            sql.select(EVENTS.c.task_id, sql.func.max(EVENTS.c.seq).label("seq"))
            .group_by(EVENTS.c.task_id)
            .subquery()
        )
        query = (
            sql.select(TASKS, *(EVENTS.c[n] for n in TOLD))
            .outerjoin(last, last.c.task_id == TASKS.c.id)
            .outerjoin(EVENTS, EVENTS.c.seq == last.c.seq)
            .where(which)
            .order_by(TASKS.c.created_at.desc())
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        found = [task_of(row["id"], row) for row in rows]
        return [self._seen(task) for task in found]

    def _seen(self, task: Task) -> Task:
        """Return the task, interrupted if its last event says that it runs and no process holds its lock."""
        if task.status != "running" or self._is_held(task.id):
            return task
        again = self.events(task_id=task.id, limit=1_000_000)  # it may have ended just now
        now = again[-1].task if again else task
        if now.status != "running":
            return now
        return replace(now, status="interrupted")

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
            change = TASKS.update().where(TASKS.c.id == id_).values(pid=process.pid)
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

"""The ledger of the server: files, fine-tuning jobs, their events and checkpoints, and deployments, in one database.

Each change is one transaction, so a process may be killed at any moment. Several processes share a ledger: a job is
claimed with a lease that its worker renews, and a lease that has lapsed means that the worker is gone.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sql
from sqlalchemy import event as sql_event

from pericia.errors import ConflictError, InputError, NotFoundError

Status = Literal[
    "validating", "queued", "running", "pausing", "paused", "succeeded", "failed", "cancelled"
]
Level = Literal["info", "warn", "error"]
ENDED = ("succeeded", "failed", "cancelled")
LEASE_S = 15.0

_tables = sql.MetaData()


def _table(name: str, *columns: "sql.Column[Any]") -> sql.Table:
    """Return a table whose rows have an id and, in `seq`, the order in which they were written."""
    seq = sql.Column("seq", sql.Integer, primary_key=True, autoincrement=True)
    key = sql.Column("id", sql.String, unique=True, nullable=False)
    created = sql.Column("created_at", sql.Float, nullable=False)
    return sql.Table(name, _tables, seq, key, created, *columns, sqlite_autoincrement=True)


def _text(name: str) -> "sql.Column[Any]":
    return sql.Column(name, sql.String, nullable=False, default="")


def _json(name: str) -> "sql.Column[Any]":
    return sql.Column(name, sql.JSON, nullable=False, default=dict)


def _number(name: str) -> "sql.Column[Any]":
    return sql.Column(name, sql.Float)


_files = _table(
    "files",
    _text("filename"),
    _text("purpose"),
    sql.Column("num_bytes", sql.Integer, nullable=False),
    _number("expires_at"),
)
_jobs = _table(
    "jobs",
    _text("status"),
    _text("dialect"),
    _text("model"),
    _text("base"),
    _text("parent"),
    _text("training_file"),
    _text("validation_file"),
    _text("suffix"),
    sql.Column("seed", sql.Integer, nullable=False),
    _json("asked"),
    _json("resolved"),
    _json("labels"),
    _json("error"),
    _text("result_file"),
    _text("repeat_key"),
    sql.Column("trained_tokens", sql.Integer),
    sql.Column("is_served", sql.Boolean, nullable=False, default=False),
    _number("finished_at"),
    _number("estimated_finish"),
    _text("lease_owner"),
    sql.Column("lease_until", sql.Float, nullable=False, default=0.0),
)
_events = _table(
    "events",
    sql.Column("job_id", sql.String, nullable=False, index=True),
    _text("level"),
    _text("message"),
    _json("metrics"),
)
_steps = sql.Table(
    "steps",
    _tables,
    sql.Column("job_id", sql.String, primary_key=True),
    sql.Column("step", sql.Integer, primary_key=True),
    _number("train_loss"),
    _number("valid_loss"),
)
_checkpoints = _table(
    "checkpoints",
    sql.Column("job_id", sql.String, nullable=False, index=True),
    sql.Column("step", sql.Integer, nullable=False),
    _text("folder"),
    _json("metrics"),
)
_deployments = _table("deployments", _text("model"), _json("sku"), _json("asked"))


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: str
    created_at: float
    filename: str
    purpose: str
    num_bytes: int
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """A training that was asked for. `asked` and `resolved` hold n_epochs, batch_size, learning_rate_multiplier.

    `parent` is the adapter folder to go on from, `labels` the caller's metadata, `error` {} or code, message, param.
    """

    id: str
    created_at: float
    status: Status
    dialect: str
    model: str
    base: str
    parent: str
    training_file: str
    validation_file: str
    suffix: str
    seed: int
    asked: Mapping[str, Any]
    resolved: Mapping[str, Any]
    labels: Mapping[str, str]
    error: Mapping[str, Any]
    result_file: str
    trained_tokens: int | None
    is_served: bool
    finished_at: float | None
    estimated_finish: float | None
    lease_owner: str = ""
    lease_until: float = 0.0

    @property
    def token(self) -> str:
        """Eight characters that name the model."""
        return self.id[-8:]


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    created_at: float
    job_id: str
    level: Level
    message: str
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRecord:
    step: int
    train_loss: float | None
    valid_loss: float | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    id: str
    created_at: float
    job_id: str
    step: int
    folder: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    id: str
    created_at: float
    model: str
    sku: Mapping[str, Any]
    asked: Mapping[str, Any]


_KINDS: dict[type[Any], sql.Table] = {
    StoredFile: _files,
    Job: _jobs,
    Event: _events,
    Checkpoint: _checkpoints,
    Deployment: _deployments,
}
_WORDS: dict[type[Any], str] = {
    StoredFile: "File object",
    Job: "fine-tuning job",
    Event: "event",
    Checkpoint: "checkpoint",
    Deployment: "deployment",
}


def new_id(prefix: str) -> str:
    """Return an id such as `ftjob-` with 24 random characters."""
    return f"{prefix}{secrets.token_hex(12)}"


class Ledger:
    """The database and the folder of uploaded bytes beside it. `url` may name a PostgreSQL server instead."""

    def __init__(self, folder: Path, url: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._engine = sql.create_engine(url or f"sqlite:///{folder / 'ledger.db'}")
        if self._engine.dialect.name == "sqlite":
            sql_event.listen(self._engine, "connect", set_up_sqlite)
        _tables.create_all(self._engine)

    def close(self) -> None:
        """Close the connections of this process."""
        self._engine.dispose()

    def file_path(self, file_id: str) -> Path:
        """Return where the bytes of a file lie."""
        return self.folder / "files" / file_id

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job: copies of its files, its checkpoints and its adapter."""
        return self.folder / "jobs" / job_id

    # --- any kind ------------------------------------------------------------------------------

    def add(self, kind: type[Any], id_: str, **values: Any) -> Any:
        """Return the new row of a kind, once it is on the disk."""
        values = {"created_at": time.time(), **values}
        with self._engine.begin() as connection:
            connection.execute(_KINDS[kind].insert().values(id=id_, **values))
        return self.get(kind, id_)

    def get(self, kind: type[Any], id_: str) -> Any:
        """Return the row of this id.

        Raises:
            NotFoundError: there is none.
        """
        table = _KINDS[kind]
        with self._engine.connect() as connection:
            row = connection.execute(table.select().where(table.c.id == id_)).mappings().first()
        if row is None:
            raise NotFoundError(f"No such {_WORDS[kind]}: {id_}")
        return _made(kind, row)

    def page(
        self,
        kind: type[Any],
        *,
        limit: int,
        after: str | None = None,
        newest_first: bool = True,
        **wanted: Any,
    ) -> tuple[list[Any], bool]:
        """Return up to `limit` rows after the one named, and whether there are more.

        Raises:
            InputError: `after` names no row of this kind.
        """
        table = _KINDS[kind]
        order = table.c.seq.desc() if newest_first else table.c.seq.asc()
        query = table.select().order_by(order).limit(limit + 1)
        for column, value in wanted.items():
            query = query.where(table.c[column] == value)
        with self._engine.connect() as connection:
            if after is not None:
                mark = sql.select(table.c.seq).where(table.c.id == after)
                seq = connection.execute(mark).scalar()
                if seq is None:
                    text = f"'after' is '{after}', which is no {_WORDS[kind]}."
                    raise InputError(
                        text, hint="Give the last id of the page before.", param="after"
                    )
                query = query.where(table.c.seq < seq if newest_first else table.c.seq > seq)
            rows = connection.execute(query).mappings().all()
        return [_made(kind, row) for row in rows[:limit]], len(rows) > limit

    def all(self, kind: type[Any], **wanted: Any) -> list[Any]:
        """Return all rows, newest first."""
        return self.page(kind, limit=1_000_000, **wanted)[0]

    def remove(self, kind: type[Any], id_: str) -> None:
        """Delete a row; it is no fault if there is none."""
        with self._engine.begin() as connection:
            connection.execute(_KINDS[kind].delete().where(_KINDS[kind].c.id == id_))

    # --- jobs ----------------------------------------------------------------------------------

    def move(
        self,
        job_id: str,
        before: Sequence[Status],
        after: Status,
        tell: Sequence[tuple[Level, str]] = (),
        **values: Any,
    ) -> Job:
        """Return the job, whose status has gone from one of `before` to `after`, with other values set in one write.

        Raises:
            ConflictError: its status is another one.
        """
        if not self.try_move(job_id, before, after, tell, **values):
            job: Job = self.get(Job, job_id)
            text = f"Fine-tuning job '{job_id}' is {job.status}, so it cannot become {after}."
            raise ConflictError(text, hint=f"It must be: {', '.join(before)}.")
        moved: Job = self.get(Job, job_id)
        return moved

    def try_move(
        self,
        job_id: str,
        before: Sequence[Status],
        after: Status,
        tell: Sequence[tuple[Level, str]] = (),
        **values: Any,
    ) -> bool:
        """Return whether the job was in one of the states `before`; then it is in `after` now, and `tell` is told."""
        now = time.time()
        if after in ENDED:
            values.setdefault("finished_at", now)
        change = (
            _jobs.update()
            .where(_jobs.c.id == job_id, _jobs.c.status.in_(before))
            .values(status=after, **values)
        )
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount == 0:
                return False
            for level, message in tell:
                event = {"job_id": job_id, "level": level, "message": message, "metrics": {}}
                insert = _events.insert().values(id=new_id("ftevent-"), created_at=now, **event)
                connection.execute(insert)
        return True

    def set_job(self, job_id: str, **values: Any) -> None:
        """Set values of a job, whatever its status."""
        with self._engine.begin() as connection:
            connection.execute(_jobs.update().where(_jobs.c.id == job_id).values(**values))

    def repeated(self, repeat_key: str, within_s: float) -> Job | None:
        """Return the job that the same request has made a moment ago."""
        recent = _jobs.select().where(
            _jobs.c.repeat_key == repeat_key, _jobs.c.created_at > time.time() - within_s
        )
        with self._engine.connect() as connection:
            row = connection.execute(recent).mappings().first()
        return None if row is None else _made(Job, row)

    def claim(self, owner: str) -> Job | None:
        """Return the oldest queued job, which is now running and leased to `owner`; None when one runs or none waits.

        One training at a time: two would share the memory and finish no sooner.
        """
        now = time.time()
        others = _jobs.alias()
        busy = sql.select(others.c.seq).where(others.c.status.in_(["running", "pausing"]))
        first = sql.select(sql.func.min(others.c.seq)).where(others.c.status == "queued")
        change = (
            _jobs.update()
            .where(
                _jobs.c.seq == first.scalar_subquery(), _jobs.c.status == "queued", ~busy.exists()
            )
            .values(status="running", lease_owner=owner, lease_until=now + LEASE_S)
        )
        with self._engine.begin() as connection:
            connection.execute(change)
            mine = _jobs.select().where(_jobs.c.lease_owner == owner, _jobs.c.status == "running")
            row = connection.execute(mine).mappings().first()
        return None if row is None else _made(Job, row)

    def renew(self, job_id: str, owner: str) -> Status | None:
        """Return the job's status and keep its lease; None if the job is no longer the owner's."""
        change = (
            _jobs.update()
            .where(_jobs.c.id == job_id, _jobs.c.lease_owner == owner)
            .values(lease_until=time.time() + LEASE_S)
        )
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount == 0:
                return None
            query = sql.select(_jobs.c.status).where(_jobs.c.id == job_id)
            status: Status = connection.execute(query).scalar_one()
        return status

    def requeue_lost(self) -> list[str]:
        """Return the jobs whose worker is gone; those that ran are queued again, those that paused are paused."""
        lost = []
        for job in self.all(Job, status="running") + self.all(Job, status="pausing"):
            after: Status = "queued" if job.status == "running" else "paused"
            change = (
                _jobs.update()
                .where(
                    _jobs.c.id == job.id,
                    _jobs.c.status == job.status,
                    _jobs.c.lease_until < time.time(),
                )
                .values(status=after, lease_owner="")
            )
            with self._engine.begin() as connection:
                if connection.execute(change).rowcount == 1:
                    lost.append(job.id)
        return lost

    # --- what a job leaves behind ----------------------------------------------------------------

    def tell(
        self,
        job_id: str,
        message: str,
        *,
        level: Level = "info",
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event to a job."""
        id_ = new_id("ftevent-")
        values = {
            "job_id": job_id,
            "level": level,
            "message": message,
            "metrics": dict(metrics or {}),
        }
        with self._engine.begin() as connection:
            connection.execute(_events.insert().values(id=id_, created_at=time.time(), **values))

    def note_step(
        self, job_id: str, step: int, train_loss: float | None, valid_loss: float | None
    ) -> bool:
        """Return whether the step is new; one that a resumed job repeats changes nothing but fills what was missing."""
        key = (_steps.c.job_id == job_id) & (_steps.c.step == step)
        with self._engine.begin() as connection:
            known = connection.execute(_steps.select().where(key)).mappings().first()
            if known is None:
                values = {"train_loss": train_loss, "valid_loss": valid_loss}
                connection.execute(_steps.insert().values(job_id=job_id, step=step, **values))
                return True
            if train_loss is None:
                train_loss = known["train_loss"]
            if valid_loss is None:
                valid_loss = known["valid_loss"]
            change = _steps.update().where(key)
            connection.execute(change.values(train_loss=train_loss, valid_loss=valid_loss))
        return False

    def steps(self, job_id: str) -> list[StepRecord]:
        """Return the measured steps of a job in order."""
        query = _steps.select().where(_steps.c.job_id == job_id).order_by(_steps.c.step)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [StepRecord(row["step"], row["train_loss"], row["valid_loss"]) for row in rows]

    def forget_job(self, job_id: str) -> None:
        """Delete a job with its events, steps and checkpoints."""
        with self._engine.begin() as connection:
            for table in (_events, _steps, _checkpoints):
                connection.execute(table.delete().where(table.c.job_id == job_id))
            connection.execute(_jobs.delete().where(_jobs.c.id == job_id))


def _made(kind: type[Any], row: Any) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def set_up_sqlite(connection: Any, _: Any) -> None:
    """Let readers and writers of several processes share a database; for the event `connect` of an engine."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
    cursor.execute(
        "PRAGMA synchronous=NORMAL"
    )  # safe against any kill; FULL waits for the disk at every step
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()

"""Fine-tuning jobs in the ledger: their states, who works on them, and what they leave behind.

Each change is one transaction, so a process may be killed at any moment. Several processes share a ledger: a job is
claimed with a lease that its worker renews, and a lease that has lapsed means that the worker is gone.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from pericia.errors import ConflictError
from pericia.ledger import DATABASE_VARIABLE, Records, made, set_up_sqlite
from pericia.ledger_rows import (
    CHECKPOINTS,
    ENDED,
    EVENTS,
    JOBS,
    STEPS,
    AttachedFile,
    Checkpoint,
    Deployment,
    Event,
    Job,
    Key,
    Level,
    Status,
    StepRecord,
    StoredFile,
    StoreRecord,
    new_id,
)

__all__ = [
    "DATABASE_VARIABLE",
    "ENDED",
    "LEASE_S",
    "AttachedFile",
    "Checkpoint",
    "Deployment",
    "Event",
    "Job",
    "Key",
    "Ledger",
    "Level",
    "Status",
    "StepRecord",
    "StoreRecord",
    "StoredFile",
    "new_id",
    "set_up_sqlite",
]

LEASE_S = 15.0


class Ledger(Records):
    """The records of the server, with what jobs need beyond reading and writing rows."""

    def add_job(self, id_: str, told: Sequence[tuple[Level, str]], **values: Any) -> Job:
        """Return a new job, which is on the disk together with its first events."""
        now = time.time()
        with self.engine.begin() as connection:
            connection.execute(JOBS.insert().values(id=id_, created_at=now, **values))
            _tell(connection, id_, told, now)
        job: Job = self.get(Job, id_)
        return job

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
            JOBS.update()
            .where(JOBS.c.id == job_id, JOBS.c.status.in_(before))
            .values(status=after, **values)
        )
        with self.engine.begin() as connection:
            if connection.execute(change).rowcount == 0:
                return False
            _tell(connection, job_id, tell, now)
        return True

    def set_job(self, job_id: str, **values: Any) -> None:
        """Set values of a job, whatever its status."""
        with self.engine.begin() as connection:
            connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(**values))

    def repeated(self, repeat_key: str, within_s: float) -> Job | None:
        """Return the job that the same request has made a moment ago."""
        recent = JOBS.select().where(
            JOBS.c.repeat_key == repeat_key, JOBS.c.created_at > time.time() - within_s
        )
        with self.engine.connect() as connection:
            row = connection.execute(recent).mappings().first()
        return None if row is None else made(Job, row)

    def claim(self, owner: str) -> Job | None:
        """Return the oldest queued job, which is now running and leased to `owner`; None when one runs or none waits.

        One training at a time: two would share the memory and finish no sooner.
        """
        now = time.time()
        others = JOBS.alias()
        busy = sql.select(others.c.seq).where(others.c.status.in_(["running", "pausing"]))
        first = sql.select(sql.func.min(others.c.seq)).where(others.c.status == "queued")
        change = (
            JOBS.update()
            .where(JOBS.c.seq == first.scalar_subquery(), JOBS.c.status == "queued", ~busy.exists())
            .values(status="running", lease_owner=owner, lease_until=now + LEASE_S)
        )
        with self.engine.begin() as connection:
            connection.execute(change)
            mine = JOBS.select().where(JOBS.c.lease_owner == owner, JOBS.c.status == "running")
            row = connection.execute(mine).mappings().first()
        return None if row is None else made(Job, row)

    def renew(self, job_id: str, owner: str) -> Status | None:
        """Return the job's status and keep its lease; None if the job is no longer the owner's."""
        change = (
            JOBS.update()
            .where(JOBS.c.id == job_id, JOBS.c.lease_owner == owner)
            .values(lease_until=time.time() + LEASE_S)
        )
        with self.engine.begin() as connection:
            if connection.execute(change).rowcount == 0:
                return None
            query = sql.select(JOBS.c.status).where(JOBS.c.id == job_id)
            status: Status = connection.execute(query).scalar_one()
        return status

    def release(self, owner: str) -> None:
        """End the lease of a worker that is gone."""
        held = JOBS.update().where(JOBS.c.lease_owner == owner).values(lease_until=0.0)
        with self.engine.begin() as connection:
            connection.execute(held)

    def requeue_lost(self) -> list[str]:
        """Return the jobs whose worker is gone; those that ran are queued again, those that paused are paused."""
        lost = []
        for job in self.all(Job, status="running") + self.all(Job, status="pausing"):
            after: Status = "queued" if job.status == "running" else "paused"
            change = (
                JOBS.update()
                .where(
                    JOBS.c.id == job.id,
                    JOBS.c.status == job.status,
                    JOBS.c.lease_until < time.time(),
                )
                .values(status=after, lease_owner="")
            )
            with self.engine.begin() as connection:
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
        with self.engine.begin() as connection:
            connection.execute(EVENTS.insert().values(id=id_, created_at=time.time(), **values))

    def note_step(self, job_id: str, record: StepRecord) -> None:
        """Keep what a step has measured; a step that a resumed job repeats only fills in what was missing."""
        is_sqlite = self.engine.dialect.name == "sqlite"
        upsert: Any = sqlite.insert if is_sqlite else postgresql.insert
        measured = {n: v for n, v in asdict(record).items() if n != "step" and v is not None}
        values = {"job_id": job_id, "step": record.step, **measured}
        first = upsert(STEPS).values(values)
        filled = {name: sql.func.coalesce(STEPS.c[name], first.excluded[name]) for name in measured}
        if filled:
            kept = first.on_conflict_do_update(index_elements=["job_id", "step"], set_=filled)
        else:
            kept = first.on_conflict_do_nothing()
        with self.engine.begin() as connection:
            connection.execute(kept)

    def steps(self, job_id: str) -> list[StepRecord]:
        """Return the measured steps of a job in order."""
        query = STEPS.select().where(STEPS.c.job_id == job_id).order_by(STEPS.c.step)
        with self.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [made(StepRecord, row) for row in rows]

    def forget_job(self, job_id: str) -> None:
        """Delete a job with its events, steps and checkpoints."""
        with self.engine.begin() as connection:
            for table in (EVENTS, STEPS, CHECKPOINTS):
                connection.execute(table.delete().where(table.c.job_id == job_id))
            connection.execute(JOBS.delete().where(JOBS.c.id == job_id))


def _tell(
    connection: sql.Connection, job_id: str, told: Sequence[tuple[Level, str]], now: float
) -> None:
    for level, message in told:
        event = {"job_id": job_id, "level": level, "message": message, "metrics": {}}
        insert = EVENTS.insert().values(id=new_id("ftevent-"), created_at=now, **event)
        connection.execute(insert)

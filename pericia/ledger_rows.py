"""The rows of the ledger: what the server remembers of files, jobs, events, checkpoints, deployments and vector stores.

Each kind is a frozen dataclass and the table that keeps it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sql

Status = Literal[
    "validating", "queued", "running", "pausing", "paused", "succeeded", "failed", "cancelled"
]
AttachedStatus = Literal["in_progress", "completed", "failed", "cancelled"]
Level = Literal["info", "warn", "error"]
ENDED = ("succeeded", "failed", "cancelled")

TABLES = sql.MetaData()


def _table(name: str, *columns: "sql.Column[Any]") -> sql.Table:
    """Return a table whose rows have an id and, in `seq`, the order in which they were written."""
    seq = sql.Column("seq", sql.Integer, primary_key=True, autoincrement=True)
    key = sql.Column("id", sql.String, unique=True, nullable=False)
    created = sql.Column("created_at", sql.Float, nullable=False)
    return sql.Table(name, TABLES, seq, key, created, *columns, sqlite_autoincrement=True)


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
JOBS = _table(
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
EVENTS = _table(
    "events",
    sql.Column("job_id", sql.String, nullable=False, index=True),
    _text("level"),
    _text("message"),
    _json("metrics"),
)
STEPS = sql.Table(
    "steps",
    TABLES,
    sql.Column("job_id", sql.String, primary_key=True),
    sql.Column("step", sql.Integer, primary_key=True),
    _number("train_loss"),
    _number("valid_loss"),
    _number("train_accuracy"),
    _number("valid_accuracy"),
)
CHECKPOINTS = _table(
    "checkpoints",
    sql.Column("job_id", sql.String, nullable=False, index=True),
    sql.Column("step", sql.Integer, nullable=False),
    _text("folder"),
    _json("metrics"),
)
_deployments = _table("deployments", _text("model"), _json("sku"), _json("asked"))
_vector_stores = _table("vector_stores", _text("name"), _text("description"), _json("labels"))
ATTACHED = _table(
    "attached_files",
    sql.Column("store_id", sql.String, nullable=False, index=True),
    _text("file_id"),
    _text("batch_id"),
    _text("status"),
    _json("error"),
    _json("attributes"),
    sql.Column("num_bytes", sql.Integer, nullable=False, default=0),
)
_keys = _table("keys", _text("label"), _text("sha256"), _text("scope"), _number("expires_at"))


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
    """A training that was asked for. `asked` and `resolved` hold the hyperparameters; `asked` the method as well.

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
    def method(self) -> str:
        """Return `supervised` or `dpo`."""
        return str(self.asked.get("method", "supervised"))

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
    """What a step has measured; an accuracy is the share of the answers' tokens that are the model's likeliest."""

    step: int
    train_loss: float | None = None
    valid_loss: float | None = None
    train_accuracy: float | None = None
    valid_accuracy: float | None = None


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


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """A vector store that was made by a request; `labels` is the caller's metadata."""

    id: str
    created_at: float
    name: str
    description: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file in a vector store; its id is that of the store and its own. `error` is {} or code and message."""

    id: str
    created_at: float
    store_id: str
    file_id: str
    batch_id: str
    status: AttachedStatus
    error: Mapping[str, str]
    attributes: Mapping[str, Any]
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Key:
    """A key that callers may show; only its hash is kept. `scope` is what it allows."""

    id: str
    created_at: float
    label: str
    sha256: str
    scope: str
    expires_at: float | None


KINDS: dict[type[Any], sql.Table] = {
    StoredFile: _files,
    Job: JOBS,
    Event: EVENTS,
    Checkpoint: CHECKPOINTS,
    Deployment: _deployments,
    StoreRecord: _vector_stores,
    AttachedFile: ATTACHED,
    Key: _keys,
}
WORDS: dict[type[Any], str] = {
    StoredFile: "File object",
    Job: "fine-tuning job",
    Event: "event",
    Checkpoint: "checkpoint",
    Deployment: "deployment",
    StoreRecord: "vector store",
    AttachedFile: "vector store file",
    Key: "key",
}


def new_id(prefix: str) -> str:
    """Return an id such as `ftjob-` with 24 random characters."""
    return f"{prefix}{secrets.token_hex(12)}"

"""Reaching the server: connections, pgvector, and the id by which an index folder finds its tables again."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg.sql import Identifier

from pericia.errors import ConfigError, StoreError

CONNECT_S = 10
ID_FILE = "postgresql-id"


def identity(folder: Path) -> str:
    """Return the id by which an index folder finds its tables, made at the first call; two processes agree on one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ID_FILE
    if not path.exists():
        descriptor, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "w") as file:
            file.write(uuid.uuid4().hex[:16])
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails where another process was first, and then its id holds
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink()
    return path.read_text(encoding="ascii")


def identifiers(name: str) -> dict[str, Any]:
    kinds = ("chunks", "postings", "by_document", "by_group", "by_row", "ann")
    return {kind: Identifier(f"pericia_{kind}_{name}") for kind in kinds}


@contextmanager
def connected(info: str) -> Iterator["Connection[TupleRow]"]:
    try:
        db = psycopg.connect(info, autocommit=True, connect_timeout=CONNECT_S)
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            f"The address of the store is no good: {error}.",
            hint="Write: store: postgresql://user@host/database",
        ) from error
    except psycopg.OperationalError as error:
        raise unreachable(error, info) from error
    with db:
        yield db


def unreachable(error: Exception, info: str = "") -> StoreError:
    given = conninfo_to_dict(info)
    place = f" at '{given.get('host', 'localhost')}'" if info else ""
    reason = str(error).strip().split("\n")[-1].strip()
    return StoreError(
        f"The PostgreSQL server{place} does not answer: {reason}.",
        hint="Start it, or mend the key 'store' in pericia.yaml; nothing was changed.",
    )


def create_extension(db: "Connection[TupleRow]") -> None:
    """Make sure that pgvector is there, and new enough to go on searching behind a filter."""
    try:
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('pericia_stores'))")
            db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise StoreError(
            f"The database has no pgvector: {str(error).splitlines()[0]}.",
            hint="Install pgvector 0.8 or later on the server; its administrator runs: CREATE EXTENSION vector",
        ) from error
    [version] = db.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    ).fetchone() or ("0.0",)
    if tuple(map(int, version.split(".")[:2])) < (0, 8):
        raise StoreError(
            f"The database has pgvector {version}; 0.8 or later is needed to search behind a filter.",
            hint="Upgrade it on the server, then run there: ALTER EXTENSION vector UPDATE",
        )

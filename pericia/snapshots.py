"""SQL tables and queries become documents: each sync writes their rows to a file that is then read like any other.

    address, table or query -> read-only session -> rows -> .pericia/tables/NAME.tsv

A citation then names a cell that can be looked up, as it was when it was read. A database that does not answer
leaves the rows of the last time.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pericia.addresses import with_secrets, without_password
from pericia.config import SqlSource
from pericia.draft import Limits
from pericia.errors import InputError, NotFoundError, PericiaError
from pericia.isolate import Worker, WorkerDiedError, WorkerTimeoutError
from pericia.lookup import unknown_name

_ONE_SELECT = re.compile(r"\s*(select|with|values)\b[^;]*;?\s*", re.IGNORECASE | re.DOTALL)
# A session that cannot write; for other databases an account that cannot write is the user's part.
_READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


def refresh(
    sources: Sequence[SqlSource], folder: Path, *, root: Path, limits: Limits | None = None
) -> list[tuple[str, str]]:
    """Make the folder hold the rows of each source as they are now; return what went wrong or was left out, by name.

    Rows are written to a new file that replaces the old one when it is whole; a source that cannot be read keeps its
    old file. Paths of SQLite files are relative to `root`.
    """
    limits = limits or Limits()
    notes = []
    for old in folder.glob("*.tsv"):
        if old.stem not in {source.name for source in sources}:
            old.unlink()
    with Worker(limits.memory_bytes) as worker:
        for source in sources:
            path = folder / f"{source.name}.tsv"
            try:
                address = with_secrets(source.url)
                call = (address, source.table, source.query, path, root, limits.rows)
                is_cut = worker.call(write_rows, *call, timeout_s=limits.time_s)
                if is_cut:
                    notes.append((source.name, f"rows from {limits.rows + 1} are not read"))
            except (PericiaError, WorkerTimeoutError, WorkerDiedError) as error:
                kept = " The rows read before are kept." if path.exists() else ""
                notes.append((source.name, f"{error.message} {error.hint}{kept}".strip()))
    return notes


def write_rows(address: str, table: str, query: str, path: Path, root: Path, max_rows: int) -> bool:
    """Write the rows of a table, in the order of its key, or of a query; return whether there are more than `max_rows`.

    Raises:
        NotFoundError: there is no such database file or table.
        InputError: the address or the query is no good, or the database does not answer.
    """
    import sqlalchemy as sa

    engine = _engine(address, root)
    try:
        with engine.connect() as db:
            statement = _select_query(query) if query else _select_table(db, table, max_rows)
            found = db.execution_options(stream_results=True).execute(statement)
            is_cut = _write(path, list(found.keys()), found.partitions(1000), max_rows)
            db.rollback()
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        raise InputError(
            f"'{without_password(address)}' cannot be read: {reason}.",
            hint="Mend the key 'tables' in pericia.yaml, or start the database.",
        ) from error
    finally:
        engine.dispose()
    return is_cut


def _engine(address: str, root: Path) -> Any:
    import sqlalchemy as sa

    try:
        url = sa.make_url(address)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() == "sqlite":
            file = root / (url.database or "")
            if not file.is_file():  # connecting would make an empty one
                raise NotFoundError(f"There is no database '{file}'.", hint="Mend the address.")
            url = url.set(database=str(file))
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except ModuleNotFoundError as error:
        raise InputError(
            f"'{without_password(address)}' needs the driver '{error.name}', which is not installed.",
            hint=f"Run: pip install {error.name}",
        ) from error
    except sa.exc.ArgumentError as error:
        raise InputError(
            f"'{without_password(address)}' is no address of a database.",
            hint="Write it as SQLAlchemy does: sqlite:///prices.db, postgresql://user@host/database",
        ) from error
    read_only = _READ_ONLY.get(engine.dialect.name)

    def forbid_writing(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(read_only)
        cursor.close()
        connection.commit()

    if read_only is not None:
        sa.event.listen(engine, "connect", forbid_writing)
    return engine


def _select_query(query: str) -> Any:
    import sqlalchemy as sa

    if not _ONE_SELECT.fullmatch(query):
        raise InputError(
            f"'{query}' is not one SELECT statement.", hint="Only reading is allowed: SELECT …"
        )
    return sa.text(query.strip().rstrip(";"))


def _select_table(db: Any, name: str, max_rows: int) -> Any:
    import sqlalchemy as sa

    schema, _, table_name = name.rpartition(".")
    try:
        table = sa.Table(table_name, sa.MetaData(), schema=schema or None, autoload_with=db)
    except sa.exc.NoSuchTableError as error:
        looked = sa.inspect(db)
        known = [*looked.get_table_names(schema or None), *looked.get_view_names(schema or None)]
        raise unknown_name("table", name, dict.fromkeys(known)) from error
    return sa.select(table).order_by(*table.primary_key.columns).limit(max_rows + 1)


def _write(
    path: Path, columns: Sequence[str], partitions: Iterable[Sequence[Any]], max_rows: int
) -> bool:
    """Write a header and rows to the file in one step; tabs part the cells, so that no comma must be guessed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    num_rows = 0
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        for rows in partitions:
            kept = rows[: max_rows - num_rows]
            writer.writerows([_shown(value) for value in row] for row in kept)
            num_rows += len(rows)
            if num_rows > max_rows:
                break
        file.flush()
    new.replace(path)
    return num_rows > max_rows


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes | memoryview):
        return f"({len(value)} bytes)"
    return format(value, ".15g") if isinstance(value, float) else str(value)

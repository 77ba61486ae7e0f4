"""The database of the server and the folder of bytes beside it: rows of any kind, one transaction a change."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import event as sql_event

from pericia.errors import InputError, NotFoundError
from pericia.ledger_rows import KINDS, TABLES, WORDS

DATABASE_VARIABLE = "PERICIA_DATABASE_URL"  # in the environment, because addresses hold passwords


class Records:
    """Rows and files of a server. `url` may name a PostgreSQL server; without one it is SQLite in the folder."""

    def __init__(self, folder: Path, url: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        address = sql.make_url(url or f"sqlite:///{folder / 'ledger.db'}")
        if address.drivername == "postgresql":  # SQLAlchemy would take an older driver
            address = address.set(drivername="postgresql+psycopg")
        self.engine = sql.create_engine(address)
        if self.engine.dialect.name == "sqlite":
            sql_event.listen(self.engine, "connect", set_up_sqlite)
        TABLES.create_all(self.engine)
        _add_new_columns(self.engine)

    def close(self) -> None:
        """Close the connections of this process."""
        self.engine.dispose()

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
        with self.engine.begin() as connection:
            connection.execute(KINDS[kind].insert().values(id=id_, **values))
        return self.get(kind, id_)

    def get(self, kind: type[Any], id_: str) -> Any:
        """Return the row of this id.

        Raises:
            NotFoundError: there is none.
        """
        table = KINDS[kind]
        with self.engine.connect() as connection:
            row = connection.execute(table.select().where(table.c.id == id_)).mappings().first()
        if row is None:
            raise NotFoundError(f"No such {WORDS[kind]}: {id_}")
        return made(kind, row)

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
        table = KINDS[kind]
        order = table.c.seq.desc() if newest_first else table.c.seq.asc()
        query = table.select().order_by(order).limit(limit + 1)
        for column, value in wanted.items():
            query = query.where(table.c[column] == value)
        with self.engine.connect() as connection:
            if after is not None:
                mark = sql.select(table.c.seq).where(table.c.id == after)
                seq = connection.execute(mark).scalar()
                if seq is None:
                    text = f"'after' is '{after}', which is no {WORDS[kind]}."
                    raise InputError(
                        text, hint="Give the last id of the page before.", param="after"
                    )
                query = query.where(table.c.seq < seq if newest_first else table.c.seq > seq)
            rows = connection.execute(query).mappings().all()
        return [made(kind, row) for row in rows[:limit]], len(rows) > limit

    def all(self, kind: type[Any], **wanted: Any) -> list[Any]:
        """Return all rows, newest first."""
        return self.page(kind, limit=1_000_000, **wanted)[0]

    def count(self, kind: type[Any], column: str) -> dict[str, int]:
        """Return how many rows have each value of a column."""
        value = KINDS[kind].c[column]
        query = sql.select(value, sql.func.count()).group_by(value)
        with self.engine.connect() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def remove(self, kind: type[Any], id_: str) -> None:
        """Delete a row; it is no fault if there is none."""
        with self.engine.begin() as connection:
            connection.execute(KINDS[kind].delete().where(KINDS[kind].c.id == id_))

    def set_where(self, kind: type[Any], wanted: Mapping[str, Any], **values: Any) -> bool:
        """Return whether there was a row with the wanted values, which then has the others too."""
        table = KINDS[kind]
        change = table.update().values(**values)
        for column, value in wanted.items():
            change = change.where(table.c[column] == value)
        with self.engine.begin() as connection:
            return connection.execute(change).rowcount > 0


def made(kind: type[Any], row: Any) -> Any:
    """Return a row of the database as its dataclass."""
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def _add_new_columns(engine: sql.Engine) -> None:
    """Give the tables of an older version the columns that have come since: nullable ones, empty in older rows."""
    for table in TABLES.tables.values():
        for column in _missing(engine, table):
            kind = column.type.compile(engine.dialect)
            added = sql.text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
            try:
                with engine.begin() as connection:
                    connection.execute(added)
            except sql.exc.DatabaseError:
                if column in _missing(engine, table):
                    raise
                # else another process has added it at the same moment


def _missing(engine: sql.Engine, table: sql.Table) -> list["sql.Column[Any]"]:
    there = {column["name"] for column in sql.inspect(engine).get_columns(table.name)}
    return [column for column in table.columns if column.name not in there]


def set_up_sqlite(connection: Any, _: Any) -> None:
    """Let readers and writers of several processes share a database; for the event `connect` of an engine."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
    cursor.execute(
        "PRAGMA synchronous=NORMAL"
    )  # safe against any kill; FULL waits for the disk at every step
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()

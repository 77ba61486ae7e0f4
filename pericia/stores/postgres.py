"""PostgreSQL with pgvector: an index that a team shares, on a server that it has already.

Vectors are searched by pgvector. Words are searched by true BM25 over a table of postings: PostgreSQL's own
`ts_rank` knows no rarity of words. A document is replaced in one transaction, and one process writes at a time.
"""

import os
import tempfile
import uuid
import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier, Literal
from psycopg_pool import ConnectionPool, PoolTimeout

from pericia.addresses import with_secrets
from pericia.errors import ConfigError, ConflictError, StoreError
from pericia.stored import chunk_from_json, chunk_to_json, stored_token
from pericia.types import Chunk, Entry, Hit

ANN_ROWS = 50_000  # as in the embedded store; the exact scan is fast below
ANN_RECALL = 0.95
_ANN_DIMENSIONS = 4_000  # what pgvector can index in half precision
_BREADTHS = (100, 200, 400, 1000)  # hnsw.ef_search, tried in this order
_MARGIN = 20  # more rows than asked for, so that ties at the end are broken by id and not by chance
_PUBLIC = ""  # the group of chunks that everybody may read; no real group has an empty name
_CONNECTIONS = 8
_CONNECT_S = 10

# One row a store: whose vectors it holds, and the sums that BM25 needs. Its lock lets one process write at a time.
_REGISTER = """
CREATE TABLE IF NOT EXISTS pericia_stores (
    name text PRIMARY KEY, embedder text NOT NULL, num_dimensions int NOT NULL,
    num_chunks bigint NOT NULL DEFAULT 0, num_tokens bigint NOT NULL DEFAULT 0, next_row bigint NOT NULL DEFAULT 1,
    ann_rows bigint, ann_breadth int
)
"""
_TABLES = """
CREATE TABLE IF NOT EXISTS {chunks} (
    row_number bigint PRIMARY KEY, id text NOT NULL UNIQUE, document_id text NOT NULL, groups text[] NOT NULL,
    num_tokens int NOT NULL, chunk text NOT NULL, vector vector({num_dimensions}) NOT NULL
);
CREATE INDEX IF NOT EXISTS {by_document} ON {chunks} (document_id);
CREATE INDEX IF NOT EXISTS {by_group} ON {chunks} USING gin (groups);
CREATE TABLE IF NOT EXISTS {postings} (
    token text NOT NULL, row_number bigint NOT NULL, times int NOT NULL, num_tokens int NOT NULL,
    PRIMARY KEY (token, row_number) INCLUDE (times, num_tokens)
);
CREATE INDEX IF NOT EXISTS {by_row} ON {postings} (row_number);
"""
# Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, with Lucene's positive idf; k1 1.2, b 0.75.
# The score is rounded to float4, so that equal chunks tie whatever the order of the sum.
_BM25 = """
WITH store AS (SELECT num_chunks::float8 AS n, num_tokens::float8 / greatest(num_chunks, 1) AS mean
               FROM pericia_stores WHERE name = {name}),
found AS (SELECT row_number, times::float8, num_tokens, count(*) OVER (PARTITION BY token)::float8 AS frequency
          FROM {postings} WHERE token = ANY(%(tokens)s)),
scored AS (SELECT row_number, sum(ln(1 + (n - frequency + 0.5) / (frequency + 0.5)) * times * 2.2
                                  / (times + 1.2 * (0.25 + 0.75 * num_tokens / mean)))::float4 AS score
           FROM found, store GROUP BY row_number)
SELECT chunk, score FROM scored JOIN {chunks} USING (row_number) WHERE {allowed} ORDER BY score DESC, id LIMIT %(k)s
"""
_EXACT = """
SELECT chunk, 1 - (vector <=> %(vector)s) AS score FROM {chunks} WHERE {allowed}
ORDER BY vector <=> %(vector)s, id LIMIT %(k)s
"""
# The graph holds half precision; what it finds is scored by the whole vectors.
_NEAR = """
SELECT chunk, 1 - (vector <=> %(vector)s) AS score FROM (
    SELECT chunk, vector FROM {chunks} WHERE {allowed} ORDER BY {half} <=> %(vector)s::{halfvec} LIMIT %(k)s
) AS near
"""


class PostgresStore:
    """See `VectorStore`. Threads may share it; each search takes a connection of the pool.

    `folder` keeps the id by which this index finds its tables again, so many indexes may share a database.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        embedder_name: str,
        num_dimensions: int,
        ann_rows: int = ANN_ROWS,
    ) -> None:
        self._num_dimensions = num_dimensions
        self._ann_rows = ann_rows
        self._name = f"{_identity(folder)}_{sha256(embedder_name.encode()).hexdigest()[:16]}"
        self._names = _identifiers(self._name) | {
            "half": SQL("(vector::halfvec({}))").format(Literal(num_dimensions)),
            "halfvec": SQL("halfvec({})").format(Literal(num_dimensions)),
        }
        info = with_secrets(address)
        with _connected(info) as db:
            _create_extension(db)
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(hashtext('pericia_stores'))")
                db.execute(_REGISTER)
                db.execute(
                    "INSERT INTO pericia_stores (name, embedder, num_dimensions) VALUES (%s, %s, %s) "
                    "ON CONFLICT DO NOTHING",
                    (self._name, embedder_name, num_dimensions),
                )
                self._check_owner(db, embedder_name)
                db.execute(self._sql(_TABLES, num_dimensions=Literal(num_dimensions)))
        self._pool = ConnectionPool(
            info,
            min_size=1,
            max_size=_CONNECTIONS,
            kwargs={"autocommit": True, "connect_timeout": _CONNECT_S},
            configure=register_vector,
            check=ConnectionPool.check_connection,
            timeout=_CONNECT_S,
            open=True,
        )
        weakref.finalize(self, self._pool.close)  # its threads would keep the connections open

    @classmethod
    def drop(cls, address: str, folder: Path) -> None:
        """See `stores.drop`."""
        if not (folder / _ID_FILE).exists():
            return
        with _connected(with_secrets(address)) as db, db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('pericia_stores'))")
            db.execute(_REGISTER)
            gone = db.execute(
                "DELETE FROM pericia_stores WHERE starts_with(name, %s) RETURNING name",
                (_identity(folder),),
            )
            for (name,) in gone.fetchall():
                names = _identifiers(name)
                db.execute(SQL("DROP TABLE IF EXISTS {chunks}, {postings}").format(**names))

    def replace(self, entries_by_document: Mapping[str, Iterable[Entry]]) -> None:
        """See `VectorStore.replace`."""
        if not entries_by_document:
            return
        entries = chain.from_iterable(entries_by_document.values())
        with self._connection() as db, db.transaction():
            found = db.execute(
                "SELECT next_row FROM pericia_stores WHERE name = %s FOR UPDATE", (self._name,)
            ).fetchone()
            if found is None:
                raise StoreError(
                    "The index was deleted from its database while it was open.",
                    hint="Run: pericia add",
                )
            [first] = found
            gone = db.execute(
                self._sql(
                    "DELETE FROM {chunks} WHERE document_id = ANY(%s) RETURNING row_number, num_tokens"
                ),
                (list(entries_by_document),),
            ).fetchall()
            db.execute(
                self._sql("DELETE FROM {postings} WHERE row_number = ANY(%s)"),
                ([row for row, _ in gone],),
            )
            num_rows, num_tokens = self._copy(db, entries, first)
            db.execute(
                "UPDATE pericia_stores SET num_chunks = num_chunks + %s, num_tokens = num_tokens + %s, next_row = %s "
                "WHERE name = %s",
                (
                    num_rows - len(gone),
                    num_tokens - sum(length for _, length in gone),
                    first + num_rows,
                    self._name,
                ),
            )

    def search_dense(
        self,
        vector: NDArray[np.float32],
        k: int,
        groups: Sequence[str] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[Hit]:
        """See `VectorStore.search_dense`."""
        if vector.shape != (self._num_dimensions,):
            raise ConflictError(
                f"A question of {vector.shape[-1]} dimensions cannot search vectors of {self._num_dimensions}.",
                hint="Ask with the embedder that the index was made with.",
            )
        with self._connection() as db:
            [breadth] = db.execute(
                "SELECT ann_breadth FROM pericia_stores WHERE name = %s", (self._name,)
            ).fetchone() or (None,)
            rows = self._nearest(db, vector, k + _MARGIN, breadth, groups, documents)
        return _hits(rows, k)

    def search_lexical(
        self,
        tokens: Sequence[str],
        k: int,
        groups: Sequence[str] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[Hit]:
        """See `VectorStore.search_lexical`."""
        if not tokens:
            return []
        allowed, values = _allowed(groups, documents)
        values |= {"tokens": list(dict.fromkeys(map(stored_token, tokens))), "k": k}
        with self._connection() as db:
            rows = db.execute(self._sql(_BM25, allowed=SQL(allowed)), values).fetchall()
        return _hits(rows, k)

    def chunks(self, document_id: str | None = None) -> list[Chunk]:
        """See `VectorStore.chunks`."""
        with self._connection() as db:
            rows = db.execute(
                self._sql(
                    "SELECT chunk FROM {chunks} WHERE %(id)s::text IS NULL OR document_id = %(id)s"
                ),
                {"id": document_id},
            ).fetchall()
        chunks = [chunk_from_json(stored) for (stored,) in rows]
        return sorted(chunks, key=lambda chunk: (chunk.document_id, chunk.start, chunk.id))

    def vectors(self, chunk_ids: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """See `VectorStore.vectors`."""
        with self._connection() as db:
            rows = db.execute(
                self._sql("SELECT id, vector FROM {chunks} WHERE id = ANY(%s)"), (list(chunk_ids),)
            ).fetchall()
        return {key: vector.to_numpy() for key, vector in rows}

    def count(self) -> int:
        """See `VectorStore.count`."""
        with self._connection() as db:
            [number] = db.execute(self._sql("SELECT count(*) FROM {chunks}")).fetchone() or (0,)
        return int(number)

    def sizes(self) -> dict[str, int]:
        """See `VectorStore.sizes`."""
        query = "SELECT document_id, count(*) FROM {chunks} GROUP BY document_id"
        with self._connection() as db:
            return dict(db.execute(self._sql(query)).fetchall())

    def optimize(self) -> str:
        """See `VectorStore.optimize`. One process does it at a time; the others need not."""
        try:
            with self._connection() as db:
                key = (self._name,)
                [is_mine] = db.execute(
                    "SELECT pg_try_advisory_lock(hashtext(%s))", key
                ).fetchone() or (False,)
                if not is_mine:
                    return ""
                try:
                    db.execute(self._sql("VACUUM (ANALYZE) {chunks}, {postings}"))
                    self._build_ann(db)
                finally:
                    if not db.broken:
                        db.execute("SELECT pg_advisory_unlock(hashtext(%s))", key)
        except (psycopg.Error, StoreError) as error:
            reason = str(error).strip().split("\n")[0]
            return f"the index in PostgreSQL was not compacted ({reason})"
        return ""

    def _copy(
        self, db: "Connection[TupleRow]", entries: Iterable[Entry], first: int
    ) -> tuple[int, int]:
        """Write the entries as rows numbered from `first`; return how many they are, and how many tokens they have."""
        postings: list[Counter[str]] = []
        with db.cursor() as cursor:
            columns = "row_number, id, document_id, groups, num_tokens, chunk, vector"
            with cursor.copy(self._sql(f"COPY {{chunks}} ({columns}) FROM STDIN")) as copy:
                for row, entry in enumerate(entries, first):
                    chunk = entry.chunk
                    words = Counter(map(stored_token, entry.tokens.split()))
                    groups = list(chunk.groups) or [_PUBLIC]
                    key = (row, chunk.id, chunk.document_id, groups, words.total())
                    copy.write_row((*key, chunk_to_json(chunk), entry.vector))
                    postings.append(words)
            columns = "token, row_number, times, num_tokens"
            with cursor.copy(self._sql(f"COPY {{postings}} ({columns}) FROM STDIN")) as copy:
                for row, words in enumerate(postings, first):
                    for token, times in words.items():
                        copy.write_row((token, row, times, words.total()))
        return len(postings), sum(words.total() for words in postings)

    def _nearest(
        self,
        db: "Connection[TupleRow]",
        vector: NDArray[np.float32],
        k: int,
        breadth: int | None,
        groups: Sequence[str] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[TupleRow]:
        """Return (chunk, cosine) of the k nearest: by the graph where there is one, exactly where it gives fewer."""
        allowed, values = _allowed(groups, documents)
        values |= {"vector": vector, "k": k}
        if breadth is not None:
            with db.transaction():
                # The graph is filtered after its scan, so the scan goes on until enough rows have passed.
                db.execute("SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true)")
                breadth = min(1000, max(breadth, k))
                db.execute("SELECT set_config('hnsw.ef_search', %s, true)", (str(breadth),))
                rows = db.execute(self._sql(_NEAR, allowed=SQL(allowed)), values).fetchall()
            if len(rows) == k:
                return rows
        return db.execute(self._sql(_EXACT, allowed=SQL(allowed)), values).fetchall()

    def _build_ann(self, db: "Connection[TupleRow]") -> None:
        """Build the graph index past the size where it pays, and keep it only if it finds what the scan finds."""
        [rows, built_at] = db.execute(
            "SELECT num_chunks, coalesce(ann_rows, 0) FROM pericia_stores WHERE name = %s",
            (self._name,),
        ).fetchone() or (0, 0)
        if rows < max(self._ann_rows, 2 * built_at) or self._num_dimensions > _ANN_DIMENSIONS:
            return
        if built_at == 0:
            # Later rows join the graph as they come, so it is built once; it is measured again when data have doubled.
            with db.transaction():
                db.execute("SET LOCAL maintenance_work_mem = '512MB'")
                db.execute(
                    self._sql(
                        "CREATE INDEX IF NOT EXISTS {ann} ON {chunks} USING hnsw ({half} halfvec_cosine_ops)"
                    )
                )
        breadth = next((b for b in _BREADTHS if self._recall(db, b) >= ANN_RECALL), None)
        db.execute(
            "UPDATE pericia_stores SET ann_rows = %s, ann_breadth = %s WHERE name = %s",
            (rows, breadth, self._name),
        )

    def _recall(
        self, db: "Connection[TupleRow]", breadth: int, num_probes: int = 200, k: int = 10
    ) -> float:
        """Return the share of the exact scan's k nearest that the graph finds, over stored vectors."""
        probes = db.execute(
            self._sql("SELECT vector FROM {chunks} ORDER BY md5(id) LIMIT %s"), (num_probes,)
        ).fetchall()
        found = 0
        for (probe,) in probes:
            exact = self._nearest(db, probe.to_numpy(), k, None)
            near = self._nearest(db, probe.to_numpy(), k, breadth)
            found += len({chunk for chunk, _ in exact} & {chunk for chunk, _ in near})
        return found / max(1, k * len(probes))

    def _check_owner(self, db: "Connection[TupleRow]", embedder_name: str) -> None:
        owner, dimensions = db.execute(
            "SELECT embedder, num_dimensions FROM pericia_stores WHERE name = %s", (self._name,)
        ).fetchone() or ("", 0)
        if owner != embedder_name or dimensions != self._num_dimensions:
            raise ConflictError(
                f"The index holds vectors of '{owner}' ({dimensions} dimensions), not of '{embedder_name}' "
                f"({self._num_dimensions}).",
                hint="Delete the index folder and run: pericia add",
            )

    def _sql(self, text: str, **parts: Any) -> Composed:
        return SQL(text).format(**self._names, name=Literal(self._name), **parts)

    @contextmanager
    def _connection(self) -> Iterator["Connection[TupleRow]"]:
        """Give a connection of the pool; a server that is gone is one clear error."""
        try:
            with self._pool.connection() as db:
                yield db
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise _unreachable(error) from error


_ID_FILE = "postgresql-id"


def _identity(folder: Path) -> str:
    """Return the id by which an index folder finds its tables, made at the first call; two processes agree on one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _ID_FILE
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


def _identifiers(name: str) -> dict[str, Any]:
    kinds = ("chunks", "postings", "by_document", "by_group", "by_row", "ann")
    return {kind: Identifier(f"pericia_{kind}_{name}") for kind in kinds}


@contextmanager
def _connected(info: str) -> Iterator["Connection[TupleRow]"]:
    try:
        db = psycopg.connect(info, autocommit=True, connect_timeout=_CONNECT_S)
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            f"The address of the store is no good: {error}.",
            hint="Write: store: postgresql://user@host/database",
        ) from error
    except psycopg.OperationalError as error:
        raise _unreachable(error, info) from error
    with db:
        yield db


def _unreachable(error: Exception, info: str = "") -> StoreError:
    given = conninfo_to_dict(info)
    place = f" at '{given.get('host', 'localhost')}'" if info else ""
    reason = str(error).strip().split("\n")[-1].strip()
    return StoreError(
        f"The PostgreSQL server{place} does not answer: {reason}.",
        hint="Start it, or mend the key 'store' in pericia.yaml; nothing was changed.",
    )


def _create_extension(db: "Connection[TupleRow]") -> None:
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


def _allowed(
    groups: Sequence[str] | None, documents: Collection[str] | None
) -> tuple[str, dict[str, Any]]:
    """Return the condition on what may be ranked, and its values."""
    conditions, values = ["true"], {}
    if groups is not None:
        conditions.append("groups && %(groups)s")
        values["groups"] = [_PUBLIC, *groups]
    if documents is not None:
        conditions.append("document_id = ANY(%(documents)s)")
        values["documents"] = sorted(documents)
    return " AND ".join(conditions), values


def _hits(rows: Sequence[TupleRow], k: int) -> list[Hit]:
    hits = [Hit(chunk_from_json(stored), float(score)) for stored, score in rows]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k]

"""The store: chunks and vectors in one table, words in another, replaced together in one transaction.

Vectors are searched by pgvector. Words are searched by true BM25 over a table of postings: PostgreSQL's own
`ts_rank` knows no rarity of words. One process writes at a time.
"""

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
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Literal
from psycopg_pool import ConnectionPool, PoolTimeout

from pericia.addresses import with_secrets
from pericia.errors import ConflictError, StoreError
from pericia.stored import check_dimensions, chunk_from_json, chunk_to_json, stored_token
from pericia.stores.postgres import statements
from pericia.stores.postgres.connection import (
    CONNECT_S,
    ID_FILE,
    connected,
    create_extension,
    identifiers,
    identity,
    unreachable,
)
from pericia.stores.postgres.graph import ANN_DIMENSIONS, build_graph
from pericia.stores.postgres.statements import PUBLIC, allowed_rows
from pericia.types import Chunk, Entry, Hit

ANN_ROWS = 50_000  # as in the embedded store; the exact scan is fast below
_MARGIN = 20  # more rows than asked for, so that ties at the end are broken by id and not by chance
_CONNECTIONS = 8


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
        self._name = f"{identity(folder)}_{sha256(embedder_name.encode()).hexdigest()[:16]}"
        self._names = identifiers(self._name) | {
            "half": SQL("(vector::halfvec({}))").format(Literal(num_dimensions)),
            "halfvec": SQL("halfvec({})").format(Literal(num_dimensions)),
        }
        info = with_secrets(address)
        with connected(info) as db:
            create_extension(db)
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(hashtext('pericia_stores'))")
                db.execute(statements.REGISTER)
                db.execute(
                    "INSERT INTO pericia_stores (name, embedder, num_dimensions) VALUES (%s, %s, %s) "
                    "ON CONFLICT DO NOTHING",
                    (self._name, embedder_name, num_dimensions),
                )
                self._check_owner(db, embedder_name)
                db.execute(self._sql(statements.TABLES, num_dimensions=Literal(num_dimensions)))
        self._pool = ConnectionPool(
            info,
            min_size=1,
            max_size=_CONNECTIONS,
            kwargs={"autocommit": True, "connect_timeout": CONNECT_S},
            configure=register_vector,
            check=ConnectionPool.check_connection,
            timeout=CONNECT_S,
            open=True,
        )
        weakref.finalize(self, self._pool.close)  # its threads would keep the connections open

    @classmethod
    def drop(cls, address: str, folder: Path) -> None:
        """See `stores.drop`."""
        if not (folder / ID_FILE).exists():
            return
        with connected(with_secrets(address)) as db, db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('pericia_stores'))")
            db.execute(statements.REGISTER)
            gone = db.execute(
                "DELETE FROM pericia_stores WHERE starts_with(name, %s) RETURNING name",
                (identity(folder),),
            )
            for (name,) in gone.fetchall():
                names = identifiers(name)
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
        check_dimensions(vector, self._num_dimensions)
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
        allowed, values = allowed_rows(groups, documents)
        values |= {"tokens": list(dict.fromkeys(map(stored_token, tokens))), "k": k}
        with self._connection() as db:
            rows = db.execute(self._sql(statements.BM25, allowed=SQL(allowed)), values).fetchall()
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
                    if self._num_dimensions <= ANN_DIMENSIONS:
                        build_graph(db, self._sql, self._name, self._ann_rows, self._nearest)
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
                    groups = list(chunk.groups) or [PUBLIC]
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
        allowed, values = allowed_rows(groups, documents)
        values |= {"vector": vector, "k": k}
        if breadth is not None:
            with db.transaction():
                # The graph is filtered after its scan, so the scan goes on until enough rows have passed.
                db.execute("SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true)")
                breadth = min(1000, max(breadth, k))
                db.execute("SELECT set_config('hnsw.ef_search', %s, true)", (str(breadth),))
                rows = db.execute(
                    self._sql(statements.NEAR, allowed=SQL(allowed)), values
                ).fetchall()
            if len(rows) == k:
                return rows
        return db.execute(self._sql(statements.EXACT, allowed=SQL(allowed)), values).fetchall()

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
            raise unreachable(error) from error


def _hits(rows: Sequence[TupleRow], k: int) -> list[Hit]:
    hits = [Hit(chunk_from_json(stored), float(score)) for stored, score in rows]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k]

"""The graph index over vectors: built past the size where it pays, and kept only if it finds what the scan finds."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import Composed

ANN_DIMENSIONS = 4_000  # what pgvector can index in half precision
ANN_RECALL = 0.95
_BREADTHS = (100, 200, 400, 1000)  # hnsw.ef_search, tried in this order

Nearest = Callable[["Connection[TupleRow]", NDArray[np.float32], int, int | None], list[Any]]


def build_graph(
    db: "Connection[TupleRow]",
    sql: Callable[[str], Composed],
    name: str,
    min_rows: int,
    nearest: Nearest,
) -> None:
    """Build the graph of a store of `min_rows` or more, and choose how broadly to search it.

    Later rows join it as they come, so it is built once; it is measured again when the data have doubled. Where no
    breadth reaches `ANN_RECALL`, searches stay exact.
    """
    rows, built_at = db.execute(
        "SELECT num_chunks, coalesce(ann_rows, 0) FROM pericia_stores WHERE name = %s", (name,)
    ).fetchone() or (0, 0)
    if rows < max(min_rows, 2 * built_at):
        return
    if built_at == 0:
        create = (
            "CREATE INDEX IF NOT EXISTS {ann} ON {chunks} USING hnsw ({half} halfvec_cosine_ops)"
        )
        with db.transaction():
            db.execute("SET LOCAL maintenance_work_mem = '512MB'")
            db.execute(sql(create))
    breadth = next((b for b in _BREADTHS if _recall(db, sql, nearest, b) >= ANN_RECALL), None)
    db.execute(
        "UPDATE pericia_stores SET ann_rows = %s, ann_breadth = %s WHERE name = %s",
        (rows, breadth, name),
    )


def _recall(
    db: "Connection[TupleRow]",
    sql: Callable[[str], Composed],
    nearest: Nearest,
    breadth: int,
    num_probes: int = 200,
    k: int = 10,
) -> float:
    """Return the share of the exact scan's k nearest that the graph finds, over stored vectors."""
    query = sql("SELECT vector FROM {chunks} ORDER BY md5(id) LIMIT %s")
    probes = [probe.to_numpy() for (probe,) in db.execute(query, (num_probes,)).fetchall()]
    found = 0
    for probe in probes:
        exact, near = nearest(db, probe, k, None), nearest(db, probe, k, breadth)
        found += len({chunk for chunk, _ in exact} & {chunk for chunk, _ in near})
    return found / max(1, k * len(probes))

"""The SQL of the store: its tables, BM25 over postings, exact and near search."""

from collections.abc import Collection, Sequence
from typing import Any

PUBLIC = ""  # the group of chunks that everybody may read; no real group has an empty name

# One row a store: whose vectors it holds, and the sums that BM25 needs. Its lock lets one process write at a time.
REGISTER = """
CREATE TABLE IF NOT EXISTS pericia_stores (
    name text PRIMARY KEY, embedder text NOT NULL, num_dimensions int NOT NULL,
    num_chunks bigint NOT NULL DEFAULT 0, num_tokens bigint NOT NULL DEFAULT 0, next_row bigint NOT NULL DEFAULT 1,
    ann_rows bigint, ann_breadth int
)
"""
TABLES = """
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
BM25 = """
WITH store AS (SELECT num_chunks::float8 AS n, num_tokens::float8 / greatest(num_chunks, 1) AS mean
               FROM pericia_stores WHERE name = {name}),
found AS (SELECT row_number, times::float8, num_tokens, count(*) OVER (PARTITION BY token)::float8 AS frequency
          FROM {postings} WHERE token = ANY(%(tokens)s)),
scored AS (SELECT row_number, sum(ln(1 + (n - frequency + 0.5) / (frequency + 0.5)) * times * 2.2
                                  / (times + 1.2 * (0.25 + 0.75 * num_tokens / mean)))::float4 AS score
           FROM found, store GROUP BY row_number)
SELECT chunk, score FROM scored JOIN {chunks} USING (row_number) WHERE {allowed} ORDER BY score DESC, id LIMIT %(k)s
"""
EXACT = """
SELECT chunk, 1 - (vector <=> %(vector)s) AS score FROM {chunks} WHERE {allowed}
ORDER BY vector <=> %(vector)s, id LIMIT %(k)s
"""
# The graph holds half precision; what it finds is scored by the whole vectors.
NEAR = """
SELECT chunk, 1 - (vector <=> %(vector)s) AS score FROM (
    SELECT chunk, vector FROM {chunks} WHERE {allowed} ORDER BY {half} <=> %(vector)s::{halfvec} LIMIT %(k)s
) AS near
"""


def allowed_rows(
    groups: Sequence[str] | None, documents: Collection[str] | None
) -> tuple[str, dict[str, Any]]:
    """Return the condition on what may be ranked, and its values."""
    conditions, values = ["true"], {}
    if groups is not None:
        conditions.append("groups && %(groups)s")
        values["groups"] = [PUBLIC, *groups]
    if documents is not None:
        conditions.append("document_id = ANY(%(documents)s)")
        values["documents"] = sorted(documents)
    return " AND ".join(conditions), values

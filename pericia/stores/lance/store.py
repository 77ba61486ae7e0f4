"""The store: a document is replaced in one commit, and nothing compacts by itself.

What is done here and why stands in the project's design notes as twelve rules; each has a test in `tests/stores/`.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pericia.errors import ConflictError, PericiaError
from pericia.stored import check_dimensions, chunk_from_json, stored_token
from pericia.stores.lance.deferred import deferred_models
from pericia.stores.lance.rows import BATCH_ROWS, filtered, hits_of, quoted, reader, schema_of
from pericia.types import Chunk, Entry, Hit
from pericia.workspace import lock, write_json

with deferred_models():
    import lancedb
    from lancedb.index import FTS, HnswSq
    from lancedb.query import MatchQuery

ANN_ROWS = 50_000  # below, the exact scan takes under 50 ms on two cores
ANN_RECALL = 0.95
KEEP_VERSIONS = timedelta(hours=1)  # a reader of an older version must not lose its files
# nprobes, refine_factor and ef, tried in this order
_SEARCHES = ((1, 5, 100), (1, 10, 300), (1, 20, 1000))
MEASURED_ROWS = 10  # asked for when the settings of the graph are chosen
_TRIES = 8
_MARGIN = 20  # more rows than asked for, so that ties at the end are broken by id and not by chance

T = TypeVar("T")


class LanceStore:
    """See `VectorStore`. A handle sees every commit of other processes at once."""

    def __init__(
        self, folder: Path, embedder_name: str, num_dimensions: int, ann_rows: int = ANN_ROWS
    ) -> None:
        _check_prefilter()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._num_dimensions = num_dimensions
        self._ann_rows = ann_rows
        self._name = f"chunks_{sha256(embedder_name.encode()).hexdigest()[:16]}"
        self._database = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        schema = schema_of(embedder_name, num_dimensions)
        try:
            self._table = self._database.create_table(self._name, schema=schema, exist_ok=True)
        except ValueError:  # it is there with other columns: `_check_owner` says whose
            self._table = self._database.open_table(self._name)
        self._check_owner(embedder_name)
        if not self._has_index("tokens"):
            self._retry(self._index_tokens)

    def replace(self, entries_by_document: Mapping[str, Iterable[Entry]]) -> None:
        """See `VectorStore.replace`."""
        if not entries_by_document:
            return
        documents = f"document_id IN ({', '.join(map(quoted, entries_by_document))})"
        if not any(True for entries in entries_by_document.values() for _ in entries):
            self._retry(lambda: self._table.delete(documents))
            return
        # Another process may win the commit; the library retries, and so do we. No scalar index on the key is used:
        # one returned invalid fragments (lancedb#2751).
        self._retry(
            lambda: (
                self._table.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(documents)
                .use_index(False)
                .execute(reader(entries_by_document, self._table.schema))
            )
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
        query = self._dense_query(vector, k + _MARGIN, self._ann_settings())
        found = filtered(query, groups, documents).select(["chunk", "_distance"])
        return hits_of(found.to_arrow(), lambda row: 1.0 - row["_distance"], k)

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
        match = _match(" ".join(dict.fromkeys(map(stored_token, tokens))), "tokens")
        query = self._table.search(match, query_type="fts", fts_columns="tokens")
        query = filtered(query, groups, documents)
        found = query.select(["chunk", "_score"]).limit(k + _MARGIN)
        return hits_of(found.to_arrow(), lambda row: float(row["_score"]), k)

    def chunks(self, document_id: str | None = None) -> list[Chunk]:
        """See `VectorStore.chunks`."""
        query = self._table.search().select(["chunk"])
        if document_id is not None:
            query = query.where(f"document_id = {quoted(document_id)}")
        chunks = [chunk_from_json(row["chunk"]) for row in query.to_arrow().to_pylist()]
        return sorted(chunks, key=lambda chunk: (chunk.document_id, chunk.start, chunk.id))

    def vectors(self, chunk_ids: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """See `VectorStore.vectors`."""
        ids, vectors = list(chunk_ids), {}
        for start in range(0, len(ids), BATCH_ROWS):
            wanted = f"id IN ({', '.join(map(quoted, ids[start : start + BATCH_ROWS]))})"
            found = self._table.search().select(["id", "vector"]).where(wanted).to_arrow()
            for row in found.to_pylist():
                vectors[row["id"]] = np.asarray(row["vector"], dtype=np.float32)
        return vectors

    def count(self) -> int:
        """See `VectorStore.count`."""
        return int(self._table.count_rows())

    def sizes(self) -> dict[str, int]:
        """See `VectorStore.sizes`."""
        found = self._table.search().select(["document_id"]).to_arrow()
        return dict(Counter(found["document_id"].to_pylist()))

    def optimize(self) -> str:
        """See `VectorStore.optimize`. One process does it at a time; the others need not."""
        try:
            with lock(self._folder / "optimize", "compacting the index"):
                self._compact()
                self._build_ann()
        except ConflictError:
            return ""
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().split("\n")[0]
            versions = len(self._table.list_versions())
            files = (self._folder / f"{self._name}.lance").rglob("*")
            megabytes = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
            return (
                f"the index was not compacted ({reason}); it holds {versions} versions "
                f"in {megabytes:.1f} MB"
            )
        return ""

    @classmethod
    def drop(cls, folder: Path) -> None:
        """See `stores.drop`."""
        for table in folder.glob("chunks_*.lance"):
            shutil.rmtree(table)
        for settings in folder.glob("chunks_*.ann.json"):
            settings.unlink()

    def _compact(self) -> None:
        try:
            self._retry(lambda: self._table.optimize(cleanup_older_than=KEEP_VERSIONS))
        except RuntimeError:  # a failed merge of full text would block everything after it
            self._index_tokens()
            self._table.optimize(cleanup_older_than=KEEP_VERSIONS)

    def _build_ann(self) -> None:
        """Build the graph index past the size where it pays, and keep it only if it finds what the scan finds."""
        rows = self.count()
        built_at = int(self._ann_settings().get("rows", 0)) if self._has_index("vector") else 0
        if rows < self._ann_rows or rows < 2 * built_at:
            return
        config = HnswSq(distance_type="cosine", num_partitions=max(1, rows // 1_000_000))
        self._table.create_index("vector", config=config, replace=True)
        for nprobes, refine, ef in _SEARCHES:
            settings = {"rows": rows, "nprobes": nprobes, "refine_factor": refine, "ef": ef}
            settings["exact"] = False
            if self._recall(settings) >= ANN_RECALL:
                break
        else:
            settings["exact"] = True
        write_json(self._folder / f"{self._name}.ann.json", settings)

    def _recall(
        self, settings: Mapping[str, Any], num_probes: int = 200, k: int = MEASURED_ROWS
    ) -> float:
        """Return the share of the exact scan's k nearest that the graph finds, over stored vectors."""
        probes = self._table.search().select(["vector"]).limit(num_probes).to_arrow()
        found = 0
        for row in probes.to_pylist():
            vector = np.asarray(row["vector"], dtype=np.float32)
            exact, near = (
                {r["id"] for r in query.select(["id", "_distance"]).to_arrow().to_pylist()}
                for query in (
                    self._dense_query(vector, k, {"exact": True}),
                    self._dense_query(vector, k, settings),
                )
            )
            found += len(exact & near)
        return found / max(1, k * probes.num_rows)

    def _dense_query(self, vector: NDArray[np.float32], k: int, settings: Mapping[str, Any]) -> Any:
        query: Any = self._table.search(vector, vector_column_name="vector")
        query = query.distance_type("cosine")
        if settings.get("exact", True):
            return query.limit(k).bypass_vector_index()
        refine_factor = refine_factor_for(k, settings["refine_factor"])
        nearest = query.limit(k).nprobes(settings["nprobes"]).refine_factor(refine_factor)
        return nearest.ef(max(settings["ef"], k * refine_factor))

    def _ann_settings(self) -> dict[str, Any]:
        """Return how to search the graph; empty before there is one, and then the scan is exact."""
        path = self._folder / f"{self._name}.ann.json"
        if not path.exists():
            return {}
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return settings

    def _has_index(self, column: str) -> bool:
        return any(column in index.columns for index in self._table.list_indices())

    def _index_tokens(self) -> None:
        """Index our own tokens as they are: no stemming, stop words, folding or length limit a second time."""
        config = FTS(
            with_position=False,
            base_tokenizer="whitespace",
            max_token_length=1000,
            lower_case=False,
            stem=False,
            remove_stop_words=False,
            ascii_folding=False,
            block_size=128,
        )
        self._table.create_index("tokens", config=config, replace=True)

    def _check_owner(self, embedder_name: str) -> None:
        metadata = self._table.schema.metadata or {}
        owner = metadata.get(b"embedder", b"").decode()
        dimensions = int(metadata.get(b"num_dimensions", b"0"))
        if owner != embedder_name or dimensions != self._num_dimensions:
            raise ConflictError(
                f"The index holds vectors of '{owner}' ({dimensions} dimensions), not of '{embedder_name}' "
                f"({self._num_dimensions}).",
                hint="Delete the index folder and run: pericia add",
            )

    def _retry(self, write: Callable[[], T]) -> T:
        """Return what `write` returns; lost races for a commit are repeated from the newest version."""
        for attempt in range(_TRIES):
            try:
                return write()
            except (RuntimeError, OSError) as error:
                if "conflict" not in str(error).lower() or attempt == _TRIES - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
                self._table.checkout_latest()
        raise AssertionError("unreachable")


def refine_factor_for(k: int, measured: int) -> int:
    """Return the refine factor for k rows that compares as many as the one `measured` did for `MEASURED_ROWS`.

    Example:
        >>> [refine_factor_for(k, 5) for k in (10, 30, 110)]
        [5, 2, 1]
    """
    return max(1, ceil(MEASURED_ROWS * measured / k))


def _match(words: str, column: str) -> Any:
    query: Any = MatchQuery  # its defaults are unknown to the type checker
    return query(words, column)


@cache
def _check_prefilter() -> None:
    """Refuse to work with a LanceDB whose filters are applied after ranking: it once was so (lancedb#3095)."""
    table = lancedb.connect("memory://").create_table(
        "probe",
        [{"id": i, "word": "word", "vector": [1.0, i / 100]} for i in range(40)],
    )
    table.create_index("word", config=FTS(base_tokenizer="whitespace", stem=False))
    dense = table.search([1.0, 0.0], vector_column_name="vector").select(["id", "_distance"])
    match = table.search(_match("word", "word"), query_type="fts", fts_columns="word")
    for query in (dense, match.select(["id", "_score"])):
        found = query.where("id >= 38", prefilter=True).limit(2).to_arrow()
        if sorted(found["id"].to_pylist()) != [38, 39]:
            raise PericiaError(
                f"LanceDB {lancedb.__version__} filters after ranking, so answers would miss passages.",
                hint="Run: pip install 'lancedb==0.40.0'",
            )

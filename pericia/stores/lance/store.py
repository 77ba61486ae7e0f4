"""The store: a document is replaced in one commit, and nothing compacts by itself.

What is done here and why stands in the project's design notes as twelve rules; each has a test in `tests/stores/`.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pericia.errors import ConflictError, PericiaError
from pericia.stored import check_dimensions, chunk_from_json, stored_token
from pericia.stores.lance.graph import ANN_ROWS, build_graph, most_parts, nearest, read_settings
from pericia.stores.lance.library import FTS, MatchQuery, lancedb, wait
from pericia.stores.lance.rows import BATCH_ROWS, filtered, hits_of, quoted, schema_of
from pericia.stores.lance.writing import NOT_EMPTY, drop_empty_rows, replace_documents
from pericia.types import Chunk, Entry, Hit
from pericia.workspace import lock

KEEP_VERSIONS = timedelta(hours=1)  # a reader of an older version must not lose its files
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
        self._graph_settings = folder / f"{self._name}.ann.json"
        newest = timedelta(0)
        self._database = wait(lancedb.connect_async(folder, read_consistency_interval=newest))
        schema = schema_of(embedder_name, num_dimensions)
        try:
            made = self._database.create_table(self._name, schema=schema, exist_ok=True)
            self._table = wait(made)
        except ValueError:  # it is there with other columns: `_check_owner` says whose
            self._table = wait(self._database.open_table(self._name))
        self._check_owner(embedder_name)
        if self._index_of("tokens") is None:
            self._retry(self._index_tokens)

    def replace(self, entries_by_document: Mapping[str, Iterable[Entry]]) -> None:
        """See `VectorStore.replace`. One process does it at a time; the others wait."""
        if entries_by_document:
            with lock(self._folder / "replacing", "replacing documents", wait=True):
                self._retry(lambda: replace_documents(self._table, entries_by_document))

    def search_dense(
        self,
        vector: NDArray[np.float32],
        k: int,
        groups: Sequence[str] | None = None,
        documents: Collection[str] | None = None,
    ) -> list[Hit]:
        """See `VectorStore.search_dense`."""
        check_dimensions(vector, self._num_dimensions)
        query = nearest(self._table, vector, k + _MARGIN, read_settings(self._graph_settings))
        found = filtered(query, groups, documents).select(["chunk", "_distance"])
        return hits_of(wait(found.to_arrow()), lambda row: 1.0 - row["_distance"], k)

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
        query = filtered(self._table.query().nearest_to_text(match), groups, documents)
        found = query.select(["chunk", "_score"]).limit(k + _MARGIN)
        return hits_of(wait(found.to_arrow()), lambda row: float(row["_score"]), k)

    def chunks(self, document_id: str | None = None) -> list[Chunk]:
        """See `VectorStore.chunks`."""
        wanted = NOT_EMPTY if document_id is None else f"document_id = {quoted(document_id)}"
        found = wait(self._table.query().where(wanted).select(["chunk"]).to_arrow())
        chunks = [chunk_from_json(stored) for stored in found["chunk"].to_pylist()]
        return sorted(chunks, key=lambda chunk: (chunk.document_id, chunk.start, chunk.id))

    def vectors(self, chunk_ids: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """See `VectorStore.vectors`."""
        ids, vectors = list(chunk_ids), {}
        for start in range(0, len(ids), BATCH_ROWS):
            some = f"id IN ({', '.join(map(quoted, ids[start : start + BATCH_ROWS]))})"
            query = self._table.query().where(f"{some} AND {NOT_EMPTY}").select(["id", "vector"])
            for row in wait(query.to_arrow()).to_pylist():
                vectors[row["id"]] = np.asarray(row["vector"], dtype=np.float32)
        return vectors

    def count(self) -> int:
        """See `VectorStore.count`."""
        return int(wait(self._table.count_rows(NOT_EMPTY)))

    def sizes(self) -> dict[str, int]:
        """See `VectorStore.sizes`."""
        found = wait(self._table.query().where(NOT_EMPTY).select(["document_id"]).to_arrow())
        return dict(Counter(found["document_id"].to_pylist()))

    def optimize(self) -> str:
        """See `VectorStore.optimize`. One process does it at a time; the others need not."""
        try:
            with lock(self._folder / "optimize", "compacting the index"):
                self._compact()
                self._grow_graph()
        except ConflictError:
            return ""
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().split("\n")[0]
            versions = len(wait(self._table.list_versions()))
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
        def compact() -> None:
            drop_empty_rows(self._table)
            wait(self._table.optimize(cleanup_older_than=KEEP_VERSIONS))

        try:
            self._retry(compact)
        except RuntimeError:  # a failed merge of full text would block everything after it
            self._index_tokens()
            compact()

    def _grow_graph(self) -> None:
        """Build the graph index past the size where it pays; anew when the data have doubled or it is in many parts."""
        rows, settings = self.count(), read_settings(self._graph_settings)
        index = self._index_of("vector")
        worn = (
            index is None
            or rows >= 2 * int(settings.get("rows", 0))
            or (index.num_segments or 1) > most_parts(rows)
        )
        if rows >= self._ann_rows and worn:
            build_graph(self._table, self._graph_settings, rows)

    def _index_of(self, column: str) -> Any:
        indices = wait(self._table.list_indices())
        return next((index for index in indices if column in index.columns), None)

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
        wait(self._table.create_index("tokens", config=config, replace=True))

    def _check_owner(self, embedder_name: str) -> None:
        metadata = wait(self._table.schema()).metadata or {}
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
                wait(self._table.checkout_latest())
        raise AssertionError("unreachable")


def _match(words: str, column: str) -> Any:
    query: Any = MatchQuery  # its defaults are unknown to the type checker
    return query(words, column)


@cache
def _check_prefilter() -> None:
    """Refuse to work with a LanceDB whose filters are applied after ranking: it once was so (lancedb#3095)."""
    rows = [{"id": i, "word": "word", "vector": [1.0, i / 100]} for i in range(40)]
    table = wait(wait(lancedb.connect_async("memory://")).create_table("probe", rows))
    index = FTS(base_tokenizer="whitespace", stem=False)
    wait(table.create_index("word", config=index))
    dense = table.query().nearest_to([1.0, 0.0]).select(["id", "_distance"])
    lexical = table.query().nearest_to_text(_match("word", "word")).select(["id", "_score"])
    for query in (dense, lexical):
        found = wait(query.where("id >= 38").limit(2).to_arrow())
        if sorted(found["id"].to_pylist()) != [38, 39]:
            raise PericiaError(
                f"LanceDB {lancedb.__version__} filters after ranking, so answers would miss passages.",
                hint="Run: pip install 'lancedb==0.40.0'",
            )

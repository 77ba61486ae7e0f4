"""Documents are replaced in one commit, as seen from outside, without touching the rest of the table.

    new documents         appended
    documents known       merged by chunk id: new chunks are written, and of the old ones rows without document, text and
                          vector are left, which no search finds; a second commit deletes these empty rows

The library can delete the rest of a document in the commit that merges it (`when_not_matched_by_source_delete`), but
then it joins every column of every row, which takes four times as long. Who dies between the two commits leaves empty
rows: nobody sees them, and the next replacement or compaction deletes them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pericia.stores.lance.library import wait
from pericia.stores.lance.rows import quoted, reader
from pericia.types import Entry

NOT_EMPTY = "document_id IS NOT NULL"


def replace_documents(table: Any, entries_by_document: Mapping[str, Iterable[Entry]]) -> None:
    """Make the entries the only ones of their documents; see `VectorStore.replace`.

    No other process may replace documents meanwhile: which rows it has written would not be known here.
    """
    documents = f"document_id IN ({', '.join(map(quoted, entries_by_document))})"
    if not any(True for entries in entries_by_document.values() for _ in entries):
        wait(table.delete(documents))
        return
    schema = wait(table.schema())
    stored = wait(table.query().where(documents).select(["id"]).to_arrow())
    if not stored.num_rows:
        wait(table.add(reader(entries_by_document, schema)))
        return
    # No scalar index on the key is used: one returned invalid fragments (lancedb#2751).
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    rows = reader(entries_by_document, schema, set(stored["id"].to_pylist()))
    wait(merge.use_index(False).execute(rows, on_bad_vectors="null"))  # of empty rows
    drop_empty_rows(table)


def drop_empty_rows(table: Any) -> None:
    """Delete the rows that replacements have emptied."""
    empty = f"NOT ({NOT_EMPTY})"
    if wait(table.count_rows(empty)):
        wait(table.delete(empty))

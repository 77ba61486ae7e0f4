"""Parquet files: one table, each row a passage with its header; nested values as JSON."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pericia.draft import Draft, Limits
from pericia.errors import InputError
from pericia.said import said
from pericia.types import Document, Place


def read(path: Path, source: str, *, password: str = "", limits: Limits) -> Document:
    """See Reader. Rows count from 1, the header is row 0 as it stands in no row of the file."""
    draft = Draft(path, source, limits)
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            rows = []
            for batch in file.iter_batches(batch_size=4096):
                columns = [column.to_pylist() for column in batch.columns]
                rows += [[_shown(v) for v in row] for row in zip(*columns, strict=True)]
                if len(rows) > limits.rows:
                    break
    except pa.ArrowMemoryError:  # the file may be whole: the worker ends, and its limit is named
        raise
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            said(
                "'%(name)s' is no readable Parquet file: %(why)s.", name=path.name, why=str(error)
            ),
            hint=said("Write it again."),
        ) from error
    draft.table(names, rows, Place(), name=path.stem, first_row=1)
    draft.title = path.stem
    return draft.document()


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return format(value, ".15g") if isinstance(value, float) else str(value)

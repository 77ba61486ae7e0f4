"""Vectors between the embedder and the store: on disk, by the text that they stand for.

A document is stored in one commit, however large. Until then its vectors wait here, so that memory stays small and a
killed sync does not compute them again.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

_KEY_BYTES = 16
_LENGTH_TOLERANCE = 0.01  # a record that was torn by a power cut has no vector of length 1


class VectorJournal:
    """A file of records, each the hash of a text and its vector; only the hashes are in memory."""

    def __init__(self, path: Path, num_dimensions: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._record = np.dtype([("key", f"V{_KEY_BYTES}"), ("vector", "<f4", (num_dimensions,))])
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._places: dict[bytes, int] = {}
        self._end = 0
        while len(records := self._read(self._end, 4096)):
            self._enter(records)
        self._file.truncate(self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and _key(text) in self._places

    def __getitem__(self, text: str) -> NDArray[np.float32]:
        self._file.seek(self._places[_key(text)])
        [record] = np.frombuffer(self._file.read(self._record.itemsize), self._record)
        vector: NDArray[np.float32] = record["vector"]
        return vector

    def add(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write the vectors, (n, num_dimensions), each of length 1; they are safe when this returns."""
        records = np.zeros(len(texts), self._record)
        records["key"] = [np.void(_key(text)) for text in texts]
        records["vector"] = vectors
        self._file.seek(self._end)
        self._file.write(records.tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._enter(records)

    def clear(self) -> None:
        """Forget everything, as it is in the store now."""
        self._places.clear()
        self._end = 0
        self._file.truncate(0)

    def _read(self, start: int, num_records: int) -> NDArray[np.void]:
        self._file.seek(start)
        data = self._file.read(num_records * self._record.itemsize)
        return np.frombuffer(
            data[: len(data) // self._record.itemsize * self._record.itemsize], self._record
        )

    def _enter(self, records: NDArray[np.void]) -> None:
        lengths = np.linalg.norm(records["vector"], axis=1)
        for key, length in zip(records["key"], lengths, strict=True):
            if abs(length - 1) < _LENGTH_TOLERANCE:
                self._places[key.tobytes()] = self._end
            self._end += self._record.itemsize


def _key(text: str) -> bytes:
    return sha256(text.encode()).digest()[:_KEY_BYTES]

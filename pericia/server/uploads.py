"""Uploaded files in the ledger, until their time is over: an expired one is as gone as one that was deleted."""

import time

from pericia.jobs import Ledger, StoredFile


def find_file(ledger: Ledger, file_id: str) -> StoredFile:
    """Return a file.

    Raises:
        NotFoundError: there is none of this id, or it has expired.
    """
    stored: StoredFile = ledger.get(StoredFile, file_id)
    if _is_over(stored):
        remove_file(ledger, stored)
        stored = ledger.get(StoredFile, file_id)
    return stored


def remove_expired(ledger: Ledger) -> None:
    """Delete every file whose time is over."""
    for stored in ledger.all(StoredFile):
        if _is_over(stored):
            remove_file(ledger, stored)


def remove_file(ledger: Ledger, stored: StoredFile) -> None:
    """Delete a file; jobs and stores that use it have their own copies."""
    ledger.remove(StoredFile, stored.id)
    ledger.file_path(stored.id).unlink(missing_ok=True)


def _is_over(stored: StoredFile) -> bool:
    return stored.expires_at is not None and stored.expires_at < time.time()

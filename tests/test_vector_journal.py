from pathlib import Path

import numpy as np
import pytest

from pericia.vector_journal import VectorJournal


def unit(*values: float) -> list[float]:
    return list(np.array(values) / np.linalg.norm(values))


VECTORS = np.array([unit(1, 2, 2), unit(0, 1, 0)], dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "vectors.journal"
    with VectorJournal(path, 3) as journal:
        journal.add(["kiln", "pump"], VECTORS)
    return path


def test_vectors_come_back_by_their_text_after_reopening(path: Path) -> None:
    with VectorJournal(path, 3) as journal:
        assert "kiln" in journal
        assert "valve" not in journal
        assert journal["pump"].tolist() == VECTORS[1].tolist()
        journal.add(["valve"], VECTORS[:1])
        assert journal["valve"].tolist() == VECTORS[0].tolist()
        assert journal["kiln"].tolist() == VECTORS[0].tolist()


def test_a_torn_end_is_cut_off_and_written_again(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with VectorJournal(path, 3) as journal:
        assert "kiln" in journal
        assert "pump" not in journal
        journal.add(["pump"], VECTORS[1:])
    assert path.read_bytes() == whole


def test_a_vector_that_a_power_cut_left_empty_does_not_count(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-12] + bytes(12))
    with VectorJournal(path, 3) as journal:
        assert "kiln" in journal
        assert "pump" not in journal


def test_a_cleared_journal_is_empty(path: Path) -> None:
    with VectorJournal(path, 3) as journal:
        journal.clear()
        assert "kiln" not in journal
    assert path.stat().st_size == 0

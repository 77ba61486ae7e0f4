"""The whole pipeline in two small worlds, with the bundled model and both trainings: never a confident wrong advice."""

from pathlib import Path

import pytest

from benchmarks.worlds_nano import FIRST_SEED, confusion, study


@pytest.mark.parametrize("name", ["W1", "W9"])
def test_a_small_world_gets_right_or_honest_advice(name: str, tmp_path: Path) -> None:
    outcome = study(
        name,
        FIRST_SEED,
        tmp_path,
        num_questions=12,
        num_examples=16,
        train={"batch_size": 8},
    )
    assert outcome.verdict in {"right", "honest"}, outcome
    assert set(outcome.means) == {"prompt", "few_shot", "rag", "fine_tuned", "rag_fine_tuned"}
    assert f"| {name} | {outcome.wanted} |" in confusion([outcome])
    report = next(tmp_path.glob(".pericia/runs/*/report.html")).read_text(encoding="utf-8")
    assert "What training has changed in the model" in report

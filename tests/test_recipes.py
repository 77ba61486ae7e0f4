"""The recipes in examples/recipes: each loads, passes the check, is what its script writes, and learns something."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pericia.check import check, parse_columns
from pericia.config import load_config
from pericia.dataset import read_dataset
from pericia.evaluate.questions import read_questions
from pericia.types import Question
from pericia.workspace import Workspace

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "recipes"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/pericia.yaml"))


@pytest.fixture(scope="module")
def runner() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "run.py"))


def asked(*answers: str) -> list[Question]:
    return [Question(f"q{n}", "?", (answer,)) for n, answer in enumerate(answers)]


def test_all_recipes_are_here() -> None:
    assert NAMES == ["chat", "dpo", "embedder", "ingredients", "sql", "tones"]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_loads_and_passes_the_check(name: str) -> None:
    folder = FOLDER / name
    config = load_config(folder / "pericia.yaml")
    workspace = Workspace(folder)
    dataset, _ = read_dataset(config, workspace)
    assert dataset.train
    assert dataset.validation
    questions = read_questions(workspace.resolve(config.questions)) if config.questions else ()
    assert config.examples is not None
    report = check(
        str(workspace.resolve(config.examples)),
        columns=parse_columns((), config.columns),
        validation=str(workspace.resolve(config.validation)) if config.validation else None,
        questions=questions,
        settings=config.train,
    )
    assert [f.message for f in report.findings if f.level == "error"] == []
    assert report.num_duplicates == 0


def test_the_committed_data_are_what_the_script_writes(tmp_path: Path) -> None:
    script = str(FOLDER / "build.py")
    subprocess.run([sys.executable, script, str(tmp_path)], check=True)
    written = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(written) == 20
    for path in written:
        assert (tmp_path / path).read_bytes() == (FOLDER / path).read_bytes(), path


def test_every_reference_query_runs_and_is_right(runner: dict[str, Any]) -> None:
    rows = (FOLDER / "sql" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    queries = [json.loads(row)["answers"][0] for row in rows]
    assert runner["sql_score"](queries, asked(*queries)) == 1.0


@pytest.mark.parametrize(
    "query",
    [
        "",
        "no SQL",
        "SELECT price FROM pumps WHERE model = 'KV-20'",
        "DROP TABLE pumps",
        "DELETE FROM pumps",
        "ATTACH 'x.db' AS x",
        "PRAGMA user_version",
        "SELECT 1; SELECT 2",
        "SELECT load_extension('x')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    ],
)
def test_a_wrong_query_scores_nothing_and_does_no_harm(query: str, runner: dict[str, Any]) -> None:
    assert not runner["executes_to"](query, "SELECT price FROM pumps WHERE model = 'PX-20'")


def test_another_query_with_the_same_rows_is_right(runner: dict[str, Any]) -> None:
    query = "select p.model from pumps p where p.bar > 29 order by p.weight desc"
    assert runner["executes_to"](query, "SELECT model FROM pumps WHERE bar >= 30")


def test_macro_f1_by_hand(runner: dict[str, Any]) -> None:
    questions = asked("a", "a", "a", "b")
    assert runner["macro_f1"](["a", "a", "a", "a"], questions) == pytest.approx((6 / 7 + 0) / 2)
    assert runner["macro_f1"](["a", "a", "b", "B."], questions) == pytest.approx(
        (4 / 5 + 2 / 3) / 2
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "embedder"])
def test_a_recipe_learns(name: str, tmp_path: Path, runner: dict[str, Any]) -> None:
    shutil.copytree(FOLDER / name, tmp_path / name)
    scores = runner["tune"](name, tmp_path / name, most=20)
    assert scores["tuned"] > scores["base"]
    assert scores["tuned"] > scores.get("majority", 0.0)


@pytest.mark.slow
def test_the_embedder_learns_the_words_of_the_workshop(
    tmp_path: Path, runner: dict[str, Any]
) -> None:
    shutil.copytree(FOLDER / "embedder", tmp_path / "embedder")
    scores = runner["find"](tmp_path / "embedder")
    assert scores["tuned"] > scores["base"]

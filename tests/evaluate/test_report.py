"""The page: whole, escaped, and the same bytes from the same folder."""

import re
from pathlib import Path

import pytest
from markupsafe import escape

from pericia.evaluate.markdown import render_markdown
from pericia.evaluate.page import render_page
from pericia.evaluate.report import recompute, render_csv, report_json
from pericia.evaluate.run import RunResult, run
from pericia.terminal.report import recommendation_lines
from tests.evaluate.bench import FakeTools, question_of, write_firm, write_lines


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("firm")
    config, workspace = write_firm(folder)
    attack = [
        {"question": f"<script>alert(1)</script> {question_of(3)}", "answers": ["=1+1"], "id": "=x"}
    ]
    questions = [{"question": question_of(n), "answers": [f"{100 + 7 * n} bar"]} for n in range(10)]
    write_lines(folder / "questions.jsonl", [*questions, *attack])
    return run(config, workspace, tools=FakeTools().tools())


def test_the_page_needs_nothing_else_and_runs_nothing(result: RunResult) -> None:
    page = result.html.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://", page)
    assert "nan" not in re.findall(r">\s*(nan|inf|None)\s*<", page)


def test_the_page_begins_with_the_verdict_and_holds_every_number(result: RunResult) -> None:
    page = render_page(result.report)
    assert page.index(result.report.recommendation.sentence) < page.index("The arms side by side")
    for arm, measured in result.report.arms.items():
        assert f"<b>{100 * measured.scores['token_f1'].mean:.1f}</b>" in page, arm
    assert page.count('<details class="asked') == len(result.report.questions)
    for heading in (
        "Which questions decide",
        "Differences",
        "Quality against cost and time",
        "Every question",
        "How to repeat it",
    ):
        assert heading in page


def test_prices_show_when_training_pays(tmp_path: Path) -> None:
    prices = {"token_in": 100.0, "person_hour": 40.0, "data_hours": 2.0}
    config, workspace = write_firm(tmp_path, evaluate={"prices": prices})
    done = run(config, workspace, tools=FakeTools().tools())
    page = done.html.read_text(encoding="utf-8")
    assert "When training pays for itself" in page
    assert "USD per 1,000 right" in page
    assert len(done.report.break_even) == 6
    assert "pays for its training after" in render_markdown(done.report)


def test_the_same_folder_gives_the_same_bytes(result: RunResult) -> None:
    again = recompute(result.folder)
    assert render_page(again) == result.html.read_text(encoding="utf-8")
    assert render_markdown(again) == (result.folder / "report.md").read_text(encoding="utf-8")


def test_markdown_and_json_hold_the_tables(result: RunResult) -> None:
    markdown = render_markdown(result.report)
    assert markdown.startswith(f"# {result.report.recommendation.sentence}")
    assert markdown.count("| `") == 10
    value = report_json(result.report, result.html)
    assert set(value) >= {"arms", "pairs", "recommendation", "report"}
    assert set(value["pairs"][0]) == {
        "a",
        "b",
        "score",
        "difference",
        "low",
        "high",
        "p",
        "verdict",
    }
    assert set(value["arms"]["rag"]["scores"]["token_f1"]) == {"mean", "low", "high"}


def test_the_rule_is_said_in_words_wherever_the_advice_is(result: RunResult) -> None:
    said = "Rule R1, outside data: the answers need data from outside the model."
    assert said in render_page(result.report)
    assert f"- {said}" in render_markdown(result.report)
    assert said in list(recommendation_lines(result.report))
    assert report_json(result.report, result.html)["recommendation"]["rule_in_words"] == said


def test_a_cell_that_looks_like_a_formula_is_quoted(result: RunResult) -> None:
    assert "\n'=x," in render_csv(result.report)


def test_the_report_lies_in_the_folder_of_the_run(result: RunResult) -> None:
    assert result.html.parent == result.folder
    assert isinstance(result.html, Path)


def test_rules_checklist_and_what_would_change_are_in_every_file(result: RunResult) -> None:
    page, markdown = render_page(result.report), render_markdown(result.report)
    value = report_json(result.report, result.html)
    assert [each["name"][:2] for each in value["rules"]] == [
        "R1",
        "R2",
        "R3",
        "R4",
        "Sa",
        "Sb",
        "Sc",
    ]
    for each in (*value["rules"], *value["before_tuning"]):
        assert str(escape(each["found"])) in page
        assert each["found"] in markdown
    assert result.report.recommendation.would_change
    for change in result.report.recommendation.would_change:
        assert str(escape(change)) in page
        assert f"- {change}" in markdown


def test_the_page_shows_kinds_of_questions_where_there_are_several(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    page = run(config, workspace, tools=FakeTools().tools()).html.read_text(encoding="utf-8")
    assert "By kind of question" in page
    assert "no answer in the documents<small>2 questions</small>" in page


def test_the_report_says_how_small_a_difference_the_answers_show(result: RunResult) -> None:
    said = str(result.report.facts["detectable"])
    assert said.startswith("With these 11 questions you can only see differences above about")
    assert "As it turned out, they show differences above about" in said

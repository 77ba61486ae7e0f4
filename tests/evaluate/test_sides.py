"""What is asked beside the arms to explain them: the right passage, part of the examples, and old answers."""

from dataclasses import replace
from pathlib import Path

import pytest

from pericia.config import ARM_NAMES
from pericia.evaluate.behaviour import current
from pericia.evaluate.lanes import num_examples, part_of
from pericia.evaluate.report import recompute
from pericia.evaluate.run import run
from pericia.evaluate.sourcing import Attempt
from pericia.evaluate.tools import Tools
from pericia.types import Answer, Context, Dataset, Example, Message, Prompt, Question
from tests.evaluate.bench import (
    NUM_PUMPS,
    FakeTools,
    pressure,
    question_of,
    write_firm,
    write_lines,
)

NUM_ANSWERS = 5 * (NUM_PUMPS + 2)


def half_blind(fake: FakeTools) -> Tools:
    """Tools whose search finds nothing about odd pumps."""

    def find(question: str) -> Context:
        found = fake.find(question)
        is_odd = int(found.passages[0].chunk.id[1:]) % 2
        return Context(()) if is_odd else found

    return replace(fake.tools(), find=find, find_right=lambda question: fake.find(question.text))


def test_the_right_passage_tells_faults_of_the_search_from_faults_of_reading(
    tmp_path: Path,
) -> None:
    plain, workspace = write_firm(tmp_path)
    before = run(plain, workspace, tools=half_blind(FakeTools()))
    assert before.report.readings == ()
    config, _ = write_firm(tmp_path, evaluate={"gold": True})
    result = run(config, workspace, tools=half_blind(FakeTools()))
    report = result.report
    assert [(each.arm, each.num_questions) for each in report.readings] == [
        ("rag", NUM_PUMPS),
        ("rag_fine_tuned", NUM_PUMPS),
    ]
    reading = report.readings[0]
    assert (reading.found.mean, reading.given.mean, reading.lost.mean) == (0.5, 1.0, 0.5)
    assert reading.lost.low > 0
    # nothing of it carries a verdict, and the arms are those of the run without it
    assert tuple(report.arms) == ARM_NAMES
    assert report.pairs == before.report.pairs
    assert {row.arm for row in report.rows} == set(ARM_NAMES)
    # where the search had found the right passage alone, nothing new is asked
    assert (result.num_new, result.num_taken_over) == (NUM_PUMPS, NUM_ANSWERS + NUM_PUMPS)
    assert recompute(result.folder) == report
    assert "Search or reading" in result.html.read_text(encoding="utf-8")
    markdown = (result.folder / "report.md").read_text(encoding="utf-8")
    assert "`rag` given the right passage alone reaches 100.0 in place of 50.0" in markdown


def test_a_killed_run_goes_on_with_what_is_asked_beside_the_arms(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path, evaluate={"gold": True})
    with pytest.raises(KeyboardInterrupt):
        run(config, workspace, tools=half_blind(FakeTools(stop_after=40)))
    result = run(config, workspace, tools=half_blind(FakeTools()))
    assert result.report.readings[0].given.mean == 1.0
    assert result.num_there > 0
    again = run(config, workspace, tools=half_blind(FakeTools()))
    assert (again.num_new, again.num_taken_over) == (0, 0)
    assert again.report == result.report


def test_a_learning_curve_begins_at_the_arm_that_was_tuned(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path, num_examples=24, evaluate={"learning_curve": True})
    fake = FakeTools()
    report = run(config, workspace, tools=fake.tools()).report
    num_train = report.curve[3].num_examples
    counts = [0, num_train // 4, num_train // 2, num_train]
    assert [point.arm for point in report.curve] == ["fine_tuned"] * 4 + ["rag_fine_tuned"] * 4
    assert [point.num_examples for point in report.curve] == 2 * counts
    means = [point.score.mean for point in report.curve[:4]]
    tuned = report.arms["fine_tuned"].scores["token_f1"].mean
    assert means == [report.arms["prompt"].scores["token_f1"].mean, tuned, tuned, tuned]
    assert len(fake.trained) == 2 + 2 * 2
    assert len({adapter for _, adapter in fake.asked if adapter}) == 6


def test_a_larger_part_of_the_examples_holds_the_smaller_one() -> None:
    def example(n: int) -> Example:
        return Example((Message("user", f"q{n}"), Message("assistant", "a")), f"e{n}", n)

    dataset = Dataset(tuple(example(n) for n in range(20)), (example(99),), "whole")
    quarter, half = (part_of(dataset, share, seed=3) for share in (0.25, 0.5))
    assert (len(quarter.train), len(half.train)) == (num_examples(dataset, 0.25), 10)
    assert set(quarter.train) < set(half.train)
    assert quarter.validation == dataset.validation
    assert len({quarter.sha256, half.sha256, dataset.sha256}) == 3


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("It holds 93 bar. [1]", 0.0),
        ("It holds 100 bar.", 1.0),
        ("It was 93 bar and is 100 bar now.", 1.0),
        ("It holds 193 bar.", 1.0),  # wrong, and not the old answer
        ("I don't know.", 1.0),
    ],
)
def test_an_old_answer_is_one_that_says_no_present_one(said: str, value: float) -> None:
    question = Question("q", "?", ("100 bar",), old_answers=("93 bar",))
    assert current(Attempt(Answer(said), question)) == value
    assert current(Attempt(Answer(said), replace(question, old_answers=()))) is None


def test_the_report_says_who_gives_old_answers(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    questions = [
        {
            "id": f"q{n}",
            "question": question_of(n),
            "answers": [pressure(n)],
            "sources": [f"pump{n}.md"],
            "old_answers": ["93 bar"] if n < 4 else [],
        }
        for n in range(NUM_PUMPS)
    ]
    write_lines(tmp_path / "questions.jsonl", questions)
    fake = FakeTools()

    def answer(prompt: Prompt, adapter: Path | None) -> Answer:
        real = fake.answer(prompt, adapter)
        return (
            replace(real, text="93 bar", refused=False) if adapter and not prompt.passages else real
        )

    result = run(config, workspace, tools=replace(fake.tools(), answer=answer))
    said = {each.arm: (each.num_old, each.num_questions) for each in result.report.old_answers}
    assert said == {arm: ((4 if arm == "fine_tuned" else 0), 4) for arm in ARM_NAMES}
    outcomes = {row.outcome for row in result.report.rows if row.scores.get("current") == 0.0}
    assert outcomes == {"out of date"}
    reason = "Fine-tuning answers 4 of 4 changed facts as they were before."
    assert reason in result.report.recommendation.reasons
    assert "Old answers" in result.html.read_text(encoding="utf-8")
    assert "`fine_tuned` 4" in (result.folder / "report.md").read_text(encoding="utf-8")

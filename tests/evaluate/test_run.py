"""The whole river with rules in place of a model: what is asked, kept, resumed, and said."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pericia.answer import read_reply
from pericia.config import ARM_NAMES, Config
from pericia.errors import ConfigError, InputError, JobError, NotFoundError
from pericia.evaluate.collect import Event
from pericia.evaluate.report import recompute
from pericia.evaluate.run import run
from pericia.evaluate.tools import Tools
from pericia.registry import record, training_folder
from pericia.types import Answer, Generation, Prompt, Usage
from pericia.workspace import Workspace
from tests.evaluate.bench import NUM_PUMPS, FakeTools, question_of, write_firm, write_lines

NUM_ANSWERS = 5 * (NUM_PUMPS + 2)


def test_the_whole_river_measures_five_arms_and_advises(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    fake = FakeTools()
    events: list[Event] = []
    result = run(config, workspace, tools=fake.tools(), on_event=events.append)
    report = result.report
    assert tuple(report.arms) == ARM_NAMES
    assert result.num_new == NUM_ANSWERS
    assert report.arms["prompt"].scores["token_f1"].mean == pytest.approx(2 / 14)
    assert report.arms["rag"].scores["token_f1"].mean == 1.0
    assert report.arms["rag"].scores["citation_precision"].mean == 1.0
    assert report.arms["fine_tuned"].scores["exact"].mean == pytest.approx(8 / 14)
    assert len(report.pairs) == 10
    assert report.recommendation.arm == "rag"
    assert report.recommendation.rule == "R1"
    assert "Do not fine-tune" in report.recommendation.sentence
    assert fake.trained == ["fine_tuned", "rag_fine_tuned"]
    assert len(fake.asked) == NUM_ANSWERS + 3  # a warm-up without and with each adapter
    assert len(fake.found) == NUM_PUMPS + 2  # once for both arms that read passages
    assert events[0].message.startswith("With these 14 questions you can only see differences")
    assert {row.outcome for row in report.rows if row.arm == "rag"} == {
        "right and cited",
        "refused rightly",
    }
    for name in ("report.html", "report.md", "report.json", "rows.csv", "rows.jsonl", "run.json"):
        assert (result.folder / name).stat().st_size > 0


def test_nearly_the_same_documents_count_as_one_family(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    twins = {"docs/pump0.md": "The same text.", "docs/pump1.md": "the same text"}
    result = run(config, workspace, tools=replace(FakeTools().tools(), texts=lambda names: twins))
    assert len({question.family for question in result.report.questions}) == NUM_PUMPS + 2 - 1
    said = "Nearly the same documents count as one family: docs/pump0.md and docs/pump1.md."
    for name in ("report.html", "report.md"):
        assert said in (result.folder / name).read_text(encoding="utf-8")


def test_arms_are_asked_question_by_question(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    result = run(config, workspace, tools=FakeTools().tools())
    lines = (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["arm"] for line in lines[:5]] == list(ARM_NAMES)
    assert len({json.loads(line)["question_id"] for line in lines[:5]}) == 1


def test_a_second_run_asks_nothing_and_says_so(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    first = run(config, workspace, tools=FakeTools().tools())
    files = {p.name: p.read_bytes() for p in first.folder.iterdir()}
    fake = FakeTools()
    events: list[Event] = []
    second = run(config, workspace, tools=fake.tools(), on_event=events.append)
    assert (second.num_new, second.num_there) == (0, NUM_ANSWERS)
    assert not fake.asked
    assert not fake.trained
    assert any(event.message.startswith("Nothing has changed") for event in events)
    assert {p.name: p.read_bytes() for p in second.folder.iterdir()} == files


@pytest.mark.parametrize("stop_after", [0, 1, 4, 37, 72])
def test_a_killed_run_goes_on_to_the_same_result(stop_after: int, tmp_path: Path) -> None:
    whole = run(*write_firm(_made(tmp_path / "whole")), tools=FakeTools().tools())
    config, workspace = write_firm(_made(tmp_path / "killed"))
    with pytest.raises(KeyboardInterrupt):
        run(config, workspace, tools=FakeTools(stop_after=stop_after).tools())
    rows = next(workspace.runs.glob("*/rows.jsonl"), None)
    if rows is not None:
        with rows.open("ab") as file:
            file.write(b'{"question_id": "q1", "arm": "ra')  # a line that the kill cut off
    resumed = run(config, workspace, tools=FakeTools().tools())
    assert resumed.folder.name == whole.folder.name
    assert resumed.report.recommendation == whole.report.recommendation
    assert resumed.report.pairs == whole.report.pairs
    assert _without_times(resumed.report.rows) == _without_times(whole.report.rows)


def test_a_run_in_pieces_cannot_be_recomputed(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(config, workspace, tools=FakeTools(stop_after=20).tools())
    folder = next(workspace.runs.glob("*/run.json")).parent
    with pytest.raises(JobError, match="of 70 answers"):
        recompute(folder)


def test_recomputing_gives_the_same_report(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    result = run(config, workspace, tools=FakeTools().tools())
    assert recompute(result.folder) == result.report
    with pytest.raises(NotFoundError, match="Unknown run"):
        recompute(workspace.runs / "other")


def test_a_changed_price_asks_nothing_and_a_new_question_only_itself(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    run(config, workspace, tools=FakeTools().tools())
    priced, _ = write_firm(tmp_path, evaluate={"prices": {"token_in": 1000.0}})
    fake = FakeTools()
    result = run(priced, workspace, tools=fake.tools())
    assert not fake.asked
    assert result.report.arms["rag"].cost_per_correct is not None
    with (tmp_path / "questions.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"question": "Who cleans pump P3?", "answers": []}) + "\n")
    result = run(priced, workspace, tools=fake.tools())
    assert (result.num_new, result.num_taken_over) == (5, NUM_ANSWERS)


@pytest.mark.parametrize(
    ("changes", "arms", "why"),
    [
        ({"num_examples": 0}, ("prompt", "rag"), "No examples"),
        ({"model": "quote"}, ("prompt", "rag"), "'quote'"),
    ],
)
def test_arms_that_cannot_run_are_named(
    changes: dict[str, object], arms: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    config, workspace = write_firm(tmp_path, **changes)  # type: ignore[arg-type]
    tools = FakeTools(is_tunable=config.model != "quote").tools()
    result = run(config, workspace, tools=tools)
    assert tuple(result.report.arms) == arms
    assert any(why in reason for reason in result.report.recommendation.reasons)


def test_without_documents_no_arm_reads_passages(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    result = run(config, workspace, tools=FakeTools(has_documents=False).tools())
    assert tuple(result.report.arms) == ("prompt", "few_shot", "fine_tuned")


def test_one_question_gives_numbers_and_no_verdict(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    write_lines(
        tmp_path / "questions.jsonl", [{"question": question_of(1), "answers": ["107 bar"]}]
    )
    report = run(config, workspace, tools=FakeTools().tools()).report
    assert report.recommendation.arm == "not enough questions to tell"
    assert {pair.verdict for pair in report.pairs} == {"not distinguishable"}
    assert (
        "nan"
        not in (next(workspace.runs.glob("*/report.json"))).read_text(encoding="utf-8").lower()
    )


def test_answers_that_are_all_empty_are_refusals(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    silent = replace(
        FakeTools().tools(),
        answer=lambda prompt, adapter: read_reply(Generation("", Usage()), prompt),
    )
    result = run(config, workspace, tools=silent)
    assert result.report.recommendation.arm == "no arm is good enough"
    assert all(row.answer.refused for row in result.report.rows)
    for name in ("report.json", "report.md", "rows.csv"):
        assert "nan" not in (result.folder / name).read_text(encoding="utf-8").lower()


def test_a_leak_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    turns = [("user", question_of(1)), ("assistant", "107 bar")]
    leak = {"messages": [{"role": role, "content": text} for role, text in turns]}
    with (tmp_path / "examples.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(leak) + "\n")
    with pytest.raises(InputError, match="held-out question 'q1'"):
        run(config, workspace, tools=FakeTools().tools())
    assert not list(workspace.runs.glob("*/run.json"))


def test_a_leak_may_be_shown_with_the_results_without_and_with_it(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path, evaluate={"on_leak": "show"})
    turns = [("user", question_of(1)), ("assistant", "107 bar")]
    leak = {"messages": [{"role": role, "content": text} for role, text in turns]}
    with (tmp_path / "examples.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(leak) + "\n")
    report = run(config, workspace, tools=FakeTools().tools()).report
    assert set(report.facts["tainted"]) == {"q1"}  # type: ignore[call-overload]
    without, with_it = report.tracks
    assert (without.num_questions, with_it.num_questions) == (13, 14)
    assert with_it.name == "new documents, with 1 questions given away"
    assert report.arms == without.arms
    assert report.arms["fine_tuned"].scores["exact"].mean == pytest.approx(8 / 13)
    assert with_it.arms["fine_tuned"].scores["exact"].mean == pytest.approx(8 / 14)


def test_the_two_tracks_are_measured_apart(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    turns = [("user", "What colour has the hood?"), ("assistant", "blue")]
    rows = [
        {
            "messages": [{"role": role, "content": f"{text} {n}"} for role, text in turns],
            "source": f"pump{n}.md",
        }
        for n in range(10)
    ]
    write_lines(tmp_path / "examples.jsonl", rows)
    report = run(config, workspace, tools=FakeTools().tools()).report
    assert report.track == "same documents"
    assert [(t.name, t.num_questions) for t in report.tracks] == [
        ("same documents", 10),
        ("new documents", 4),
    ]
    assert report.arms["rag"].n == 10
    assert report.recommendation.sentence.startswith("Use retrieval (RAG)")
    assert len(report.rows) == NUM_ANSWERS
    assert "they decide, because the facts change once a year" in str(
        report.facts["track_in_words"]
    )


def test_an_arm_of_the_config_joins_the_table(tmp_path: Path) -> None:
    extra = {"name": "large", "arm": "rag", "model": "other", "prices": {"token_in": 100.0}}
    config, workspace = write_firm(tmp_path, evaluate={"extra_arms": [extra]})
    other = FakeTools()
    opened: list[str] = []

    def open_more(own: Config) -> Tools:
        opened.append(own.model)
        return replace(other.tools(), model_identity="other-1")

    result = run(config, workspace, tools=FakeTools().tools(), open_more=open_more)
    assert opened == ["other"]
    assert len(other.asked) == NUM_PUMPS + 2 + 1  # a warm-up
    assert tuple(result.report.arms) == (*ARM_NAMES, "large")
    assert len(result.report.pairs) == 15
    assert result.report.arms["large"].kind == "rag"
    assert result.report.arms["large"].cost_per_correct is not None
    assert result.report.recommendation.arm == "rag"
    assert any("'large'" in reason for reason in result.report.recommendation.reasons)


def test_an_adapter_of_before_is_measured_beside_the_new_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = training_folder(workspace.adapters, "fine-tuned-old")
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).touch()
    about = {"base": "fake", "base_sha256": "fake-1", "train_s": 60.0, "num_train": 7}
    kept = record(workspace.adapters, "fine-tuned-old", "fine_tuned", about)
    extra = [{"name": "last-month", "arm": "fine_tuned", "adapter": kept.id}]
    config, _ = write_firm(tmp_path, evaluate={"extra_arms": extra})
    tools = FakeTools()
    result = run(config, workspace, tools=tools.tools())
    assert tuple(result.report.arms) == (*ARM_NAMES, "last-month")
    assert result.report.facts["adapters"]["last-month"]["id"] == kept.id  # type: ignore[index]
    assert result.report.facts["adapters"]["fine_tuned"]["id"] != kept.id  # type: ignore[index]

    extra = [{"name": "last-month", "arm": "rag_fine_tuned", "adapter": kept.id}]
    config, _ = write_firm(tmp_path, evaluate={"extra_arms": extra})
    with pytest.raises(ConfigError, match="is fine_tuned of 'fake', which does not fit"):
        run(config, workspace, tools=FakeTools().tools())


@pytest.mark.parametrize("names", [["rag"], ["large", "large"]])
def test_a_name_of_an_arm_is_taken_once(names: list[str], tmp_path: Path) -> None:
    extra = [{"name": name, "arm": "rag"} for name in names]
    config, workspace = write_firm(tmp_path, evaluate={"extra_arms": extra})
    with pytest.raises(ConfigError, match=f"'{names[0]}' is taken"):
        run(config, workspace, tools=FakeTools().tools())


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        ({"pattern": "("}, "no regular expression"),
        ({"score": "token_f2"}, "Unknown score"),
        ({"score": "citation_precision"}, "does not apply to every answer"),
    ],
)
def test_a_score_that_cannot_decide_is_refused(
    evaluate: dict[str, object], message: str, tmp_path: Path
) -> None:
    config, workspace = write_firm(tmp_path, evaluate=evaluate)
    with pytest.raises(InputError, match=message):
        run(config, workspace, tools=FakeTools().tools())


def test_no_questions_configured_is_an_error(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path, questions=None)
    with pytest.raises(ConfigError, match="No questions are configured"):
        run(config, workspace, tools=FakeTools().tools())


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _without_times(rows: tuple[object, ...]) -> list[tuple[object, ...]]:
    return [(r.question_id, r.arm, r.answer.text, r.scores, r.outcome) for r in rows]  # type: ignore[attr-defined]


def test_a_fault_in_the_questions_leaves_the_workspace_as_it_was(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    write_lines(tmp_path / "questions.jsonl", [{"id": "q1", "question": "How hot?"}])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="'answers' is missing"):
        run(config, workspace)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_further_look_at_the_same_questions_is_said(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    first = run(config, workspace, tools=FakeTools().tools())
    assert first.report.facts["looks"] == []
    gold, _ = write_firm(tmp_path, evaluate={"gold": True})  # asks more, and changes nothing
    assert run(gold, workspace, tools=FakeTools().tools()).report.facts["looks"] == []
    other, _ = write_firm(tmp_path, instruction="Be very short.")
    events: list[Event] = []
    second = run(other, workspace, tools=FakeTools().tools(), on_event=events.append)
    said = "2 earlier runs have looked at these questions"
    assert any(event.message.startswith(said) for event in events)
    for name in ("report.html", "report.md"):
        assert said in (second.folder / name).read_text(encoding="utf-8")
    again = run(config, workspace, tools=FakeTools().tools())
    assert again.report == first.report  # what came later does not change an earlier look


def test_an_arm_that_has_unlearnt_to_stop_is_out(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    fake = FakeTools()

    def answer(prompt: Prompt, adapter: Path | None) -> Answer:
        real = fake.answer(prompt, adapter)
        return replace(real, finish_reason="length") if adapter and prompt.passages else real

    report = run(config, workspace, tools=replace(fake.tools(), answer=answer)).report
    assert any(
        reason.startswith("Retrieval with fine-tuning is out: 14 of its 14 answers do not stop")
        and "0 of those of rag" in reason
        for reason in report.recommendation.reasons
    )
    assert not any(r.startswith("Fine-tuning is out") for r in report.recommendation.reasons)


def test_the_questions_are_not_among_the_documents(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "copy.jsonl").write_bytes((tmp_path / "questions.jsonl").read_bytes())
    tools = FakeTools().tools()
    leaky = replace(tools, sources=tools.sources | {"docs/copy.jsonl"})
    with pytest.raises(InputError, match=r"copy\.jsonl' is the file of held-out questions"):
        run(config, workspace, tools=leaky)
    assert not list(workspace.runs.glob("*/run.json"))


def test_a_fact_that_an_example_may_hold_is_taken_out_beside_the_results(tmp_path: Path) -> None:
    config, workspace = write_firm(tmp_path)
    asked = {n: (f"What colour has hood {n}?", "blue") for n in range(10)}
    asked |= {  # by pump; only the first asks for what a held-out question asks
        1: ("What does the gauge of P1 show?", "107 bar"),
        2: ("What does the gauge of P7 show?", "114 bar"),  # of another pump
        3: ("What does the gauge of P3 show?", "5 bar"),  # another answer
        5: ("What does the gauge of P4 show?", "128 bar"),  # in another document
    }
    lines = [
        {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ],
            "source": f"pump{n}.md",
        }
        for n, (question, answer) in asked.items()
    ]
    write_lines(tmp_path / "examples.jsonl", lines)
    result = run(config, workspace, tools=FakeTools().tools())
    report = result.report
    assert list(report.facts["same_facts"]) == ["q1"]  # type: ignore[call-overload]
    assert [(track.name, track.num_questions) for track in report.tracks] == [
        ("same documents", 10),
        ("new documents", 4),
        ("same documents, without 1 that an example may answer", 9),
    ]
    assert recompute(result.folder) == report
    page = result.html.read_text(encoding="utf-8")
    assert "The last line shows the results without them." in page

"""`pericia check` as a whole: counts, lengths in the model's tokens, truncation, cost, leaks, the pre-flight."""

import json
from pathlib import Path

import pytest

from pericia.check import check, parse_columns
from pericia.config import ColumnsConfig, TrainConfig
from pericia.errors import ConfigError
from pericia.types import Question


def row(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns})


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", row("q", "a"), row("q", "a"), "[]", row("q", "b"))
    report = check(path, settings=TrainConfig(batch_size=2))
    assert (report.num_examples, report.num_duplicates, report.num_errors) == (3, 1, 1)
    assert (report.epochs, report.num_steps, report.lengths) == (25, 25, None)
    assert (report.kinds, report.turns, report.num_without_system) == ({"chat": 3}, {2: 3}, 3)
    assert [(f.code, f.line) for f in report.findings] == [
        ("data_type", 3),
        ("duplicate_example", 2),
        ("contradiction", 4),
    ]
    assert report.as_json()["num_errors"] == 1


def test_splits_and_questions_must_not_share_examples(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", row("How hot is kiln 3?", "900"), row("Who?", "Ann"))
    write(tmp_path / "valid.jsonl", row("how hot is kiln 3", "800"), row("Why?", "So."))
    write(tmp_path / "test.jsonl", row("x", "y"))
    held_out = [Question("q1", "Who?", ("Ann",)), Question("q2", "Why?", ("So.",))]
    report = check(str(tmp_path), questions=held_out)
    assert report.num_validation == 2
    assert sorted((f.code, f.line) for f in report.findings) == [
        ("leak", 2),
        ("leak", 2),
        ("leak_between_splits", 1),
        ("split_ignored", None),
    ]


def test_an_empty_validation_split_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", row("q", "a"))
    report = check(path, validation=write(tmp_path / "v.jsonl", "[]"))
    assert [f.code for f in report.findings] == ["data_type", "validation_empty"]
    assert report.findings[0].message.startswith("validation split: ")


def test_lengths_are_those_of_the_training(tmp_path: Path, tiny_model: Path) -> None:
    short = [row(f"What is part {n}?", f"Valve {n}.") for n in range(9)]
    long = row("Tell me all.", "word " * 200)
    path = write(tmp_path / "x.jsonl", *short, long)
    settings = TrainConfig(max_tokens=64, truncated_share=0.2, epochs=2, batch_size=4)
    report = check(path, base=str(tiny_model), settings=settings, usd_per_million_tokens=10)
    lengths = report.lengths
    assert lengths is not None
    assert lengths.shortest < 64 < lengths.longest
    assert (lengths.num_too_long, lengths.max_tokens) == (1, 64)
    assert 0 < lengths.num_labels < lengths.num_tokens
    assert lengths.cost_usd == pytest.approx(lengths.num_tokens * 2 * 10 / 1e6)
    assert [(f.code, f.line) for f in report.findings] == [("too_long", 10)]
    assert report.num_steps == lengths.num_steps == 2 * 2  # one of the rows is held out
    assert lengths.learning_rate == pytest.approx(2e-4 * 3072 / 64)

    strict = check(path, base=str(tiny_model), settings=TrainConfig(max_tokens=64))
    assert [f.code for f in strict.findings] == ["too_long", "preflight_failed"]
    few = check(path, base=str(tiny_model), settings=TrainConfig(epochs=1))
    assert "2 optimiser step(s) in all" in few.findings[-1].message
    absent = check(path, base=str(tmp_path / "nowhere"))
    assert [f.code for f in absent.findings] == ["not_found"]


def test_columns_come_from_the_config_and_the_command(tmp_path: Path) -> None:
    configured = ColumnsConfig(question="phrase", answer="tone")
    columns = parse_columns(["question=Tone of: {phrase}"], configured)
    assert (columns.question, columns.answer) == ("Tone of: {phrase}", "tone")
    for part in ("question", "asked=phrase"):
        with pytest.raises(ConfigError, match="names no part"):
            parse_columns([part], configured)

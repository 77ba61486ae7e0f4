"""A file of examples as a person looks at it: findings, sides of the split, counts."""

import json
from pathlib import Path

import pytest

from pericia.curate import Book, look
from pericia.types import Question


def line(question: str, answer: str, source: str = "") -> str:
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": chat, **({"source": source} if source else {})})


LINES = [line(f"How hot is kiln {n}?", f"{n}00 °C", f"kiln-{n % 4}.md") for n in range(1, 13)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "examples.jsonl"
    file.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    return tmp_path / "versions"


def seen(path: Path, versions: Path, *questions: Question) -> Book:
    return look(path, questions, validation_share=0.25, seed=1, versions=versions)


def test_every_row_has_its_side_of_the_split_and_its_findings(path: Path, versions: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("no json\n" + LINES[0] + "\n" + line("How hot is kiln 2?", "cold") + "\n")
    asked = Question("q1", "How hot is kiln 7?", ("700 °C",))
    book = seen(path, versions, asked)
    parts = {row.line: row.part for row in book.rows}
    assert parts[13] == "fault"
    assert parts[14] == "left out"
    sides = {part: {r.source for r in book.rows if r.part == part} for part in set(parts.values())}
    assert sides["train"]
    assert sides["validation"]
    assert not sides["train"] & sides["validation"] - {""}
    codes = {row.line: {f.code for f in row.findings} for row in book.rows}
    assert codes[13] == {"no_json"}
    assert next(row.raw for row in book.rows if row.line == 13) == "no json"
    assert "duplicate_example" in codes[14]
    assert "contradiction" in codes[15]
    assert "leak" in codes[7]
    assert book.counts["leaks"] == 1
    assert book.counts["faults"] == 1

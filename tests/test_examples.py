"""The example in examples/: complete, consistent with its documents, and free of leaks."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pericia import documents
from pericia.config import load_config
from pericia.prompts import REFUSAL, is_refusal

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "ostermill"


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


QUESTIONS = _lines("questions.jsonl")
EXAMPLES = _lines("examples.jsonl")


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.fixture(scope="module")
def room() -> Iterator[documents.ReadingRoom]:
    with documents.ReadingRoom(None) as opened:
        yield opened


def _text(source: str, room: documents.ReadingRoom) -> str:
    path = FOLDER / source
    module = documents.READERS.get(path.suffix, ":").split(":")[0]
    if not module or find_spec(module) is None:
        pytest.skip(f"no reader for {path.suffix} yet")
    return " ".join(room.read(path, source).text.split())


def test_the_config_loads_and_names_what_is_there() -> None:
    config = load_config(FOLDER / "pericia.yaml")
    assert config.questions is not None
    assert config.examples is not None
    for name in (*config.documents, config.questions, config.examples):
        assert (FOLDER / name).exists()
    assert config.use.goal


def test_documents_are_about_forty_in_the_real_formats() -> None:
    files = [path for path in (FOLDER / "documents").rglob("*") if path.is_file()]
    assert 38 <= len(files) <= 50
    suffixes = {path.suffix for path in files}
    assert suffixes == {
        ".md", ".txt", ".html", ".csv", ".pdf", ".docx", ".pptx", ".xlsx", ".eml"
    }  # fmt: skip
    assert sum(path.suffix == ".xlsx" for path in files) == 2


def test_questions_have_their_fields_and_enough_families() -> None:
    ids = [question["id"] for question in QUESTIONS]
    assert len(set(ids)) == len(ids)
    assert len({question["family"] for question in QUESTIONS}) >= 20
    assert {question["kind"] for question in QUESTIONS} == {
        "fact", "table", "join", "terms", "unanswerable", "free"
    }  # fmt: skip
    for question in QUESTIONS:
        answerable = question["kind"] != "unanswerable"
        assert bool(question["answers"]) == bool(question["sources"]) == answerable
        assert len(question["sources"]) >= (2 if question["kind"] == "join" else answerable)
    share = sum(not question["answers"] for question in QUESTIONS) / len(QUESTIONS)
    assert 0.12 <= share <= 0.18


def test_every_source_exists() -> None:
    for row in [*QUESTIONS, *EXAMPLES]:
        for source in row.get("sources", [row["source"]] if "source" in row else []):
            assert (FOLDER / source).is_file()


SOURCES = sorted(
    {
        question["sources"][-1]
        for question in QUESTIONS
        if question["kind"] in ("fact", "table", "join", "free")
    }
)


@pytest.mark.parametrize("source", SOURCES)
def test_every_answer_stands_in_its_source(source: str, room: documents.ReadingRoom) -> None:
    """Terms are left out on purpose: the house's words are not those of its papers."""
    text = _text(source, room)
    asked = [q for q in QUESTIONS if source in q["sources"][-1:] and q["kind"] != "terms"]
    for question in asked:
        assert question["answers"][0] in text, question["id"]


def test_no_held_out_question_appears_among_the_examples() -> None:
    held_out = {_words(question["question"]) for question in QUESTIONS}
    asked = [_words(example["messages"][0]["content"]) for example in EXAMPLES]
    assert len(held_out) == len(QUESTIONS)
    assert len(set(asked)) == len(asked)
    assert not held_out & set(asked)


def test_no_example_answers_a_held_out_question_in_other_words() -> None:
    """An example with the answer of a held-out question about the same thing would be a paraphrase of it."""
    for question in QUESTIONS:
        for answer in question["answers"]:
            names = re.findall(r"\b(?:[A-Z][\w-]* )*[A-Z]+-?\d+\b", question["question"])
            for example in EXAMPLES:
                user, assistant = (message["content"] for message in example["messages"])
                if assistant == answer and names and question["kind"] not in ("join", "free"):
                    assert names[-1] not in user, (question["id"], user)


def test_examples_are_short_chats_of_which_some_decline() -> None:
    declined = 0
    for example in EXAMPLES:
        assert [message["role"] for message in example["messages"]] == ["user", "assistant"]
        answer = example["messages"][1]["content"]
        assert answer
        assert is_refusal(answer) == (answer == REFUSAL) == ("source" not in example)
        declined += answer == REFUSAL
    assert len(EXAMPLES) == 240
    assert 0.12 <= declined / len(EXAMPLES) <= 0.18


def test_the_committed_files_are_what_the_script_writes(tmp_path: Path) -> None:
    """Texts byte for byte; office files and PDFs depend on their libraries' versions, so only that they are there."""
    script = FOLDER / "build.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    committed = [path for path in FOLDER.glob("documents/**/*") if path.is_file()]
    committed += [FOLDER / "questions.jsonl", FOLDER / "examples.jsonl"]
    assert written == sorted(path.relative_to(FOLDER) for path in committed)
    for path in written:
        if path.suffix in (".md", ".txt", ".html", ".csv", ".eml", ".jsonl"):
            assert (tmp_path / path).read_bytes() == (FOLDER / path).read_bytes(), path

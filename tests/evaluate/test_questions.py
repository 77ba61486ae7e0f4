"""A file of questions: what is read, and every fault with file and line."""

import json
from pathlib import Path

import pytest

from pericia.errors import InputError
from pericia.evaluate.questions import read_questions
from pericia.types import Question


def test_questions_are_read_with_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    lines = [
        {"question": "How hot?", "answers": ["900 °C"], "sources": ["kiln.md"]},
        {"id": "u1", "question": "Who?", "answers": []},
        {"id": "f1", "question": "When?", "answers": ["noon"], "family": "day", "kind": "fact"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert read_questions(path) == (
        Question("line-1", "How hot?", ("900 °C",), ("kiln.md",), "kiln.md"),
        Question("u1", "Who?", (), (), "u1"),
        Question("f1", "When?", ("noon",), (), "day", "fact"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no question"),
        ("\n\n", "holds no question"),
        ("{", "line 1: no JSON"),
        ("[1]", "line 1: expected an object, found list"),
        ('{"question": "q"}', "line 1: 'answers' is missing"),
        ('{"question": "q", "answers": "a"}', "line 1: 'answers' is 'a'"),
        ('{"question": "q", "answers": [""]}', "line 1: 'answers' is"),
        ('{"answers": ["a"]}', "line 1: 'question' is missing"),
        ('{"question": "q", "answer": ["a"]}', "unknown key 'answer'; did you mean 'answers'?"),
        ('{"question": "q", "answers": ["a"], "old_answers": "b"}', "'old_answers' is 'b'"),
        (
            '{"question": "q", "answers": ["a"], "old_answers": ["a"]}',
            "an old answer is wrong today",
        ),
        ('{"question": "q", "answers": []}', "No question of"),
        ('{"question": "q", "answers": ["a"], "sources": "s"}', "'sources' is 's'"),
        (
            '{"id": "1", "question": "q", "answers": ["a"]}\n{"id": "1", "question": "r", "answers": []}',
            "line 2: id '1' stands already in line 1",
        ),
        (
            '{"question": "q", "answers": ["a"], "sources": ["kilns.md"]}',
            "source 'kilns.md' is no document; did you mean 'docs/kiln.md'?",
        ),
    ],
)
def test_faults_are_named_with_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_questions(path, {"docs/kiln.md"})
    assert message in caught.value.message
    assert "questions.jsonl" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "q"}\n' * 14, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_questions(path)
    assert "line 10:" in caught.value.message
    assert "and 4 more faults" in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_questions(tmp_path / "questions.jsonl")

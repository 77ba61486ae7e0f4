"""Examples in a person's hands: changed, imported, undone, and never overwritten unseen."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pericia.amend import add, bring_in, change, columns_of, remove, undo
from pericia.curate import Book, look
from pericia.errors import ConflictError, InputError, NotFoundError
from pericia.examples import read_examples
from pericia.recast import Columns
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


def test_a_row_is_changed_and_the_change_undone(path: Path, versions: Path) -> None:
    before = path.read_bytes()
    book = seen(path, versions)
    change(path, versions, book.sha256, 3, "How hot is it? ", " 1 °C", "new.md")
    row = seen(path, versions).rows[2]
    assert (row.question, row.answer, row.source) == ("How hot is it?", "1 °C", "new.md")
    undo(path, versions)
    assert path.read_bytes() == before
    with pytest.raises(NotFoundError):
        undo(path, versions)


def test_two_tabs_do_not_overwrite_each_other(path: Path, versions: Path) -> None:
    book = seen(path, versions)
    remove(path, versions, book.sha256, 1)
    with pytest.raises(ConflictError, match="has changed"):
        change(path, versions, book.sha256, 1, "q", "a", "")
    assert seen(path, versions).rows[0].question == "How hot is kiln 2?"


def test_other_turns_and_keys_of_a_row_stay(tmp_path: Path, versions: Path) -> None:
    path = tmp_path / "e.jsonl"
    turns = [("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2")]
    chat = [{"role": role, "content": text} for role, text in (*turns, ("assistant", "a2"))]
    path.write_text(json.dumps({"messages": chat, "id": "x", "source": "old"}), encoding="utf-8")
    change(path, versions, seen(path, versions).sha256, 1, "new?", "new!", "")
    row = json.loads(path.read_text(encoding="utf-8"))
    assert [m["content"] for m in row["messages"]] == ["s", "u1", "a1", "new?", "new!"]
    assert row["id"] == "x"
    assert "source" not in row


@pytest.mark.parametrize(
    ("question", "answer", "param"), [(" ", "a", "question"), ("q", "", "answer")]
)
def test_an_empty_text_is_named(
    path: Path, versions: Path, question: str, answer: str, param: str
) -> None:
    with pytest.raises(InputError) as refused:
        add(path, versions, None, question, answer, "")
    assert refused.value.param == param
    assert not list(versions.glob("*.jsonl"))


def test_the_first_example_makes_the_file(tmp_path: Path, versions: Path) -> None:
    path = tmp_path / "examples.jsonl"
    assert seen(path, versions).rows == ()
    assert add(path, versions, None, "q?", "a", "") == 1
    assert [row.question for row in seen(path, versions).rows] == ["q?"]
    assert seen(path, versions).general[0].code == "no_split"


def test_a_table_is_imported_by_its_columns_and_faults_are_left_out(
    tmp_path: Path, path: Path, versions: Path
) -> None:
    upload = tmp_path / "tickets.csv"
    upload.write_text("ticket,reply,about\nIs it hot?,Yes,a.md\n,No,a.md\n", encoding="utf-8")
    assert columns_of(upload) == ("ticket", "reply", "about")
    columns = Columns(question="ticket", answer="reply", source="about")
    tried = bring_in(upload, path, versions, columns=columns, dry=True)
    assert tried.num_added == 1
    assert [f.line for f in tried.findings if f.level == "error"] == [3]
    assert len(seen(path, versions).rows) == 12
    bring_in(upload, path, versions, columns=columns)
    last = seen(path, versions).rows[-1]
    assert (last.line, last.question, last.source) == (13, "Is it hot?", "a.md")
    bring_in(upload, path, versions, columns=columns, replace=True)
    assert len(seen(path, versions).rows) == 1
    empty = tmp_path / "bad.jsonl"
    empty.write_text("{}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1"):
        bring_in(empty, path, versions)


def test_only_jsonl_is_edited(tmp_path: Path, versions: Path) -> None:
    path = tmp_path / "examples.csv"
    path.write_text("question,answer\nq,a\n", encoding="utf-8")
    book = seen(path, versions)
    assert not book.is_editable
    with pytest.raises(InputError, match="edited where it comes from"):
        remove(path, versions, book.sha256, 2)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            *[
                st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
                .map(str.strip)
                .filter(bool)
            ]
            * 2
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_was_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("e")
    path = folder / "examples.jsonl"
    for question, answer in pairs:
        add(path, folder / "versions", None, question, answer, "s.md")
    examples, findings = read_examples(path)
    assert [(e.question, e.answer) for e in examples] == pairs
    assert not [f for f in findings if f.level == "error"]

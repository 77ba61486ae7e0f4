"""Data sets: duplicates go, whole documents are held out, chats are those of the product, leaks are found."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.config import parse_config
from pericia.dataset import closed_book, leaks, make_dataset, open_book, read_dataset
from pericia.errors import InputError
from pericia.prompts import REFUSAL, closed_book_prompt
from pericia.types import (
    Chunk,
    Context,
    Example,
    Message,
    Passage,
    Place,
    Question,
    ToolCall,
)
from pericia.workspace import Workspace
from tests.gearboxes import gearbox_examples


def example(question: str, answer: str, line: int = 1, source: str = "") -> Example:
    messages = (Message("user", question), Message("assistant", answer))
    return Example(messages, f"e{line}", line, source)


def passage(source: str, text: str, rank: int) -> Passage:
    return Passage(Chunk(f"{source}{rank}", source, source, text, 0, len(text), Place()), rank, 1.0)


def test_exact_and_near_duplicates_are_dropped_and_counted() -> None:
    long = "What is the highest pressure that the feed pump of line 3 may ever reach"
    rows = [
        example("How hot is kiln 3?", "900 °C", 1),
        example("how hot is kiln 3", "900 °C.", 2),  # the same words
        example(f"{long}?", "42 bar", 3),
        example(f"{long} now?", "42 bar", 4),  # nearly the same question, the same answer
        example(f"{long.replace('3', '4')}?", "42 bar", 5),  # another line: no duplicate
        example("How hot is kiln 3?", "800 °C", 6),  # contradiction, kept
    ]
    dataset = make_dataset(rows, validation_share=0.3, seed=0)
    kept = sorted(e.line for e in (*dataset.train, *dataset.validation))
    assert kept == [1, 3, 5, 6]
    assert dataset.num_duplicates == 2
    assert [(f.code, f.line) for f in dataset.findings] == [
        ("duplicate_example", 2),
        ("near_duplicate_example", 4),
        ("contradiction", 6),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30), st.integers()
)
def test_a_document_is_never_split(shape: list[tuple[int, bool]], seed: int) -> None:
    rows = [
        example(f"question {i}", f"answer {i}", i, f"doc {doc}" if has_source else "")
        for i, (doc, has_source) in enumerate(shape)
    ]
    families = {e.source or e.id for e in rows}
    if len(families) < 2:
        with pytest.raises(InputError):
            make_dataset(rows, validation_share=0.2, seed=seed)
        return
    dataset = make_dataset(rows, validation_share=0.2, seed=seed)
    assert dataset.train
    assert dataset.validation
    assert sorted(e.line for e in (*dataset.train, *dataset.validation)) == list(range(len(rows)))
    sources = {e.source for e in dataset.train if e.source}
    assert not sources & {e.source for e in dataset.validation}


def test_the_hash_knows_rows_order_and_split() -> None:
    rows = gearbox_examples()
    first = make_dataset(rows, validation_share=0.1, seed=1)
    assert make_dataset(rows, validation_share=0.1, seed=1) == first
    changed = [replace(rows[0], messages=(rows[0].messages[0], Message("assistant", "x")))]
    others = [
        make_dataset(rows, validation_share=0.1, seed=2),
        make_dataset(rows[::-1], validation_share=0.1, seed=1),
        make_dataset(changed + rows[1:], validation_share=0.1, seed=1),
    ]
    assert len({first.sha256, *(other.sha256 for other in others)}) == 4


def test_closed_book_is_the_chat_that_is_sent_and_keeps_earlier_turns() -> None:
    turns = (
        Message("system", "old"),
        Message("user", "hello"),
        Message("assistant", "hi"),
        Message("user", "q"),
        Message("assistant", "a"),
    )
    rows = [example("q1", "a1", 1), Example(turns, "m", 2)]
    book = closed_book(make_dataset(rows, validation_share=0.5, seed=0), "Be brief.")
    single, several = sorted((*book.train, *book.validation), key=lambda e: e.line)
    assert single.messages[:-1] == closed_book_prompt("q1", "Be brief.").messages
    assert single.messages[-1] == Message("assistant", "a1")
    assert [m.content for m in several.messages[1:]] == ["hello", "hi", "q", "a"]


def test_open_book_cites_the_passage_that_holds_the_answer_or_refuses() -> None:
    rows = [
        example("held", "42 bar", 1, "b.md"),
        example("not literally there", "forty", 2, "b.md"),
        example("document not found", "7", 3, "z.md"),
        example("about nothing", "hello", 4),
        example("unanswerable", "I don't know.", 5, "b.md"),
    ]
    passages = (
        passage("a.md", "42 bar", 1),
        passage("b.md", "The pump.", 2),
        passage("b.md", "It is 42 bar.", 3),
    )
    dataset = make_dataset(rows, validation_share=0.2, seed=0)
    book = open_book(dataset, "Be brief.", lambda question: Context(passages))
    answers = {e.line: e.answer for e in (*book.train, *book.validation)}
    assert answers == {1: "42 bar [3]", 2: "forty [2]", 3: REFUSAL, 4: "hello", 5: "I don't know."}
    assert [f.code for f in book.findings] == ["source_not_found"]
    assert book.findings[0].message.startswith("1 of 5")
    assert book.sha256 != dataset.sha256


def test_leaks_are_found_in_each_way() -> None:
    run = "the feed pump of the second line must be stopped before its filter is changed"
    questions = [
        Question("q1", "How hot is kiln 3?", ("900",)),
        Question("q2", "What is the highest pressure that the feed pump of line 3 may reach?", ()),
        Question("q3", "When?", (run,)),
    ]
    rows = [
        example("How hot is kiln 3", "x", 1),
        example("What is the highest pressure that the feed pump of line 3 may reach now?", "y", 2),
        example("Tell me.", f"Note: {run}.", 3),
        example("How hot is kiln 4?", "800", 4),
    ]
    found = leaks(make_dataset(rows, validation_share=0.3, seed=0), questions)
    assert sorted(f.line or 0 for f in found) == [1, 2, 3]
    assert all(f.level == "error" and "held-out" in f.message for f in found)


def test_too_few_documents_are_refused() -> None:
    rows = [example("a", "b", 1, "one.md"), example("c", "d", 2, "one.md")]
    with pytest.raises(InputError, match="1 documents"):
        make_dataset(rows, validation_share=0.1, seed=0)


def test_what_asks_nearly_the_same_is_in_one_split() -> None:
    long = "What should one do first when the feed pump of the second line loses its pressure"
    rows = [example(f"{long}{end}", f"answer {i}", i) for i, end in enumerate(("?", " now?"))]
    rows += [example(f"another thing {i} altogether", f"a{i}", i) for i in range(2, 9)]
    for seed in range(20):
        dataset = make_dataset(rows, validation_share=0.3, seed=seed)
        held_out = {e.line for e in dataset.validation}
        assert len(held_out & {0, 1}) in (0, 2)


def test_a_given_validation_split_is_taken_whole() -> None:
    rows = [example(f"q{i}", f"a{i}", i) for i in range(4)]
    dataset = make_dataset(rows[:3], validation_share=0.5, seed=0, validation=rows[3:])
    assert (dataset.train, dataset.validation) == (tuple(rows[:3]), (rows[3],))
    with pytest.raises(InputError, match="line 1: the same example stands in line 1"):
        make_dataset(rows[:3], validation_share=0.5, seed=0, validation=rows[1:2])
    with pytest.raises(InputError, match="holds no example"):
        make_dataset(rows[:3], validation_share=0.5, seed=0, validation=[])


def test_a_template_that_all_share_makes_no_near_duplicates() -> None:
    template = (
        "Say in one word which of these four tones the following phrase of a customer has, please: "
    )
    phrases = ["it works", "it broke", "I fear it", "oh really", "how sad", "well done"] * 8
    rows = [example(f"{template}{p} {i % 7}{'x' * i}", "joy", i) for i, p in enumerate(phrases)]
    dataset = make_dataset(rows, validation_share=0.2, seed=0)
    assert dataset.num_duplicates == 0


def test_calls_of_tools_stay_in_the_chat_that_is_trained() -> None:
    call = ToolCall("c1", "weigh", '{"model": "PX-20"}')
    turns = (
        Message("user", "How heavy is PX-20?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "96", tool_call_id="c1"),
        Message("assistant", "96 kg"),
    )
    rows = [Example(turns, "t", 1), Example(turns[:2], "u", 2), example("q", "a", 3)]
    made = make_dataset(rows, validation_share=0.3, seed=0)
    assert made.num_duplicates == 0
    book = closed_book(made, "Be brief.")
    by_line = {e.line: e.messages for e in (*book.train, *book.validation)}
    assert by_line[1][1:] == turns
    assert by_line[2][1:] == turns[:2]


def test_a_config_names_examples_validation_and_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("phrase,tone\nHooray,joy\nOh no,fear\n", encoding="utf-8")
    (tmp_path / "dev.csv").write_text("phrase,tone\nAlas,sadness\n", encoding="utf-8")
    columns = {"question": "Tone of: {phrase}", "answer": "tone"}
    config = parse_config(
        {"examples": "rows.csv", "validation": "dev.csv", "columns": columns}, "test"
    )
    dataset, findings = read_dataset(config, Workspace(tmp_path))
    assert [e.question for e in dataset.train] == ["Tone of: Hooray", "Tone of: Oh no"]
    assert [e.answer for e in dataset.validation] == ["sadness"]
    assert findings == ()

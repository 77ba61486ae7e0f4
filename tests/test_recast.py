"""Rows of other tools: the same example comes out whatever shape it went in."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.check import check
from pericia.errors import ConfigError
from pericia.examples import read_examples
from pericia.recast import Columns, recast
from pericia.types import Example, Finding

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
CHAT = [{"role": "user", "content": "How hot?"}, {"role": "assistant", "content": "900"}]
ASKED, TOLD, WRONG = CHAT[:1], CHAT[1:], [{"role": "assistant", "content": "800"}]
SAME: dict[str, Any] = {
    "openai": {"messages": CHAT},
    "chat as text": {"messages": json.dumps(CHAT)},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "How hot?"}]}, TOLD[0]]},
    "pairs": {"question": "How hot?", "answer": "900"},
    "squad": {"question": "How hot?", "answers": {"text": ["900", "900 °C"], "answer_start": [1, 1]}},
    "completion": {"prompt": "How hot?", "completion": "900"},
    "chats of trl": {"prompt": ASKED, "completion": TOLD},
    "alpaca": {"instruction": "How hot?", "input": "", "output": "900"},
    "sharegpt": {"conversations": [{"from": "human", "value": "How hot?"}, {"from": "gpt", "value": "900"}]},
    "phi": {"text": "<|user|>\nHow hot? <|end|>\n<|assistant|> \n900 <|end|>"},
    "chatml": {"text": "<|im_start|>user\nHow hot?<|im_end|>\n<|im_start|>assistant\n900<|im_end|>\n"},
    "llama 3": {"text": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHow hot?<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n900<|eot_id|>"},
    "llama 2": {"text": "<s>[INST] How hot? [/INST] 900 </s>"},
    "gemma": {"text": "<bos><start_of_turn>user\nHow hot?<end_of_turn>\n<start_of_turn>model\n900<end_of_turn>"},
    "guanaco": {"text": "### Human: How hot?### Assistant: 900".replace("?#", "?\n#")},
}  # fmt: skip
PAIRS: dict[str, Any] = {
    "texts": {"prompt": "How hot?", "chosen": "900", "rejected": "800"},
    "whole chats": {"prompt": "How hot?", "chosen": CHAT, "rejected": [*ASKED, *WRONG]},
    "implicit": {"chosen": CHAT, "rejected": [*ASKED, *WRONG]},
    "apart": {"prompt": ASKED, "chosen": TOLD, "rejected": WRONG},
    "openai": {"input": {"messages": ASKED}, "preferred_output": TOLD, "non_preferred_output": WRONG},
    "anthropic": {"chosen": "\n\nHuman: How hot?\n\nAssistant: 900", "rejected": "\n\nHuman: How hot?\n\nAssistant: 800"},
}  # fmt: skip


def read(
    tmp_path: Path, row: object, columns: Columns | None = None
) -> tuple[tuple[Example, ...], tuple[Finding, ...]]:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    return read_examples(path, columns)


@pytest.mark.parametrize("name", SAME)
def test_every_shape_gives_the_same_example(name: str, tmp_path: Path) -> None:
    (example,), findings = read(tmp_path, SAME[name])
    assert (example.question, example.answer) == ("How hot?", "900")
    assert len(example.messages) == 2
    said = ["rendered_text_read"] if "text" in SAME[name] else []
    assert [f.code for f in findings] == said


@pytest.mark.parametrize("name", PAIRS)
def test_every_preference_shape_gives_the_same_pair(name: str, tmp_path: Path) -> None:
    (example,), findings = read(tmp_path, PAIRS[name])
    assert (example.question, example.answer, example.rejected) == ("How hot?", "900", "800")
    assert example.is_preference
    assert findings == ()


def test_pairs_that_are_none_are_faults(tmp_path: Path) -> None:
    other = [{"role": "user", "content": "How cold?"}, *WRONG]
    for row in (
        {"prompt": "q", "chosen": "a", "rejected": "a"},
        {"prompt": "q", "chosen": "a", "rejected": " "},
        {"chosen": CHAT, "rejected": other},
        {"input": {"messages": ASKED}, "preferred_output": TOLD, "non_preferred_output": []},
    ):
        examples, findings = read(tmp_path, row)
        assert not examples
        assert "rejected_invalid" in {f.code for f in findings}
    _, [fault] = read(tmp_path, {"prompt": "q", "completion": "bad", "label": False})
    assert fault.code == "unpaired_preference"


def test_columns_and_templates(tmp_path: Path) -> None:
    row = {"phrase": "Hooray", "tone": "joy", "by": "Ann", "doc": "d.md"}
    columns = Columns("Tone of: {phrase}", "{tone}!", system="You know {by}.", source="doc")
    (example,), findings = read(tmp_path, row, columns)
    assert [m.content for m in example.messages] == ["You know Ann.", "Tone of: Hooray", "joy!"]
    assert (example.source, findings) == ("d.md", ())
    (plain,), _ = read(tmp_path, row, Columns(text="phrase"))
    assert plain.is_text
    (pair,), _ = read(tmp_path, row, Columns("phrase", "tone", rejected="by"))
    assert pair.rejected == "Ann"
    (chat,), _ = read(tmp_path, {"turns": str(CHAT)}, Columns(messages="turns"))
    assert chat.answer == "900"
    none, [fault, *_] = read(tmp_path, row, Columns("{phrases}", "tone"))
    assert not none
    assert fault.code == "column_missing"
    assert "phrases" in fault.message


@pytest.mark.parametrize(
    "given",
    [{"question": "{", "answer": "a"}, {"question": "{a.b}", "answer": "a"}, {"question": "a"}],
)
def test_columns_that_make_no_example_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Columns(**given)


def test_two_columns_are_taken_in_order_and_that_is_said(tmp_path: Path) -> None:
    (example,), [finding] = read(tmp_path, {"ask": "How hot?", "say": "900"})
    assert (example.question, example.answer) == ("How hot?", "900")
    assert finding.code == "columns_guessed"


def test_what_is_not_used_is_said(tmp_path: Path) -> None:
    _, [finding] = read(tmp_path, {"question": "q", "answer": "a", "topic": "t"})
    assert finding.code == "column_unused"
    assert "'topic' of 1 rows" in finding.message


def test_plain_text_is_one_message_that_is_learnt(tmp_path: Path) -> None:
    (example,), [finding] = read(tmp_path, {"text": "Kilns are hot."})
    assert example.is_text
    assert example.messages[0].content == "Kilns are hot."
    assert finding.code == "text_read"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "messages",
        "conversations",
        "role",
        "content",
        "from",
        "value",
        "weight",
        "tool_calls",
        "tools",
        "functions",
        "function_call",
        "input",
        "prompt",
        "chosen",
        "rejected",
        "question",
        "answer",
        "answers",
        "text",
        "label",
        "history",
        "instruction",
        "output",
        "preferred_output",
        "non_preferred_output",
        "source",
        "id",
        "name",
    ]
)


@given(
    st.dictionaries(keys, values | st.lists(st.dictionaries(keys, values, max_size=4), max_size=3))
)
def test_no_row_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]
) -> None:
    examples, findings = read(tmp_path_factory.mktemp("fuzz"), row)
    assert examples or any(f.level == "error" for f in findings)
    recast(row, Columns("{question}", "answer"))


@pytest.mark.skipif(not (DATA / "phi3cookbook").exists(), reason="the data are not here")
def test_the_duplicates_of_the_cookbook_are_found() -> None:
    report = check(str(DATA / "phi3cookbook" / "dataset-classification.json"))
    assert report.num_examples == 1464
    exact = [f for f in report.findings if f.code == "duplicate_example"]
    assert len(exact) == 321
    assert report.num_duplicates - report.num_near_duplicates == 321
    assert report.num_errors == 0


@pytest.mark.skipif(not (DATA / "instructlab_qna").exists(), reason="the data are not here")
def test_every_instructlab_file_is_read() -> None:
    files = sorted((DATA / "instructlab_qna").rglob("qna.yaml"))
    assert len(files) == 16
    assert sum(len(read_examples(file)[0]) for file in files) == 97


@pytest.mark.skipif(not (DATA / "phi3cookbook").exists(), reason="the data are not here")
def test_a_rendered_chat_is_read_without_its_markers() -> None:
    examples, findings = read_examples(DATA / "phi3cookbook" / "mlx" / "valid.jsonl")
    assert len(examples) == 51
    assert not any("<|" in m.content for e in examples for m in e.messages)
    assert [f.code for f in findings] == ["rendered_text_read"]


@pytest.mark.skipif(not (DATA / "instructlab_qna").exists(), reason="the data are not here")
def test_a_folder_of_instructlab_is_one_source() -> None:
    examples, _ = read_examples(DATA / "instructlab_qna")
    assert len(examples) == 97
    assert len({example.file for example in examples}) == 16
    assert all(example.line > 1 for example in examples)

"""Chats with tools: read in both of OpenAI's forms, every fault named."""

import json
from pathlib import Path
from typing import Any

import pytest

from pericia.examples import as_chat, read_examples
from pericia.types import Example, Finding, ToolCall

TOOLS = [{"type": "function", "function": {"name": "weigh", "parameters": {"type": "object"}}}]
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weigh", "arguments": '{"model": "PX-20"}'},
}
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "How heavy is PX-20?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "96"},
    {"role": "assistant", "content": "96 kg"},
]


def read(tmp_path: Path, row: dict[str, Any]) -> tuple[tuple[Example, ...], tuple[Finding, ...]]:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    return read_examples(path)


def test_tools_and_calls_are_read_and_written_again(tmp_path: Path) -> None:
    (example,), findings = read(
        tmp_path, {"messages": CHAT, "tools": TOOLS, "parallel_tool_calls": False}
    )
    assert findings == ()
    assert example.tools == tuple(TOOLS)
    assert example.messages[1].tool_calls == (ToolCall("c1", "weigh", '{"model": "PX-20"}'),)
    written = as_chat(example.messages)
    assert written == [CHAT[0], CHAT[1] | {"content": ""}, *CHAT[2:]]


def test_the_older_form_becomes_the_newer(tmp_path: Path) -> None:
    function = {"name": "weigh", "arguments": "{}"}
    messages = [
        CHAT[0],
        {"role": "assistant", "content": None, "function_call": function},
        {"role": "function", "name": "weigh", "content": "96"},
        CHAT[3],
    ]
    (example,), findings = read(
        tmp_path, {"messages": messages, "functions": [TOOLS[0]["function"]]}
    )
    assert findings == ()
    assert example.tools == tuple(TOOLS)
    [call] = example.messages[1].tool_calls
    assert (example.messages[2].role, example.messages[2].tool_call_id) == ("tool", call.id)


def broken(position: int, **change: Any) -> list[dict[str, Any]]:
    return [m | change if i == position else m for i, m in enumerate(CHAT)]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (broken(1, tool_calls="weigh"), "tool_call_invalid"),
        (broken(1, tool_calls=[CALL | {"id": ""}]), "tool_call_invalid"),
        (
            broken(1, tool_calls=[CALL | {"function": {"name": "weigh", "arguments": "{"}}]),
            "tool_call_invalid",
        ),
        (
            broken(1, tool_calls=[CALL | {"function": {"name": "fly", "arguments": "{}"}}]),
            "tool_undefined",
        ),
        (broken(2, tool_call_id="c2"), "tool_call_unknown"),
        (broken(2, tool_call_id=["c1"]), "tool_call_unknown"),
        ([*CHAT[:2], CHAT[3]], "tool_call_unanswered"),
        (broken(0, tool_calls=[CALL | {"id": "c0"}]), "tool_call_invalid"),
        (broken(0, role="robot"), "unrecognized_role"),
    ],
)
def test_faults(tmp_path: Path, messages: list[dict[str, Any]], code: str) -> None:
    examples, findings = read(tmp_path, {"messages": messages, "tools": TOOLS})
    assert not examples
    assert code in {f.code for f in findings if f.level == "error"}


def test_tools_that_are_none(tmp_path: Path) -> None:
    for tools in ("weigh", [{"type": "function"}], [1]):
        _, findings = read(tmp_path, {"messages": CHAT, "tools": tools})
        assert "tools_invalid" in {f.code for f in findings}


def test_a_weight_silences_an_answer(tmp_path: Path) -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "bad", "weight": 0},
        {"role": "user", "content": "q2"},
        {"role": "assistant", "content": "good", "weight": 1},
        {"role": "user", "content": "q3"},
        {"role": "assistant", "content": "worse", "weight": 0},
    ]
    (example,), [finding] = read(tmp_path, {"messages": turns})
    assert [m.trains for m in example.messages] == [True, False, True, True]
    assert example.answer == "good"
    assert finding.code == "untrained_end"
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"weight": 2}, "weight_invalid"),
        ({"role": "user", "weight": 0}, "weight_invalid"),
    )
    for change, code in changes:
        _, findings = read(tmp_path, {"messages": [turns[0], turns[1] | change, *turns[2:4]]})
        assert code in {f.code for f in findings}
    _, findings = read(tmp_path, {"messages": turns[:2]})
    assert [f.code for f in findings] == ["example_missing_assistant_message"]

"""Calls of functions in a training chat: their faults, and their form in our words.

Read are `tools` with `tool_calls`, and the older `functions` with `function_call`, which become the former.
Source: OpenAI's guide on fine-tuning, "Function calling", and the message shapes of its chat API.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pericia.said import said
from pericia.types import ToolCall

_SHAPE = '{"id": "call_1", "type": "function", "function": {"name": "…", "arguments": "{…}"}}'


def tool_faults(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield code and message of each fault in the tools and calls of a row in OpenAI's chat shape."""
    tools = row.get("tools", row.get("functions"))
    names = None if tools is None else _names(tools)
    if tools is not None and names is None:
        yield "tools_invalid", said("'tools' is a list of functions with names.")
    asked: dict[str, int] = {}
    for position, message in enumerate(row["messages"], start=1):
        if not isinstance(message, dict):
            continue
        for call in _calls(message):
            if call is None:
                yield (
                    "tool_call_invalid",
                    said(
                        "message %(n)s: a tool call is not like %(shape)s", n=position, shape=_SHAPE
                    ),
                )
                continue
            asked[call.id] = position
            if names is not None and call.name not in names:
                yield (
                    "tool_undefined",
                    said(
                        "message %(n)s: no tool is called '%(name)s'.", n=position, name=call.name
                    ),
                )
        if _calls(message) and message.get("role") != "assistant":
            yield (
                "tool_call_invalid",
                said("message %(n)s: only the assistant calls tools.", n=position),
            )
        answered = message.get("tool_call_id")
        known = isinstance(answered, str) and asked.pop(answered, None) is not None
        if message.get("role") == "tool" and not known:
            yield (
                "tool_call_unknown",
                said(
                    "message %(n)s: it answers the call %(call)s, which nobody made.",
                    n=position,
                    call=repr(answered),
                ),
            )
    last = len(row["messages"])
    for id_, position in asked.items():
        if position != last and not id_.startswith(_OLD_CALL):
            yield (
                "tool_call_unanswered",
                said("message %(n)s: the call '%(call)s' has no answer.", n=position, call=id_),
            )


def as_tool_calls(
    row: Mapping[str, Any],
) -> tuple[list[tuple[tuple[ToolCall, ...], str]], tuple[Mapping[str, object], ...]]:
    """Return for each message its calls and the id of the call that it answers, and the tools of the row."""
    made = []
    latest = ""
    for position, message in enumerate(row["messages"], start=1):
        calls = tuple(call for call in _calls(message, position) if call is not None)
        latest = calls[-1].id if calls else latest
        is_old_answer = message.get("role") == "function"
        made.append((calls, latest if is_old_answer else str(message.get("tool_call_id") or "")))
    tools = row.get("tools") or [
        {"type": "function", "function": function} for function in row.get("functions") or ()
    ]
    return made, tuple(tools)


_OLD_CALL = "function_call_"


def _calls(message: Mapping[str, Any], position: int = 0) -> Sequence[ToolCall | None]:
    """Return the calls of a message; None where one is none."""
    if isinstance(old := message.get("function_call"), dict):
        old_call = {"id": f"{_OLD_CALL}{position}", "type": "function", "function": old}
        return [_call(old_call)]
    calls = message.get("tool_calls")
    if calls is None or calls == []:
        return []
    return [_call(call) for call in calls] if isinstance(calls, list) else [None]


def _call(call: Any) -> ToolCall | None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        return None
    name, arguments = function.get("name"), function.get("arguments", "{}")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    id_ = call.get("id")
    texts = (id_, name, arguments)
    if not all(isinstance(text, str) and text for text in texts) or not _is_object(arguments):
        return None
    return ToolCall(str(id_), str(name), str(arguments))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _names(tools: Any) -> set[str] | None:
    if not isinstance(tools, list):
        return None
    found = set()
    for tool in tools:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            return None
        found.add(name)
    return found

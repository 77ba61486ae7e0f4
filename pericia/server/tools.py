"""Functions that a chat's model may call: told in words, so any chat template can do it, and called in JSON.

Where a call is required the answer is held to its JSON Schema; otherwise the model decides, and an answer that is a
call is recognised.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from pericia.prompts import TOOL_RESULT, TOOLS
from pericia.server.chat_schemas import ChatRequest, ChosenTool, Function
from pericia.server.wire import RequestError
from pericia.types import Message, ToolCall

_ANY_OBJECT: dict[str, Any] = {"type": "object"}


def callable_functions(body: ChatRequest) -> tuple[Function, ...]:
    """Return the functions that may be called now.

    Raises:
        RequestError: the one to be called is none of the tools, or a call is required and there are none.
    """
    functions = tuple(tool.function for tool in body.tools or ())
    choice = body.tool_choice
    if choice == "none":
        return ()
    if choice == "required" and not functions:
        text = "'tool_choice' requires a call, and there are no tools."
        raise RequestError(text, code="invalid_value", param="tool_choice")
    if isinstance(choice, ChosenTool):
        chosen = tuple(f for f in functions if f.name == choice.function.name)
        if not chosen:
            text = f"There is no tool '{choice.function.name}'."
            raise RequestError(text, code="invalid_value", param="tool_choice")
        return chosen
    return functions


def call_schema(functions: Sequence[Function]) -> str:
    """Return the JSON Schema of a call of one of the functions."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function.name},
                "arguments": function.parameters or _ANY_OBJECT,
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    return json.dumps(calls[0] if len(calls) == 1 else {"anyOf": calls})


def with_tools(chat: Sequence[Message], functions: Sequence[Function]) -> list[Message]:
    """Return the chat with the functions explained first, and with calls and their results as text."""
    names = {call.id: call.name for message in chat for call in message.tool_calls}
    told = [_told(message, names) for message in chat]
    if not functions:
        return told
    shown = [function.model_dump(exclude_none=True, exclude={"strict"}) for function in functions]
    tools = TOOLS.format(functions=json.dumps(shown, ensure_ascii=False))
    if told[0].role == "system":
        return [Message("system", f"{told[0].content}\n\n{tools}"), *told[1:]]
    return [Message("system", tools), *told]


def _told(message: Message, names: dict[str, str]) -> Message:
    if message.role == "tool":
        name = names.get(message.tool_call_id, "")
        return Message("user", TOOL_RESULT.format(name=name, result=message.content))
    if message.tool_calls:
        calls = [f'{{"name": "{c.name}", "arguments": {c.arguments}}}' for c in message.tool_calls]
        return Message("assistant", "\n".join([*filter(None, [message.content]), *calls]))
    return message


def may_become_call(text: str) -> bool:
    """Return whether an answer that begins so may still turn out to be a call.

    Example:
        >>> may_become_call(""), may_become_call('{"na'), may_become_call("42 bar")
        (True, True, False)
    """
    return text.lstrip()[:1] in ("", "{", "[")


def read_calls(text: str, functions: Sequence[Function]) -> tuple[ToolCall, ...]:
    """Return the calls that an answer consists of, none where it is anything else.

    Example:
        >>> calls = read_calls('{"name": "f", "arguments": {"x": 1}}', [Function(name="f")])
        >>> [(call.name, call.arguments) for call in calls]
        [('f', '{"x": 1}')]
    """
    known = {function.name for function in functions}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    asked = value if isinstance(value, list) else [value]
    calls = []
    for one in asked:
        if not isinstance(one, dict) or one.get("name") not in known:
            return ()
        arguments = one.get("arguments", {})
        if not isinstance(arguments, dict):
            return ()
        id_ = f"call_{secrets.token_hex(12)}"
        calls.append(ToolCall(id_, one["name"], json.dumps(arguments, ensure_ascii=False)))
    return tuple(calls)


def calls_shape(calls: Sequence[ToolCall], *, is_delta: bool = False) -> list[dict[str, Any]]:
    """Return calls as a message shows them, or with their indexes as the delta of a stream does."""
    shapes = []
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": call.arguments}
        shape: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
        shapes.append({"index": index, **shape} if is_delta else shape)
    return shapes

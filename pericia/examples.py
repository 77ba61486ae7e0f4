"""A file of solved examples becomes Examples and findings: every fault, with its line, none of them silent.

The names of the faults are those of OpenAI's checker, so that a file that passes here passes there.
Source: openai-cookbook, examples/Chat_finetuning_data_prep.ipynb.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pericia.errors import InputError
from pericia.recast import GUESSED, NotJsonError, read_rows
from pericia.types import Example, Finding, Message

_MESSAGE_KEYS = frozenset({"role", "content", "name", "weight"})
_TOOL_KEYS = frozenset({"tool_calls", "tool_call_id", "function_call"})
_EXAMPLE_KEYS = frozenset({"messages", "source", "id"})
_ROLES = ("system", "user", "assistant")
_HINTS = {
    "no_json": "Each line holds one JSON object.",
    "data_type": 'Each line is an object like {"messages": [...]}.',
    "missing_messages_list": 'Give "messages", a list that is not empty.',
    "message_missing_key": 'Each message has "role" and "content".',
    "message_unrecognized_key": f"Known keys: {', '.join(sorted(_MESSAGE_KEYS))}.",
    "example_unrecognized_key": f"Known keys: {', '.join(sorted(_EXAMPLE_KEYS))}.",
    "unrecognized_role": f"Known roles: {', '.join(_ROLES)}.",
    "missing_content": "Content is a text that is not empty.",
    "example_missing_assistant_message": "The last message is the answer to learn, by the assistant.",
    "missing_user_message": "Give the question that the answer belongs to.",
    "tools_unsupported": "Take tool calls out: a chat template may drop them without a word.",
    "weight_invalid": "Take out messages of weight 0: they would be trained on.",
    "source_invalid": 'Give "source" as text: the document that the example is about.',
}


def read_examples(path: Path) -> tuple[tuple[Example, ...], tuple[Finding, ...]]:
    """Return the sound examples of a file, and all faults of the others; `recast` says which shapes are read.

    The extra key "source" names the document that an example is about; "id" names the example.

    Raises:
        InputError: the file is missing, empty or no text.
    """
    examples, findings = [], []
    guessed: set[str] = set()
    for number, row in read_rows(path):
        if isinstance(row, dict) and (columns := row.pop(GUESSED, None)) and not guessed:
            guessed.update(columns)
            text = f"'{columns[0]}' is taken as the question and '{columns[1]}' as the answer."
            hint = "Name the columns question and answer if that is wrong."
            findings.append(Finding("warning", "columns_guessed", text, number, hint))
        if isinstance(row, NotJsonError):
            faults = [_error("no_json", f"no JSON ({row}).", number)]
        else:
            faults = list(_faults(row, number))
        findings += faults
        if not any(fault.level == "error" for fault in faults):
            examples.append(_example(row, number))
    if not examples and not findings:
        raise InputError(f"'{path}' holds no example.", hint=_HINTS["data_type"])
    return tuple(examples), tuple(findings)


def stop_at_errors(findings: tuple[Finding, ...], name: str) -> None:
    """Raise InputError if a finding is an error; the message lists the first ten with their lines."""
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        return
    shown = [f"{name}{_place(fault)}: {fault.message}" for fault in errors[:10]]
    if len(errors) > len(shown):
        shown.append(f"and {len(errors) - len(shown)} more")
    raise InputError("\n".join(shown), hint=f"{errors[0].hint} All findings: pericia check {name}")


def auto_epochs(num_examples: int) -> int:
    """Return how often the examples are read when nobody says: few are read more often, many less.

    Source: openai-cookbook, examples/Chat_finetuning_data_prep.ipynb.

    Example:
        >>> [auto_epochs(n) for n in (1, 4, 5, 10, 20, 33, 34, 101, 8333, 8334, 12501)]
        [25, 25, 20, 10, 5, 3, 3, 3, 3, 2, 1]
    """
    if 3 * num_examples < 100:
        return min(25, 100 // num_examples)
    if 3 * num_examples > 25_000:
        return max(1, 25_000 // num_examples)
    return 3


def _place(fault: Finding) -> str:
    return f", line {fault.line}" if fault.line else ""


def _error(code: str, message: str, line: int) -> Finding:
    return Finding("error", code, message, line, _HINTS[code])


def _faults(row: Any, line: int) -> Iterator[Finding]:
    if not isinstance(row, dict):
        yield _error("data_type", f"expected an object, found {type(row).__name__}.", line)
        return
    for key in sorted(row.keys() - _EXAMPLE_KEYS):
        text = f"key '{key}' is not used."
        yield Finding(
            "warning", "example_unrecognized_key", text, line, _HINTS["example_unrecognized_key"]
        )
    if not isinstance(row.get("source", ""), str) or not isinstance(row.get("id", ""), str):
        yield _error("source_invalid", "'source' and 'id' must be text.", line)
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        yield _error("missing_messages_list", "'messages' is missing or empty.", line)
        return
    for position, message in enumerate(messages, start=1):
        yield from _message_faults(message, position, line)
    if not any(isinstance(m, dict) and m.get("role") == "user" for m in messages):
        yield _error("missing_user_message", "no message is by the user.", line)
    last = messages[-1]
    if not (isinstance(last, dict) and last.get("role") == "assistant"):
        text = "the last message is not by the assistant, so there is nothing to learn."
        yield _error("example_missing_assistant_message", text, line)


def _message_faults(message: Any, position: int, line: int) -> Iterator[Finding]:
    where = f"message {position}"
    if not isinstance(message, dict):
        yield _error(
            "data_type", f"{where}: expected an object, found {type(message).__name__}.", line
        )
        return
    if message.keys() & _TOOL_KEYS or message.get("role") in {"tool", "function"}:
        yield _error("tools_unsupported", f"{where}: tool calls cannot be trained yet.", line)
        return
    missing = {"role", "content"} - message.keys()
    if missing:
        yield _error("message_missing_key", f"{where}: no '{min(missing)}'.", line)
    for key in sorted(message.keys() - _MESSAGE_KEYS):
        yield _error("message_unrecognized_key", f"{where}: unknown key '{key}'.", line)
    if "role" in message and message["role"] not in _ROLES:
        yield _error("unrecognized_role", f"{where}: unknown role {message['role']!r}.", line)
    content = message.get("content")
    if "content" in message and not (isinstance(content, str) and content.strip()):
        yield _error("missing_content", f"{where}: 'content' is empty or no text.", line)
    if message.get("weight", 1) != 1:
        yield _error(
            "weight_invalid", f"{where}: weight {message['weight']!r} is not supported.", line
        )


def _example(row: dict[str, Any], line: int) -> Example:
    messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
    return Example(messages, row.get("id") or f"line-{line}", line, row.get("source", ""))

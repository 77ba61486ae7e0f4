"""Turns of a chat in other tools' words become messages with OpenAI's keys and roles."""

import ast
import json
from typing import Any

_SHAREGPT_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "developer": "system",
}


def as_turns(turns: Any) -> Any:
    """Return messages with OpenAI's keys and roles; what is no list of objects comes back as it is."""
    if not isinstance(turns, list):
        return turns
    return [_turn(turn) if isinstance(turn, dict) else turn for turn in turns]


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in turn.items() if value is not None or key == "content"}
    for theirs, ours in (("from", "role"), ("value", "content")):
        if theirs in made and ours not in made:
            made[ours] = made.pop(theirs)
    if isinstance(role := made.get("role"), str):
        made["role"] = _SHAREGPT_ROLES.get(role, role)
    content = made.get("content")
    if isinstance(content, list) and all(_is_text_part(part) for part in content):
        made["content"] = "".join(part["text"] for part in content)
    if content is None and "content" in made and made.get("tool_calls"):
        made["content"] = ""
    return made


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def loads(text: str) -> Any:
    """Return the chat that a cell of text holds, as JSON or as Python prints it; else the text."""
    if not text.lstrip().startswith("["):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def asks(question: Any) -> dict[str, Any]:
    """Return the user's message."""
    return {"role": "user", "content": question}


def says(answer: Any) -> dict[str, Any]:
    """Return the assistant's message."""
    return {"role": "assistant", "content": answer}


def as_pair(question: Any, answer: Any) -> list[Any]:
    """Return the chat of one question and its answer."""
    return [asks(question), says(answer)]

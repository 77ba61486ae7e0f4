"""A row of whatever shape becomes one in OpenAI's chat shape, and says which shape it was and what was not used.

Known are OpenAI's chat and preference rows, ShareGPT, Alpaca, TRL's preference rows, prompt and completion, question and
answer, and text, also with a chat rendered in it. Other tables are read through `Columns`.
"""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from pericia.chat_turns import as_pair, as_turns, asks, loads, says
from pericia.errors import ConfigError
from pericia.markers import read_markers
from pericia.preferences import openai_preference, pair_of, trl_preference
from pericia.said import said

_QUESTIONS = ("question", "prompt", "input", "query", "instruction")
_ANSWERS = ("answer", "completion", "response", "output")
_KEPT = ("source", "id")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns make an example: a column's name, or a text with columns in braces, "Tone of: {phrase}"."""

    question: str = ""
    answer: str = ""
    system: str = ""
    rejected: str = ""  # a worse answer, for preference pairs
    text: str = ""  # plain text instead of question and answer
    messages: str = ""  # a whole chat in one column
    source: str = ""

    @property
    def given(self) -> bool:
        return any(astuple(self))

    def __post_init__(self) -> None:
        for value in (self.question, self.answer, self.system, self.rejected, self.text):
            template_fields(value)
        whole = self.messages or self.text
        if self.given and not whole and not (self.answer and (self.question or self.rejected)):
            raise ConfigError(
                said("These columns make no example."),
                hint=said(
                    "Name question and answer; or answer and rejected; or messages; or text."
                ),
                param="columns",
            )


@dataclass(frozen=True, slots=True)
class Recast:
    """A row in OpenAI's chat shape, "rejected" beside its messages; `row` is as it came where `shape` is "unknown"."""

    row: Any
    shape: str
    unused: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = field(default=())  # code and message


def recast(row: Any, columns: Columns | None = None, *, reads_markers: bool = True) -> Recast:
    """Return a row in OpenAI's chat shape; a chat that is rendered in a text is read as one with `reads_markers`.

    Example:
        >>> recast({"question": "How hot?", "answer": "900 °C", "source": "kiln.md"}).row["messages"][1]
        {'role': 'assistant', 'content': '900 °C'}
        >>> recast({"phrase": "Hooray", "tone": "joy"}, Columns("Tone of: {phrase}", "tone")).row["messages"][0]
        {'role': 'user', 'content': 'Tone of: Hooray'}
    """
    if not isinstance(row, dict):
        return Recast(row, "unknown")
    if columns is not None and columns.given:
        return _by_columns(row, columns, reads_markers)
    for read in _SHAPES:
        if (found := read(row)) is not None:
            made, shape, used = found
            kept = {key: row[key] for key in _KEPT if row.get(key) is not None}
            unused = () if shape == "chat" else tuple(k for k in row if k not in {*used, *_KEPT})
            return Recast({**kept, **made}, shape, unused)
    return Recast(row, "unknown")


def _chat(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    if "messages" not in row:
        return None
    turns = row["messages"]
    if isinstance(turns, str):  # Parquet and CSV hold chats as text
        turns = loads(turns)
    return {**row, "messages": as_turns(turns)}, "chat", set(row)


def _sharegpt(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    key = next((k for k in ("conversations", "conversation") if k in row), None)
    if key is None:
        return None
    turns = row[key]
    turns = as_turns(loads(turns) if isinstance(turns, str) else turns)
    if isinstance(turns, list) and (system := row.get("system")):
        turns = [{"role": "system", "content": system}, *turns]
    return {"messages": turns}, "sharegpt", {key, "system"}


def _alpaca(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    if not {"instruction", "output"} <= row.keys():
        return None
    used = {"instruction", "input", "output", "history", "system"}
    asked = f"{row['instruction']}\n\n{row['input']}" if row.get("input") else row["instruction"]
    turns: list[Any] = []
    if row.get("system"):
        turns.append({"role": "system", "content": row["system"]})
    for pair in row.get("history") or ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return None
        turns += as_pair(*pair)
    return {"messages": [*turns, *as_pair(asked, row["output"])]}, "alpaca", used


def _question_answer(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    question = next((key for key in _QUESTIONS if key in row), None)
    answer = next((key for key in (*_ANSWERS, "answers") if key in row), None)
    if question is None or answer is None:
        return None
    asked, told = row[question], _first(row[answer])
    used = {question, answer, "context", "system"}
    if isinstance(row.get("label"), bool) and not row["label"]:
        return None  # KTO's bad answers are not for learning
    used |= {"label"} if isinstance(row.get("label"), bool) else set()
    if isinstance(asked, list):  # TRL's prompt and completion as chats
        turns = as_turns(asked)
        answers = as_turns(told) if isinstance(told, list) else [says(told)]
        return {"messages": [*turns, *answers]}, "prompt_completion", used
    if isinstance(told, list):
        return {"messages": [asks(asked), *as_turns(told)]}, "prompt_completion", used
    context = row.get("context")
    if isinstance(context, str) and context.strip() and isinstance(asked, str):
        asked = f"{context.strip()}\n\n{asked}"
    turns = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    return {"messages": [*turns, *as_pair(asked, told)]}, "question_answer", used


def _text(
    row: Mapping[str, Any], reads_markers: bool = True
) -> tuple[dict[str, Any], str, set[str]] | None:
    text = row.get("text")
    if not isinstance(text, str):
        return None
    if turns := read_markers(text) if reads_markers else None:
        return {"messages": turns}, "rendered_text", {"text"}
    return {"messages": [says(text)]}, "text", {"text"}


def _two_columns(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    texts = [key for key, value in row.items() if isinstance(value, str) and key not in _KEPT]
    if len(texts) != 2 or len([key for key in row if key not in _KEPT]) != 2:
        return None
    return {"messages": as_pair(*(row[key] for key in texts))}, "two_columns", set(texts)


_Shape = Callable[[Mapping[str, Any]], tuple[dict[str, Any], str, set[str]] | None]
_SHAPES: tuple[_Shape, ...] = (
    _chat,
    _sharegpt,
    openai_preference,
    trl_preference,
    _alpaca,
    _question_answer,
    _text,
    _two_columns,
)


def _by_columns(row: Mapping[str, Any], columns: Columns, reads_markers: bool) -> Recast:
    """Return the row read through the columns; what they miss is a fault of this row."""
    used: set[str] = set()
    faults: list[tuple[str, str]] = []

    def fill(template: str) -> Any:
        if "{" not in template:
            names = [template]
        else:
            names = template_fields(template)
        used.update(names)
        if missing := [name for name in names if name not in row]:
            have = ", ".join(map(str, row)) or "none"
            faults.append(
                (
                    "column_missing",
                    said(
                        "there is no column '%(name)s'; there are: %(have)s.",
                        name=missing[0],
                        have=have,
                    ),
                )
            )
            return ""
        if "{" not in template:
            return row[template]
        values = {name: row[name] for name in names}
        return re.sub(r"\{(\w+)\}", lambda m: str(values[m[1]]), template)

    made: dict[str, Any] = {}
    shape = "columns"
    if columns.messages:
        turns = fill(columns.messages)
        made["messages"] = as_turns(loads(turns) if isinstance(turns, str) else turns)
    elif columns.text:
        cell = fill(columns.text)
        turns = loads(cell) if isinstance(cell, str) else cell
        inner = None if isinstance(turns, list) else _text({"text": cell}, reads_markers)
        made, shape = inner[:2] if inner else ({"messages": as_turns(turns)}, shape)
    elif columns.rejected:
        prompt = fill(columns.question) if columns.question else None
        made = pair_of(prompt, fill(columns.answer), fill(columns.rejected))
        shape = "preference"
    else:
        made["messages"] = as_pair(fill(columns.question), _first(fill(columns.answer)))
    if columns.system and isinstance(made["messages"], list):
        made["messages"] = [{"role": "system", "content": fill(columns.system)}, *made["messages"]]
    if columns.source:
        made["source"] = fill(columns.source)
    kept = {key: row[key] for key in _KEPT if row.get(key) is not None}
    unused = tuple(key for key in row if key not in used | set(_KEPT))
    return Recast({**kept, **made}, shape, unused, tuple(faults))


def template_fields(template: str) -> list[str]:
    """Return the columns that a template names.

    Raises:
        ConfigError: its braces do not match, or hold more than a name.
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        names, reason = [""], str(error)
    else:
        reason = said("braces hold the name of a column and nothing else")
    if not all(re.fullmatch(r"\w+", name) for name in names):
        text = said(
            "The template %(value)s cannot be filled: %(reason)s.",
            value=repr(template),
            reason=reason,
        )
        raise ConfigError(text, hint=said('Write columns in braces: "Tone of: {phrase}".'))
    return names


def _first(value: Any) -> Any:
    """Return SQuAD's first answer of several; other values as they are."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value = value["text"]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value[0]
    return value

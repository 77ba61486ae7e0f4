"""What is wrong with a row that should be an example: every fault by its name, with its line and its mend.

The names of the faults are those of OpenAI's checker, so that a file that passes here passes there.
Source: openai-cookbook, examples/Chat_finetuning_data_prep.ipynb.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pericia.recast import Recast
from pericia.rows import SourceRow
from pericia.said import said
from pericia.tool_calls import tool_faults
from pericia.types import Finding

_MESSAGE_KEYS = frozenset({"role", "content", "name", "weight", "tool_calls", "tool_call_id"})


_MESSAGE_KEYS_OLD = frozenset({"function_call", "refusal"})


_EXAMPLE_KEYS = frozenset(
    {"messages", "source", "id", "tools", "parallel_tool_calls", "rejected", "place"}
)


_EXAMPLE_KEYS_OLD = frozenset({"functions"})


_ROLES = ("system", "user", "assistant", "tool")


HINTS = {
    "no_json": said("Each line holds one JSON object."),
    "no_table": said(
        "Save it as CSV in UTF-8, with a header and quotes round cells that hold commas."
    ),
    "row_width": said("Put quotes round cells that hold the separator."),
    "data_type": said('Each line is an object like {"messages": [...]}.'),
    "missing_messages_list": said(
        'Give "messages", a list that is not empty; or name the columns.'
    ),
    "message_missing_key": said('Each message has "role" and "content".'),
    "message_unrecognized_key": said(
        "Known keys: %(keys)s.", keys=", ".join(sorted(_MESSAGE_KEYS))
    ),
    "example_unrecognized_key": said(
        "Known keys: %(keys)s.", keys=", ".join(sorted(_EXAMPLE_KEYS))
    ),
    "unrecognized_role": said("Known roles: %(roles)s.", roles=", ".join(_ROLES)),
    "missing_content": said("Content is a text that is not empty."),
    "example_missing_assistant_message": said(
        "The last message is the answer to learn, by the assistant."
    ),
    "missing_user_message": said("Give the question that the answer belongs to."),
    "weight_invalid": said("An assistant's message has weight 1, learnt, or 0, only read."),
    "source_invalid": said('Give "source" as text: the document that the example is about.'),
    "rejected_invalid": said(
        "Both answers of a pair are texts by the assistant, to the same messages."
    ),
    "unpaired_preference": said("Give only good answers, or pairs of a better and a worse one."),
    "invalid_unicode": said("Save the file again as UTF-8 from the program that made it."),
    "column_missing": said("Name the columns as the file has them."),
    "mixed_shapes": said(
        "Put pairs, chats and plain texts into files of their own: they are trained apart."
    ),
}


def fault(code: str, message: str, row: SourceRow) -> Finding:
    """Return the error of a name, with its mend."""
    return Finding("error", code, message, row.line, HINTS.get(code, ""), row.file)


def faults_of(made: Recast, at: SourceRow) -> Iterator[Finding]:
    """Yield everything that is wrong with a row; errors keep it from being an example."""
    row = made.row
    if not isinstance(row, dict):
        yield fault(
            "data_type", said("expected an object, found %(name)s.", name=type(row).__name__), at
        )
        return
    if _has_lone_surrogate(row):
        yield fault(
            "invalid_unicode", said("it holds half of a character, which no file can keep."), at
        )
        return
    for code, message in made.faults:
        yield fault(code, message, at)
    if made.shape == "unknown" and row.get("label") is False:
        text = said("the answer is marked as bad (label false); learning it would teach the fault.")
        yield fault("unpaired_preference", text, at)
        return
    for key in sorted(row.keys() - _EXAMPLE_KEYS - _EXAMPLE_KEYS_OLD, key=str):
        if made.shape == "unknown":
            break
        text = said("key '%(key)s' is not used.", key=key)
        hint = HINTS["example_unrecognized_key"]
        yield Finding("warning", "example_unrecognized_key", text, at.line, hint, at.file)
    if not isinstance(row.get("source", ""), str) or not isinstance(row.get("id", ""), str | int):
        yield fault("source_invalid", said("'source' and 'id' must be text."), at)
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        keys = said("; its keys are %(keys)s", keys=", ".join(map(str, row)))
        found = keys if made.shape == "unknown" else ""
        yield fault(
            "missing_messages_list",
            said("'messages' is missing or empty%(found)s.", found=found),
            at,
        )
        return
    for position, message in enumerate(messages, start=1):
        yield from _message_faults(message, position, at)
    yield from (fault(code, text, at) for code, text in tool_faults(row))
    yield from _answer_faults(row, messages, made.shape, at)


def _answer_faults(
    row: Mapping[str, Any], messages: list[Any], shape: str, at: SourceRow
) -> Iterator[Finding]:
    turns = [m for m in messages if isinstance(m, dict)]
    if shape != "text" and not any(m.get("role") == "user" for m in turns):
        yield fault("missing_user_message", said("no message is by the user."), at)
    if not any(m.get("role") == "assistant" for m in turns[-1:]):
        text = said("the last message is not by the assistant, so there is nothing to learn.")
        yield fault("example_missing_assistant_message", text, at)
    elif not any(m.get("role") == "assistant" and m.get("weight", 1) != 0 for m in turns):
        text = said("every answer has weight 0, so there is nothing to learn.")
        yield fault("example_missing_assistant_message", text, at)
    if "rejected" not in row:
        return
    if not isinstance(row["rejected"], str) or not row["rejected"].strip():
        text = said(
            "the worse answer is missing, or the two answers do not follow the same messages."
        )
        yield fault("rejected_invalid", text, at)
    elif row["rejected"] == (turns[-1].get("content") if turns else None):
        yield fault("rejected_invalid", said("both answers of the pair are the same."), at)


def _message_faults(message: Any, position: int, at: SourceRow) -> Iterator[Finding]:
    if not isinstance(message, dict):
        found = type(message).__name__
        yield fault(
            "data_type",
            said("message %(n)s: expected an object, found %(found)s.", n=position, found=found),
            at,
        )
        return
    calls = message.get("tool_calls") or message.get("function_call")
    missing = {"role"} - message.keys() or ({"content"} - message.keys() if not calls else set())
    if missing:
        yield fault(
            "message_missing_key",
            said("message %(n)s: no '%(missing)s'.", n=position, missing=min(missing)),
            at,
        )
    for key in sorted(message.keys() - _MESSAGE_KEYS - _MESSAGE_KEYS_OLD, key=str):
        yield fault(
            "message_unrecognized_key",
            said("message %(n)s: unknown key '%(key)s'.", n=position, key=key),
            at,
        )
    if "role" in message and message["role"] not in (*_ROLES, "function"):
        yield fault(
            "unrecognized_role",
            said(
                "message %(n)s: unknown role %(message)s.",
                n=position,
                message=repr(message["role"]),
            ),
            at,
        )
    content = message.get("content")
    if isinstance(content, list):
        text = said("message %(n)s: only texts are read, no images or sounds.", n=position)
        yield fault("missing_content", text, at)
    elif "content" in message and not calls and not (isinstance(content, str) and content.strip()):
        yield fault(
            "missing_content", said("message %(n)s: 'content' is empty or no text.", n=position), at
        )
    weight = message.get("weight", 1)
    if weight not in (0, 1) or (weight == 0 and message.get("role") != "assistant"):
        text = said(
            "message %(n)s: weight %(weight)s of a message by '%(message)s'.",
            n=position,
            weight=repr(weight),
            message=message.get("role"),
        )
        yield fault("weight_invalid", text, at)


def _has_lone_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return any(_has_lone_surrogate(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_lone_surrogate, value))

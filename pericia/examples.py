"""Sources of solved examples become Examples and findings: every fault, with its line, none of them silent.

The names of the faults are those of OpenAI's checker, so that a file that passes here passes there.
Source: openai-cookbook, examples/Chat_finetuning_data_prep.ipynb.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pericia.config import TrainConfig
from pericia.errors import InputError
from pericia.recast import Columns, Recast, recast
from pericia.rows import BadRow, SourceRow, is_hub_name, read_rows
from pericia.said import joined, said
from pericia.tool_calls import as_tool_calls, tool_faults
from pericia.types import Example, Finding, Message
from pericia.workspace import Workspace

_MESSAGE_KEYS = frozenset({"role", "content", "name", "weight", "tool_calls", "tool_call_id"})
_MESSAGE_KEYS_OLD = frozenset({"function_call", "refusal"})
_EXAMPLE_KEYS = frozenset(
    {"messages", "source", "id", "tools", "parallel_tool_calls", "rejected", "place"}
)
_EXAMPLE_KEYS_OLD = frozenset({"functions"})
_ROLES = ("system", "user", "assistant", "tool")
_HINTS = {
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
_SAID = {  # shapes whose reading a user should know of
    "two_columns": said("two columns are taken as question and answer, in their order."),
    "rendered_text": said(
        "the text holds a chat with its markers; its turns are read, and rendered by the model's own template."
    ),
    "text": said("read as plain text: every word of it is learnt, and nothing is asked."),
}


def read_examples(
    source: Path | str, columns: Columns | None = None, *, reads_markers: bool = True
) -> tuple[tuple[Example, ...], tuple[Finding, ...]]:
    """Return the sound examples of a file, folder or hub's data set, and all faults of the others.

    `recast` says which shapes are read, `rows` which formats. The key "source" names the document that an example
    is about; "id" names the example.

    Raises:
        InputError: the source is missing, empty or unreadable as a whole.
    """
    examples: list[Example] = []
    findings: list[Finding] = []
    shapes: dict[str, SourceRow] = {}
    unused: Counter[str] = Counter()
    for row in read_rows(str(source)):
        if isinstance(row.value, BadRow):
            findings.append(_error(row.value.code, row.value.message, row))
            continue
        made = recast(row.value, columns, reads_markers=reads_markers)
        faults = list(_faults(made, row))
        findings += faults
        unused.update(made.unused)
        if made.shape in _SAID and made.shape not in shapes:
            findings.append(_said(made.shape, row))
        if made.shape != "unknown":
            shapes.setdefault(made.shape, row)
        if not any(fault.level == "error" for fault in faults):
            example, cut = _example(made.row, row)
            examples.append(example)
            if cut:
                text = said(
                    "%(cut)s messages after the last answer of weight 1 are left out: nothing is learnt from them.",
                    cut=cut,
                )
                findings.append(Finding("warning", "untrained_end", text, row.line, file=row.file))
    if not examples and not findings:
        raise InputError(
            said("'%(source)s' holds no example.", source=source), hint=_HINTS["data_type"]
        )
    for name, count in unused.items():
        text = said("column '%(name)s' of %(count)s rows is not used.", name=name, count=count)
        part = "{" + str(name) + "}"
        hint = said("Put it into the question with --column question='… %(part)s'.", part=part)
        findings.append(Finding("warning", "column_unused", text, hint=hint))
    return tuple(examples), (*findings, *_mixed(examples))


def source_of(workspace: Workspace, name: str) -> str:
    """Return where the examples of a config are: a path from its folder, or the name of a hub's data set."""
    path = workspace.resolve(name)
    return name if is_hub_name(name) and not path.exists() else str(path)


def stop_at_errors(findings: tuple[Finding, ...], name: str) -> None:
    """Raise InputError if a finding is an error; the message lists the first ten with their lines."""
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        return
    shown = [joined((f"{name}{_place(fault)}:", fault.message)) for fault in errors[:10]]
    if len(errors) > len(shown):
        shown.append(said("and %(n)s more", n=len(errors) - len(shown)))
    raise InputError(
        joined(shown, "\n"),
        hint=joined([errors[0].hint, said("All findings: pericia check %(name)s", name=name)]),
    )


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


def num_epochs(settings: TrainConfig, num_rows: int) -> int:
    """Return how often each of so many rows is read."""
    return auto_epochs(max(1, num_rows)) if settings.epochs == "auto" else settings.epochs


def num_steps(settings: TrainConfig, num_rows: int) -> int:
    """Return the optimiser steps of all epochs."""
    return -(-num_rows // settings.batch_size) * num_epochs(settings, num_rows)


def as_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as chat templates and OpenAI's API take them; `weight` is left to the caller.

    Example:
        >>> as_chat([Message("user", "How hot?")])
        [{'role': 'user', 'content': 'How hot?'}]
    """
    chat = []
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.name:
            turn["name"] = message.name
        if message.tool_call_id:
            turn["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            turn["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in message.tool_calls
            ]
        chat.append(turn)
    return chat


def _place(fault: Finding) -> str:
    file = f"/{fault.file}" if fault.file else ""
    return f"{file}, line {fault.line}" if fault.line else file


def _error(code: str, message: str, row: SourceRow) -> Finding:
    return Finding("error", code, message, row.line, _HINTS.get(code, ""), row.file)


def _said(shape: str, row: SourceRow) -> Finding:
    hint = said("Name the columns with --column if that is wrong.")
    code = "columns_guessed" if shape == "two_columns" else f"{shape}_read"
    return Finding("warning", code, _SAID[shape], row.line, hint, row.file)


def _mixed(examples: Sequence[Example]) -> Iterator[Finding]:
    """Yield an error where an example is of another sort than the first: an objective fits one sort."""
    for name, is_of in (
        (said("preference pair"), "is_preference"),
        (said("plain text"), "is_text"),
    ):
        sorts = [getattr(example, is_of) for example in examples]
        if len(set(sorts)) > 1:
            odd = examples[sorts.index(not sorts[0])]
            what = name if not sorts[0] else said("no %(sort)s", sort=name)
            text = said("this is %(what)s, unlike the first example.", what=what)
            hint = _HINTS["mixed_shapes"]
            yield Finding("error", "mixed_shapes", text, odd.line, hint, odd.file)


def _faults(made: Recast, at: SourceRow) -> Iterator[Finding]:
    row = made.row
    if not isinstance(row, dict):
        yield _error(
            "data_type", said("expected an object, found %(name)s.", name=type(row).__name__), at
        )
        return
    if _has_lone_surrogate(row):
        yield _error(
            "invalid_unicode", said("it holds half of a character, which no file can keep."), at
        )
        return
    for code, message in made.faults:
        yield _error(code, message, at)
    if made.shape == "unknown" and row.get("label") is False:
        text = said("the answer is marked as bad (label false); learning it would teach the fault.")
        yield _error("unpaired_preference", text, at)
        return
    for key in sorted(row.keys() - _EXAMPLE_KEYS - _EXAMPLE_KEYS_OLD, key=str):
        if made.shape == "unknown":
            break
        text = said("key '%(key)s' is not used.", key=key)
        hint = _HINTS["example_unrecognized_key"]
        yield Finding("warning", "example_unrecognized_key", text, at.line, hint, at.file)
    if not isinstance(row.get("source", ""), str) or not isinstance(row.get("id", ""), str | int):
        yield _error("source_invalid", said("'source' and 'id' must be text."), at)
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        keys = said("; its keys are %(keys)s", keys=", ".join(map(str, row)))
        found = keys if made.shape == "unknown" else ""
        yield _error(
            "missing_messages_list",
            said("'messages' is missing or empty%(found)s.", found=found),
            at,
        )
        return
    for position, message in enumerate(messages, start=1):
        yield from _message_faults(message, position, at)
    yield from (_error(code, text, at) for code, text in tool_faults(row))
    yield from _answer_faults(row, messages, made.shape, at)


def _answer_faults(
    row: Mapping[str, Any], messages: list[Any], shape: str, at: SourceRow
) -> Iterator[Finding]:
    turns = [m for m in messages if isinstance(m, dict)]
    if shape != "text" and not any(m.get("role") == "user" for m in turns):
        yield _error("missing_user_message", said("no message is by the user."), at)
    if not any(m.get("role") == "assistant" for m in turns[-1:]):
        text = said("the last message is not by the assistant, so there is nothing to learn.")
        yield _error("example_missing_assistant_message", text, at)
    elif not any(m.get("role") == "assistant" and m.get("weight", 1) != 0 for m in turns):
        text = said("every answer has weight 0, so there is nothing to learn.")
        yield _error("example_missing_assistant_message", text, at)
    if "rejected" not in row:
        return
    if not isinstance(row["rejected"], str) or not row["rejected"].strip():
        text = said(
            "the worse answer is missing, or the two answers do not follow the same messages."
        )
        yield _error("rejected_invalid", text, at)
    elif row["rejected"] == (turns[-1].get("content") if turns else None):
        yield _error("rejected_invalid", said("both answers of the pair are the same."), at)


def _message_faults(message: Any, position: int, at: SourceRow) -> Iterator[Finding]:
    if not isinstance(message, dict):
        found = type(message).__name__
        yield _error(
            "data_type",
            said("message %(n)s: expected an object, found %(found)s.", n=position, found=found),
            at,
        )
        return
    calls = message.get("tool_calls") or message.get("function_call")
    missing = {"role"} - message.keys() or ({"content"} - message.keys() if not calls else set())
    if missing:
        yield _error(
            "message_missing_key",
            said("message %(n)s: no '%(missing)s'.", n=position, missing=min(missing)),
            at,
        )
    for key in sorted(message.keys() - _MESSAGE_KEYS - _MESSAGE_KEYS_OLD, key=str):
        yield _error(
            "message_unrecognized_key",
            said("message %(n)s: unknown key '%(key)s'.", n=position, key=key),
            at,
        )
    if "role" in message and message["role"] not in (*_ROLES, "function"):
        yield _error(
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
        yield _error("missing_content", text, at)
    elif "content" in message and not calls and not (isinstance(content, str) and content.strip()):
        yield _error(
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
        yield _error("weight_invalid", text, at)


def _has_lone_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return any(_has_lone_surrogate(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_lone_surrogate, value))


def _example(row: dict[str, Any], at: SourceRow) -> tuple[Example, int]:
    """Return the example, and how many messages after the last answer to learn were left out."""
    calls, tools = as_tool_calls(row)
    messages = [
        Message(
            "tool" if m["role"] == "function" else m["role"],
            m.get("content") or "",
            trains=m.get("weight", 1) != 0,
            tool_calls=own,
            tool_call_id=answered,
            name=m.get("name") or "",
        )
        for m, (own, answered) in zip(row["messages"], calls, strict=True)
    ]
    learnt = [i for i, m in enumerate(messages) if m.role == "assistant" and m.trains]
    kept = messages[: learnt[-1] + 1]
    name = str(row.get("id") or "") or f"{at.file + ' ' if at.file else ''}line-{at.line}"
    example = Example(tuple(kept), name, at.line, row.get("source") or "")
    made = replace(example, rejected=row.get("rejected", ""), tools=tools, file=at.file)
    return made, len(messages) - len(kept)

"""Sources of solved examples become Examples and findings: every fault, with its line, none of them silent."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pericia.config import TrainConfig
from pericia.errors import InputError
from pericia.example_faults import HINTS, fault, faults_of
from pericia.recast import Columns, recast
from pericia.rows import BadRow, SourceRow, is_hub_name, read_rows
from pericia.said import joined, said
from pericia.tool_calls import as_tool_calls
from pericia.types import Example, Finding, Message
from pericia.workspace import Workspace

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
            findings.append(fault(row.value.code, row.value.message, row))
            continue
        made = recast(row.value, columns, reads_markers=reads_markers)
        faults = list(faults_of(made, row))
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
            said("'%(source)s' holds no example.", source=source), hint=HINTS["data_type"]
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
            hint = HINTS["mixed_shapes"]
            yield Finding("error", "mixed_shapes", text, odd.line, hint, odd.file)


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

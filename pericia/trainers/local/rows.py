"""Examples become rows of token ids with a mask of what counts in the loss, and rows become the table that TRL reads."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from datasets import Dataset as RowTable
from trl.chat_template_utils import get_training_chat_template

from pericia.errors import PreflightError
from pericia.examples import as_chat
from pericia.said import said
from pericia.types import Example, LabelledRow

IGNORED = -100


def label(tokenizer: Any, examples: Sequence[Example]) -> list[LabelledRow]:
    """Return the rows with their masks, of any length.

    Raises:
        PreflightError: the template does not tell the answers of a chat apart, and some of them are not to be learnt.
    """
    try:
        template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except (
        ValueError
    ):  # no template with marks is known: the last answer is what follows the prompt
        template = None
    return [_label_one(tokenizer, template, example) for example in examples]


def table(rows: Sequence[LabelledRow]) -> RowTable:
    """Return the rows as TRL reads them: `input_ids` and `labels`, with `IGNORED` where nothing counts."""
    labels = [
        [token if counts else IGNORED for token, counts in zip(row.ids, row.mask, strict=True)]
        for row in rows
    ]
    return RowTable.from_dict({"input_ids": [list(row.ids) for row in rows], "labels": labels})


def preference_table(rows: Sequence[LabelledRow]) -> RowTable:
    """Return pairs as TRL reads them: the prompt, then what follows it in the better and in the worse answer."""
    return RowTable.from_dict(
        {
            "prompt_ids": [list(row.prompt_ids) for row in rows],
            "chosen_ids": [list(row.ids[len(row.prompt_ids) :]) for row in rows],
            "rejected_ids": [list(row.rejected_ids) for row in rows],
        }
    )


def _label_one(tokenizer: Any, template: str | None, example: Example) -> LabelledRow:
    if example.is_text:
        ids = tokenizer(example.answer, add_special_tokens=False)["input_ids"]
        ids = [*ids, tokenizer.eos_token_id]
        return LabelledRow(example, tuple(ids), (True,) * len(ids), ())
    chat, tools = as_chat(example.messages), list(example.tools) or None
    prompt_ids = tokenizer.apply_chat_template(
        chat[:-1], tools=tools, add_generation_prompt=True, return_dict=False
    )
    if template is None:
        ids = tokenizer.apply_chat_template(chat, tools=tools, return_dict=False)
        mask = [i >= len(prompt_ids) for i in range(len(ids))]
    else:
        out = tokenizer.apply_chat_template(
            chat,
            tools=tools,
            chat_template=template,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        ids, mask = out["input_ids"], [bool(m) for m in out["assistant_masks"]]
        mask = _without_silent_turns(mask, example)
    rejected: tuple[int, ...] = ()
    if example.is_preference:
        worse = [*chat[:-1], {"role": "assistant", "content": example.rejected}]
        both = tokenizer.apply_chat_template(worse, tools=tools, return_dict=False)
        if list(both[: len(prompt_ids)]) != list(prompt_ids):
            raise _unfit(
                example, said("renders the prompt of a pair differently with its worse answer")
            )
        rejected = tuple(both[len(prompt_ids) :])
    return LabelledRow(example, tuple(ids), tuple(mask), tuple(prompt_ids), rejected)


def _without_silent_turns(mask: list[bool], example: Example) -> list[bool]:
    """Return the mask without the answers that are read and not learnt."""
    answers = [message for message in example.messages if message.role == "assistant"]
    if all(message.trains for message in answers):
        return mask
    stretches = [(counts, len(list(run))) for counts, run in groupby(mask)]
    if sum(counts for counts, _ in stretches) != len(answers):
        raise _unfit(example, said("does not tell the answers of a chat apart"))
    kept: list[bool] = []
    turns = iter(answers)
    for counts, number in stretches:
        kept += [counts and next(turns).trains] * number
    return kept


def _unfit(example: Example, fault: str) -> PreflightError:
    return PreflightError(
        said(
            "Example '%(id)s' (line %(line)s): the model's chat template %(fault)s.",
            id=example.id,
            line=example.line,
            fault=fault,
        ),
        hint=said(
            "Take a model whose template has marks around its answers, as Phi-3's and Qwen's have."
        ),
    )

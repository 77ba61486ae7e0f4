"""Examples become rows of token ids with a mask of what counts in the loss, and rows become the table that TRL reads."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset as RowTable
from trl.chat_template_utils import get_training_chat_template

from pericia.types import Example, LabelledRow

IGNORED = -100


def label(
    tokenizer: Any, examples: Sequence[Example], max_tokens: int
) -> tuple[tuple[LabelledRow, ...], int]:
    """Return the rows with their masks, and the number of those that are too long and left out."""
    try:
        template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except (
        ValueError
    ):  # no template with marks is known: the last answer is what follows the prompt
        template = None
    rows = [_label_one(tokenizer, template, example) for example in examples]
    kept = tuple(row for row in rows if len(row.ids) <= max_tokens)
    return kept, len(rows) - len(kept)


def table(rows: Sequence[LabelledRow]) -> RowTable:
    """Return the rows as TRL reads them: `input_ids` and `labels`, with `IGNORED` where nothing counts."""
    labels = [
        [token if counts else IGNORED for token, counts in zip(row.ids, row.mask, strict=True)]
        for row in rows
    ]
    return RowTable.from_dict({"input_ids": [list(row.ids) for row in rows], "labels": labels})


def _label_one(tokenizer: Any, template: str | None, example: Example) -> LabelledRow:
    chat = [{"role": m.role, "content": m.content} for m in example.messages]
    prompt_ids = tokenizer.apply_chat_template(
        chat[:-1], add_generation_prompt=True, return_dict=False
    )
    if template is None:
        ids = tokenizer.apply_chat_template(chat, return_dict=False)
        mask = [i >= len(prompt_ids) for i in range(len(ids))]
    else:
        out = tokenizer.apply_chat_template(
            chat, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = out["input_ids"], [bool(m) for m in out["assistant_masks"]]
    return LabelledRow(example, tuple(ids), tuple(mask), tuple(prompt_ids))

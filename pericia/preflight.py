"""What would fail silently in training, said before it starts; every fault shows the row as the model would see it.

In a shown row, ⟦ ⟧ encloses what counts in the loss.
"""

from collections import Counter
from itertools import groupby

from pericia.errors import PreflightError
from pericia.types import LabelledRow, Preparation

_SHOWN_CHARACTERS = 400


def check_preparation(
    preparation: Preparation, *, truncated_share: float, needs_validation: bool = True
) -> None:
    """Return if training may start. Only a caller who keeps the last checkpoint can do without validation rows.

    Raises:
        PreflightError: what would fail, with the first row or layer at fault.
    """
    _check_sizes(preparation, truncated_share, needs_validation)
    _check_targets(preparation)
    _check_vocabulary(preparation)
    for row in (*preparation.rows, *preparation.validation_rows):
        _check_row(row, preparation)
    if preparation.unguarded_layers:
        raise PreflightError(
            f"{len(preparation.unguarded_layers)} quantised layers, the first is "
            f"{preparation.unguarded_layers[0]}, would lose their gradients at the first evaluation.",
            hint="Train with the trainer 'local', which guards them, or with method lora.",
        )


def show_row(row: LabelledRow, preparation: Preparation) -> str:
    """Return a row decoded, with ⟦ ⟧ around what counts in the loss; a long prompt is cut in its middle."""
    shown = []
    tokens = zip(row.ids, row.mask, strict=True)
    for counts, run in groupby(tokens, key=lambda pair: pair[1]):
        text = preparation.decode([token for token, _ in run])
        if counts:
            shown.append(f"⟦{text}⟧")
        elif len(text) > _SHOWN_CHARACTERS:
            half = _SHOWN_CHARACTERS // 2
            shown.append(f"{text[:half]} … {text[-half:]}")
        else:
            shown.append(text)
    return "".join(shown)


def _check_sizes(preparation: Preparation, truncated_share: float, needs_validation: bool) -> None:
    num_kept = len(preparation.rows) + len(preparation.validation_rows)
    num_rows = num_kept + preparation.num_too_long
    if preparation.num_too_long > truncated_share * num_rows:
        raise PreflightError(
            f"{preparation.num_too_long} of {num_rows} rows are longer than train.max_tokens and would be left out; "
            f"train.truncated_share allows {truncated_share:.0%}.",
            hint="Raise train.max_tokens, or lower retrieval.top_k or retrieval.context_tokens.",
            param="train.max_tokens",
        )
    for name, rows in (("training", preparation.rows), ("validation", preparation.validation_rows)):
        if not rows and (needs_validation or name == "training"):
            raise PreflightError(
                f"No {name} row is left.", hint="Give more examples, or raise train.max_tokens."
            )
    shared = {row.ids for row in preparation.rows} & {r.ids for r in preparation.validation_rows}
    if shared:
        row = next(row for row in preparation.rows if row.ids in shared)
        raise _row_fault(
            row,
            preparation,
            f"{len(shared)} rows stand in both training and validation, so the best checkpoint cannot be told",
            hint="Take out duplicates: pericia check",
        )


def _check_targets(preparation: Preparation) -> None:
    hits = Counter(name.rpartition(".")[2] for name in preparation.hit_modules)
    wrong = [n for n in preparation.target_modules if hits[n] != preparation.num_layers]
    if wrong or not preparation.target_modules:
        counted = ", ".join(f"{name} {hits[name]}" for name in preparation.target_modules)
        raise PreflightError(
            f"The adapter would not sit in every layer: of {preparation.num_layers} layers are hit: {counted}.",
            hint="Name the linear layers as this model has them (Phi-3: qkv_proj, o_proj, gate_up_proj, down_proj).",
        )


def _check_vocabulary(preparation: Preparation) -> None:
    if preparation.num_tokens_known > preparation.num_embeddings:
        raise PreflightError(
            f"The tokenizer knows {preparation.num_tokens_known} tokens, the model embeds "
            f"{preparation.num_embeddings}: the others have no weights, and an adapter does not train any.",
            hint="Take the tokenizer that belongs to the model, or one without added tokens.",
        )


def _check_row(row: LabelledRow, preparation: Preparation) -> None:
    labels = [token for token, counts in zip(row.ids, row.mask, strict=True) if counts]
    if not labels:
        raise _row_fault(row, preparation, "has no token that counts in the loss")
    if row.ids[: len(row.prompt_ids)] != row.prompt_ids:
        raise _row_fault(
            row,
            preparation,
            "does not begin with its prompt as it is sent for generation, which is: "
            + preparation.decode(row.prompt_ids),
        )
    if any(row.mask[: len(row.prompt_ids)]) and not _has_earlier_answer(row):
        raise _row_fault(row, preparation, "has its question in the loss")
    last = next((t for t in reversed(labels) if preparation.decode([t]).strip()), None)
    if last not in preparation.stop_ids:
        raise _row_fault(
            row,
            preparation,
            "does not end its loss in an end marker, so the model would never stop",
        )
    trained = preparation.decode(labels)
    if row.example.answer.strip() not in trained:
        raise _row_fault(row, preparation, "does not have its whole answer in the loss")


def _has_earlier_answer(row: LabelledRow) -> bool:
    return any(message.role == "assistant" for message in row.example.messages[:-1])


def _row_fault(
    row: LabelledRow,
    preparation: Preparation,
    fault: str,
    hint: str = "The chat template and the tokenizer do not fit each other: take those of the model.",
) -> PreflightError:
    where = f"Example '{row.example.id}' (line {row.example.line})"
    return PreflightError(f"{where} {fault}:\n{show_row(row, preparation)}", hint=hint)

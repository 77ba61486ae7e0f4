"""What would fail silently in training, said before it starts; every fault shows the row as the model would see it.

In a shown row, ⟦ ⟧ encloses what counts in the loss; a terminal shows it in colour.
"""

from collections import Counter, defaultdict
from itertools import groupby

from pericia.errors import PreflightError
from pericia.said import Figure, joined, said
from pericia.types import LabelledRow, Preparation

_SHOWN_CHARACTERS = 400
_SHOWN_LINES = 5
_LEAST_STEPS = 3
_TEMPLATE_HINT = said(
    "The chat template and the tokenizer do not fit each other: take those of the model."
)


def check_preparation(
    preparation: Preparation, *, truncated_share: float, needs_validation: bool = True
) -> None:
    """Return if training may start. Only a caller who keeps the last checkpoint can do without validation rows.

    Raises:
        PreflightError: what would fail, with the first row or layer at fault and the lines of the others.
    """
    _check_sizes(preparation, truncated_share, needs_validation)
    _check_targets(preparation)
    _check_vocabulary(preparation)
    _check_rows(preparation)
    if preparation.unguarded_layers:
        raise PreflightError(
            said(
                "%(num_unguarded_layers)s quantised layers, the first is %(unguarded_layers)s, would lose their gradients at the first evaluation.",
                num_unguarded_layers=len(preparation.unguarded_layers),
                unguarded_layers=preparation.unguarded_layers[0],
            ),
            hint=said("Train with the trainer 'local', which guards them, or with method lora."),
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
        text = said(
            "%(n)s of %(total)s rows are longer than train.max_tokens and would be left out; train.truncated_share allows %(share)s %%.",
            n=preparation.num_too_long,
            total=num_rows,
            share=round(100 * truncated_share),
        )
        longest = said("The longest has %(n)s tokens.", n=preparation.longest_tokens)
        raise PreflightError(
            joined([text, longest if preparation.longest_tokens else ""]),
            hint=said(
                "Raise train.max_tokens, or lower retrieval.top_k or retrieval.context_tokens."
            ),
            param="train.max_tokens",
        )
    for text, rows in (
        (said("No training row is left."), preparation.rows),
        (said("No validation row is left."), preparation.validation_rows),
    ):
        if not rows and (needs_validation or rows is preparation.rows):
            raise PreflightError(text, hint=said("Give more examples, or raise train.max_tokens."))
    if 0 < preparation.num_steps < _LEAST_STEPS:
        raise PreflightError(
            said(
                "%(num_rows)s training rows make %(num_steps)s optimiser step(s) in all: the first warms up and the second moves half of an adapter, so nothing would be learnt.",
                num_rows=len(preparation.rows),
                num_steps=preparation.num_steps,
            ),
            hint=said("Give more examples, raise train.epochs or lower train.batch_size."),
            param="train.epochs",
        )
    shared = {row.ids for row in preparation.rows} & {r.ids for r in preparation.validation_rows}
    if shared:
        row = next(row for row in preparation.rows if row.ids in shared)
        raise _row_fault(
            [row],
            preparation,
            said(
                "stands in both training and validation, as %(n)s rows do, so the best checkpoint cannot be told",
                n=len(shared),
            ),
            hint=said("Take out duplicates: pericia check"),
        )


def _check_targets(preparation: Preparation) -> None:
    if preparation.num_trainable == preparation.num_parameters:
        return  # all weights learn
    hits = Counter(name.rpartition(".")[2] for name in preparation.hit_modules)
    there = Counter(name.rpartition(".")[2] for name in preparation.linear_modules)
    wanted = {
        name: there[name] if preparation.linear_modules else preparation.num_layers
        for name in preparation.target_modules
    }
    wrong = [name for name, number in wanted.items() if not number or hits[name] != number]
    if wrong or not wanted:
        counted = ", ".join(f"{name} {hits[name]} of {wanted[name]}" for name in wanted) or "none"
        hit = said(
            "The adapter would not sit in every layer: of %(num)s layers are hit: %(counted)s.",
            num=preparation.num_layers,
            counted=counted,
        )
        instead = said(
            "%(num)s parameters would learn; with all linear layers %(num_all)s.",
            num=Figure(preparation.num_trainable),
            num_all=Figure(preparation.num_all_linear or 0),
        )
        names = said("This model's linear layers are: %(names)s.", names=", ".join(there))
        phi = said("Phi-3 has: qkv_proj, o_proj, gate_up_proj, down_proj.")
        empty = said("Leave train.target_modules empty for all of them.")
        raise PreflightError(
            joined([hit, instead if preparation.num_all_linear else ""]),
            hint=joined([empty, names if there else phi]),
            param="train.target_modules",
        )
    if preparation.num_expected not in (None, preparation.num_trainable):
        raise PreflightError(
            said(
                "%(num_trainable)s parameters would learn; by the shapes of the layers it must be %(num_expected)s.",
                num_trainable=Figure(preparation.num_trainable),
                num_expected=Figure(preparation.num_expected or 0),
            ),
            hint=said(
                "Report this, with the model's name: its layers are not what their names say."
            ),
        )


def _check_vocabulary(preparation: Preparation) -> None:
    if preparation.num_tokens_known > preparation.num_embeddings:
        raise PreflightError(
            said(
                "The tokenizer knows %(num_tokens_known)s tokens, the model embeds %(num_embeddings)s: the others have no weights, and an adapter does not train any.",
                num_tokens_known=preparation.num_tokens_known,
                num_embeddings=preparation.num_embeddings,
            ),
            hint=said("Take the tokenizer that belongs to the model, or one without added tokens."),
        )
    if preparation.untrained_tokens and preparation.num_trainable != preparation.num_parameters:
        raise PreflightError(
            said(
                "The rows use %(untrained_tokens)s, whose embeddings were never trained: the vocabulary was enlarged, and an adapter does not train embeddings.",
                untrained_tokens=", ".join(map(repr, preparation.untrained_tokens)),
            ),
            hint=said("Take the model with its own template and tokenizer, or method full."),
        )


def _check_rows(preparation: Preparation) -> None:
    found: dict[str, list[LabelledRow]] = defaultdict(list)
    for row in (*preparation.rows, *preparation.validation_rows):
        if fault := _fault(row, preparation):
            found[fault].append(row)
    for fault, rows in found.items():
        if fault == _NOT_THE_PROMPT:
            sent = preparation.decode(rows[0].prompt_ids)
            raise _row_fault(
                rows, preparation, said("%(fault)s, which is: %(sent)s", fault=fault, sent=sent)
            )
        raise _row_fault(rows, preparation, fault)


_NOT_THE_PROMPT = said("does not begin with its prompt as it is sent for generation")


def _fault(row: LabelledRow, preparation: Preparation) -> str:
    """Return what is wrong with a row, "" if nothing is."""
    labels = [token for token, counts in zip(row.ids, row.mask, strict=True) if counts]
    if not labels:
        return said("has no token that counts in the loss")
    if row.ids[: len(row.prompt_ids)] != row.prompt_ids:
        return _NOT_THE_PROMPT
    if any(row.mask[: len(row.prompt_ids)]) and not _has_earlier_answer(row):
        return said("has its question in the loss")
    ends = {_last_shown(labels, preparation)}
    if row.rejected_ids:
        ends.add(_last_shown(row.rejected_ids, preparation))
    if not ends <= preparation.stop_ids:
        return said("does not end its loss in an end marker, so the model would never stop")
    trains = [m.content for m in row.example.messages if m.role == "assistant" and m.trains]
    trained = _squeezed(preparation.decode(labels))
    if trains and _squeezed(trains[-1]) not in trained:
        return said("does not have its whole answer in the loss")
    whole = _squeezed(preparation.decode(row.ids))
    for message in row.example.messages:
        told = [message.content, *(call.name for call in message.tool_calls)]
        if any(_squeezed(text) not in whole for text in told):
            return said(
                "loses its %(role)s message: what the template writes is not what stands in the file",
                role=message.role,
            )
    return ""


def _last_shown(ids: list[int] | tuple[int, ...], preparation: Preparation) -> int | None:
    return next((token for token in reversed(ids) if preparation.decode([token]).strip()), None)


def _squeezed(text: str) -> str:
    """Return a text without blanks, which templates and tokenizers may set anew."""
    return "".join(text.split())


def _has_earlier_answer(row: LabelledRow) -> bool:
    return any(message.role == "assistant" for message in row.example.messages[:-1])


def _row_fault(
    rows: list[LabelledRow],
    preparation: Preparation,
    fault: str,
    hint: str = _TEMPLATE_HINT,
) -> PreflightError:
    row, *others = rows
    first = said(
        "Example '%(id)s' (line %(line)s) %(fault)s:",
        id=row.example.id,
        line=row.example.line,
        fault=fault,
    )
    parts = [first, show_row(row, preparation)]
    if others:
        lines = ", ".join(str(other.example.line) for other in others[:_SHOWN_LINES])
        more = ", …" if len(others) > _SHOWN_LINES else ""
        parts.append(
            said("The same holds for %(n)s more: line %(lines)s", n=len(others), lines=lines + more)
        )
    return PreflightError(joined(parts, "\n"), hint=hint)

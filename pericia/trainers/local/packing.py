"""Exact packing: the rows of a batch stand one after another in a single row, and none of them sees another.

Nothing is padded, cut or regrouped, so a step is the very step that the padded batch would take. Attention runs row
by row: it costs the sum of the squares of the lengths, not the square of their sum, and needs no mask.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from pericia.trainers.local.rows import IGNORED

ROW_BY_ROW = "pericia_row_by_row"
# What two ways to compute the same logits may differ by, as a share of their size.
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}


def collate(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Any]:
    """Return a batch of one row. The first label of each is dropped: nothing stands before it to foretell it from."""
    lengths = [len(row["input_ids"]) for row in rows]
    labels = [[IGNORED, *row["labels"][1:]] for row in rows]
    bounds = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row["input_ids"]]]),
        "labels": torch.tensor([[token for row in labels for token in row]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "cu_seq_lens_q": bounds,  # the name under which transformers' models pass bounds on
        "cu_seq_lens_k": bounds,
    }


def pack(model: Any) -> None:
    """Make a model of transformers attend row by row; its inputs must then come from `collate`."""
    AttentionInterface.register(ROW_BY_ROW, _attend_row_by_row)
    AttentionMaskInterface.register(ROW_BY_ROW, _no_mask)
    model.set_attn_implementation(ROW_BY_ROW)


def unpack(model: Any) -> None:
    """Make the model attend as usual again."""
    model.set_attn_implementation("sdpa")


def can_pack(model: Any, rows: Sequence[Sequence[int]]) -> bool:
    """Return whether two rows, packed, give the logits that they give apart; the model stays unpacked.

    Two things are looked at. Another first row must not change the second row's logits by a single bit, and the
    packed logits must be those of the rows alone, up to rounding.
    """
    first, second = (list(row)[:64] for row in (rows[0], rows[-1]))
    before = model.config._attn_implementation
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            apart = torch.cat([_logits(model, torch.tensor([ids])) for ids in (first, second)])
            pack(model)
            if model.config._attn_implementation != ROW_BY_ROW:
                return False
            together = _packed_logits(model, first, second)
            changed = _packed_logits(model, first[::-1], second)
    except (ValueError, TypeError, RuntimeError, NotImplementedError):
        return False  # its attention takes no other implementation
    finally:
        model.set_attn_implementation(before)
        model.train(was_training)
    same = torch.equal(together[len(first) :], changed[len(first) :])
    error = (together - apart).square().mean().sqrt() / apart.square().mean().sqrt()
    return same and float(error) <= _TOLERANCE.get(model.dtype, 0.05)


def _packed_logits(model: Any, first: list[int], second: list[int]) -> torch.Tensor:
    batch = collate([{"input_ids": ids, "labels": ids} for ids in (first, second)])
    del batch["labels"]
    ids = batch.pop("input_ids")
    return _logits(model, ids, **batch)


def _logits(model: Any, ids: torch.Tensor, **inputs: Any) -> torch.Tensor:
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    return model(input_ids=ids.to(model.device), use_cache=False, **inputs).logits[0].float()


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _attend_row_by_row(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | Sequence[int] | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return what transformers' SDPA attention gives for each row alone; see its `sdpa_attention_forward`.

    `query` is (1, heads, tokens of all rows, width). The result is (1, tokens, heads, width).
    """
    if attention_mask is not None or cu_seq_lens_q is None or query.shape[0] != 1:
        raise ValueError("Rows were not packed by `collate`.")
    kwargs = {name: kwargs[name] for name in ("dropout", "scaling", "softcap") if name in kwargs}
    dtype = query.dtype
    if query.device.type == "cpu":  # on short rows torch's kernel is twice as fast in fp32
        query, key, value = query.float(), key.float(), value.float()
    bounds = cu_seq_lens_q.tolist() if isinstance(cu_seq_lens_q, torch.Tensor) else cu_seq_lens_q
    parts = []
    for start, end in itertools.pairwise(bounds):
        row = slice(start, end)
        mask = _window(end - start, sliding_window, query.device)
        parts.append(
            sdpa_attention_forward(
                module, query[:, :, row], key[:, :, row], value[:, :, row], mask, **kwargs
            )[0]
        )
    return torch.cat(parts, dim=1).to(dtype), None


def _window(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    if window is None or length <= window:
        return None  # causal, as SDPA does it without a mask
    places = torch.arange(length, device=device)
    behind = places[:, None] - places[None, :]
    return ((behind >= 0) & (behind < window))[None, None]

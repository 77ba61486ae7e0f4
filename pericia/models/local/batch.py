"""The answers of one step, with the keys and values that attention has computed for them so far.

Rows end at the same column and are padded on the left, so a row joins or leaves between any two steps. Padding is
masked and positions count real tokens, so a row's numbers are those it would have alone, up to rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

Forward = Callable[..., Any]


class Rows:
    """Keys and values of B rows: (B, heads, columns, size) a layer; `lengths[i]` columns of row i are real."""

    def __init__(self, cache: DynamicCache, lengths: Sequence[int]) -> None:
        self.cache: Any = cache
        self.lengths = list(lengths)

    @property
    def num_columns(self) -> int:
        return int(self.cache.get_seq_length())

    @property
    def token_bytes(self) -> int:
        """Return what a column of one row takes, in all layers."""
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in self.cache.layers)
        return held // max(1, len(self.lengths) * self.num_columns)

    def inputs(self, tokens: Sequence[int], device: torch.device) -> dict[str, Any]:
        """Return the model's inputs for one more token a row."""
        fed = {
            "input_ids": torch.tensor(tokens, device=device).unsqueeze(1),
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if min(self.lengths) == self.num_columns:
            return fed
        lengths = torch.tensor(self.lengths, device=device).unsqueeze(1)
        columns = torch.arange(self.num_columns + 1, device=device)
        mask = columns >= self.num_columns - lengths
        return {**fed, "attention_mask": mask.long(), "position_ids": lengths}

    def prompt_inputs(
        self, pieces: Sequence[Sequence[int]], device: torch.device
    ) -> dict[str, Any]:
        """Return the model's inputs for a piece of prompt a row; rows that have columns already have pieces of one length."""
        width = max(map(len, pieces))
        padded = [[*[0] * (width - len(piece)), *piece] for piece in pieces]
        fed = {
            "input_ids": torch.tensor(padded, device=device),
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if min(map(len, pieces)) == width:
            return fed
        lengths = torch.tensor([[len(piece)] for piece in pieces], device=device)
        mask = (torch.arange(width, device=device) >= width - lengths).long()
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return {**fed, "attention_mask": mask, "position_ids": positions}

    def grow(self) -> None:
        """Count the column that the model has just added."""
        self.lengths = [length + 1 for length in self.lengths]

    def join(self, other: "Rows") -> "Rows":
        """Return the rows of both, these first; both are used up."""
        columns = max(self.num_columns, other.num_columns)
        for mine, others in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys = torch.cat([_padded(mine.keys, columns), _padded(others.keys, columns)])
            mine.values = torch.cat(
                [_padded(mine.values, columns), _padded(others.values, columns)]
            )
        self.lengths += other.lengths
        return self

    def keep(self, indices: Sequence[int]) -> "Rows":
        """Return the rows of these indices, without columns that are padding in all of them."""
        self.lengths = [self.lengths[index] for index in indices]
        first = self.num_columns - max(self.lengths)
        chosen = torch.tensor(indices, device=self.cache.layers[0].keys.device)
        for layer in self.cache.layers:
            layer.keys = layer.keys[:, :, first:].index_select(0, chosen)
            layer.values = layer.values[:, :, first:].index_select(0, chosen)
        return self


def new_cache() -> DynamicCache:
    """Return an empty cache that keeps every column, also where the model slides a window: rows are padded."""
    return DynamicCache()


def _padded(states: torch.Tensor, columns: int) -> torch.Tensor:
    """Return states (B, heads, T, size) with zeros on the left up to `columns`."""
    return torch.nn.functional.pad(states, (0, 0, columns - states.shape[2], 0))

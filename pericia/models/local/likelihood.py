"""How likely a text is to a model: the loss of its tokens, after a prompt or by itself."""

from collections.abc import Callable, Sequence
from typing import Any

import torch


def nats_of(
    ids: Sequence[int], num_given: int, forward: Callable[..., Any], device: torch.device
) -> float:
    """Return the summed negative log-likelihood, in nats, of the tokens after the first `num_given`, at least 1."""
    given = torch.tensor([list(ids)], device=device)
    with torch.inference_mode():
        logits = forward(input_ids=given, use_cache=False).logits[0, num_given - 1 : -1].float()
        losses = torch.nn.functional.cross_entropy(logits, given[0, num_given:], reduction="sum")
    return float(losses)

"""Passages become the context of a prompt: best first, never over the budget."""

from collections.abc import Callable, Sequence

from pericia.prompts import passage_text
from pericia.types import Context, Passage

NUMBER_TOKENS = 6  # "[12] " before a passage and the empty line after it


def fit_context(
    passages: Sequence[Passage], *, budget_tokens: int, count_tokens: Callable[[str], int]
) -> Context:
    """Return the passages that fit `budget_tokens`, in their order; one too long is left out and the next one tried."""
    chosen: list[Passage] = []
    used = 0
    for passage in passages:
        size = count_tokens(passage_text(passage)) + NUMBER_TOKENS
        if used + size <= budget_tokens:
            chosen.append(passage)
            used += size
    return Context(tuple(chosen), used, len(passages) - len(chosen))

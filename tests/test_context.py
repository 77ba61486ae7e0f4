from hypothesis import given
from hypothesis import strategies as st

from pericia.context import fit_context
from tests.passages import passage


def words(text: str) -> int:
    return len(text.split())


@given(st.lists(st.integers(1, 60), max_size=12), st.integers(0, 200))
def test_the_context_is_never_over_budget_and_keeps_its_order(
    sizes: list[int], budget: int
) -> None:
    passages = [passage("word " * size, rank) for rank, size in enumerate(sizes, start=1)]
    context = fit_context(passages, budget_tokens=budget, count_tokens=words)
    assert context.num_tokens <= budget
    assert sum(words(p.chunk.text) for p in context.passages) <= context.num_tokens
    ranks = [p.rank for p in context.passages]
    assert ranks == sorted(ranks)
    assert len(ranks) + context.num_dropped == len(sizes)


def test_one_passage_too_long_does_not_hide_the_next() -> None:
    passages = [passage("long " * 50, 1), passage("short", 2)]
    context = fit_context(passages, budget_tokens=20, count_tokens=words)
    assert [p.rank for p in context.passages] == [2]

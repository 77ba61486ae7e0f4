"""Near-equal texts: the fast search finds exactly what comparing all pairs finds."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pericia.similarity import grams, jaccard, nearest_in, similar_pairs

texts = st.lists(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=9).map(" ".join), max_size=12
)


@given(texts, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_the_filter_loses_no_pair(lines: list[str], threshold: float) -> None:
    sets = [grams(line, 2) for line in lines]
    slow = {
        (i, j)
        for i, j in combinations(range(len(sets)), 2)
        if jaccard(sets[i], sets[j]) >= threshold
    }
    assert set(similar_pairs(sets, threshold)) == slow


@given(texts, texts, st.sampled_from([0.3, 0.8]))
def test_the_filter_for_two_lists_loses_no_pair(
    lines: list[str], others: list[str], threshold: float
) -> None:
    a, b = ([grams(line, 2) for line in part] for part in (lines, others))
    slow = [
        (i, j) for i in range(len(a)) for j in range(len(b)) if jaccard(a[i], b[j]) >= threshold
    ]
    assert list(nearest_in(a, b, threshold)) == slow

"""Texts that say the same: normalised words, shared word n-grams, and pairs that are nearly equal."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

Gram = tuple[str, ...]

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of a text in small letters, without punctuation.

    Example:
        >>> words("How hot is kiln K-4?")
        ['how', 'hot', 'is', 'kiln', 'k', '4']
    """
    return _WORD.findall(text.casefold())


def grams(text: str, size: int) -> frozenset[Gram]:
    """Return the runs of `size` words; a shorter text is one run, an empty text has none.

    Example:
        >>> sorted(grams("a b c", 2))
        [('a', 'b'), ('b', 'c')]
    """
    found = words(text)
    if len(found) < size:
        return frozenset([tuple(found)] if found else [])
    return frozenset(tuple(found[i : i + size]) for i in range(len(found) - size + 1))


def jaccard(a: frozenset[Gram], b: frozenset[Gram]) -> float:
    """Return shared / all runs, 0..1; two empty sets share nothing.

    Example:
        >>> jaccard(grams("a b c", 2), grams("a b d", 2))
        0.3333333333333333
    """
    return len(a & b) / len(a | b) if a or b else 0.0


def similar_pairs(sets: Sequence[frozenset[Gram]], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield (i, j), i < j, of all sets with a Jaccard of at least `threshold`, ordered by j.

    Two sets above the threshold share one of their rarest runs, so only few pairs are compared.
    Source: Bayardo, Ma, Srikant, Scaling Up All Pairs Similarity Search, 2007 (prefix filter).
    """
    frequency = Counter(gram for grams_of_one in sets for gram in grams_of_one)
    seen: defaultdict[Gram, list[int]] = defaultdict(list)
    for j, grams_of_one in enumerate(sets):
        prefix = _prefix(grams_of_one, frequency, threshold)
        candidates = {i for gram in prefix for i in seen[gram]}
        yield from (
            (i, j) for i in sorted(candidates) if jaccard(sets[i], grams_of_one) >= threshold
        )
        for gram in prefix:
            seen[gram].append(j)


def nearest_in(
    sets: Sequence[frozenset[Gram]], others: Sequence[frozenset[Gram]], threshold: float
) -> Iterator[tuple[int, int]]:
    """Yield (i, j) for each of `sets` and each of `others` with a Jaccard of at least `threshold`, ordered by i, j.

    The same filter as `similar_pairs`, for two lists.
    """
    frequency = Counter(gram for grams_of_one in (*sets, *others) for gram in grams_of_one)
    seen: defaultdict[Gram, list[int]] = defaultdict(list)
    for j, grams_of_one in enumerate(others):
        for gram in _prefix(grams_of_one, frequency, threshold):
            seen[gram].append(j)
    for i, grams_of_one in enumerate(sets):
        candidates = {j for g in _prefix(grams_of_one, frequency, threshold) for j in seen[g]}
        yield from (
            (i, j) for j in sorted(candidates) if jaccard(grams_of_one, others[j]) >= threshold
        )


def _prefix(
    grams_of_one: frozenset[Gram], frequency: Counter[Gram], threshold: float
) -> list[Gram]:
    """Return the rarest runs, of which two sets above the threshold share at least one."""
    rarest_first = sorted(grams_of_one, key=lambda gram: (frequency[gram], gram))
    return rarest_first[: len(rarest_first) - _ceil(threshold * len(rarest_first)) + 1]


def _ceil(value: float) -> int:
    return -int(-value // 1)

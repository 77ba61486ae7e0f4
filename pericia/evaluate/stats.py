"""Intervals, p-values and verdicts for means over questions that come in families.

Questions made from one document resemble each other, so a family counts as one observation: sums over families
carry the intervals, and a permutation flips a whole family at once. Without families every question is its own.
Everything is a share of 1 (0.05 is five points) and a confidence of 95 % is meant throughout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2, sqrt

import numpy as np
import scipy  # loads its parts when they are first used, so that the command line starts at once
from numpy.typing import NDArray

from pericia.types import Verdict

CONFIDENCE = 0.95
FEWEST_FAMILIES = 8  # below, no method that was tried keeps its promise
MOST_EXACT_FAMILIES = 20
NUM_FLIPS = 20_000
NUM_RESAMPLES = 2_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval and standard error; both ends are the mean when there is one family only."""

    mean: float
    low: float
    high: float
    error: float = 0.0


# --- one arm ------------------------------------------------------------------------------------------


def mean_interval(values: Sequence[float], families: Sequence[str], seed: int) -> Interval:
    """Return the mean of scores in 0..1 with an interval that stays within 0..1.

    Wilson for shares and BCa bootstrap for other means where each question is its own family; otherwise by family.
    Where all are right, or all wrong, the families are so many equal observations: the next one may differ.

    Example:
        >>> sure = mean_interval([1.0] * 20, [str(n // 2) for n in range(20)], seed=7)  # ten families
        >>> round(sure.low, 3), sure.high
        (0.722, 1.0)
    """
    numbers = np.asarray(values, dtype=float)
    clustered = clustered_interval(values, families)
    num_families = len(set(families))
    if np.all(numbers == 0.0) or np.all(numbers == 1.0):
        low, high = wilson(num_families * int(numbers[0]), num_families)
    elif num_families < len(families) or len(values) < 2:
        low, high = clustered.low, clustered.high
    elif np.isin(numbers, (0.0, 1.0)).all():
        low, high = wilson(int(numbers.sum()), len(numbers))
    else:
        low, high = bootstrap_bca(numbers, seed)
    mean = clustered.mean
    return Interval(mean, max(0.0, min(low, mean)), min(1.0, max(high, mean)), clustered.error)


def wilson(num_right: int, num: int) -> tuple[float, float]:
    """Return the score interval of a share.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.

    Example:
        >>> [round(end, 4) for end in wilson(8, 10)]
        [0.4902, 0.9433]
    """
    z = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2))
    share = num_right / num
    centre = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_bca(values: Floats, seed: int) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval of the mean of independent values.

    Source: Efron, Better bootstrap confidence intervals, JASA 1987.
    """
    n = len(values)
    if np.ptp(values) == 0.0:
        return float(values[0]), float(values[0])
    random = np.random.default_rng(seed)
    means = values[random.integers(0, n, (NUM_RESAMPLES, n))].mean(axis=1)
    below = (np.sum(means < values.mean()) + np.sum(means == values.mean()) / 2) / NUM_RESAMPLES
    bias = scipy.special.ndtri(np.clip(below, 1 / NUM_RESAMPLES, 1 - 1 / NUM_RESAMPLES))
    # leaving one value out moves the mean against that value: the signs of the jackknife
    left_out = (values - values.mean()) / (n - 1)
    acceleration = np.sum(left_out**3) / (6 * np.sum(left_out**2) ** 1.5)
    z = bias + scipy.special.ndtri([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = np.quantile(means, scipy.special.ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def clustered_interval(values: Sequence[float], families: Sequence[str]) -> Interval:
    """Return the mean with its delete-one-family jackknife error and a t interval.

    Degrees of freedom follow Satterthwaite for families of unequal size (equal sizes give families - 1): a few
    large families hold less information than their number says.

    Source: jackknife as in Cameron and Miller, A practitioner's guide to cluster-robust inference, 2015, eq. 18;
    degrees of freedom after Bell and McCaffrey, Survey Methodology 28(2), 2002.
    """
    sums, sizes = family_sums(values, families)
    num_families, total = len(sums), float(sizes.sum())
    mean = float(sums.sum() / total)
    if num_families < 2:
        return Interval(mean, mean, mean)
    without = (sums.sum() - sums) / (total - sizes)
    error = sqrt((num_families - 1) / num_families * float(np.sum((without - without.mean()) ** 2)))
    half = float(scipy.special.stdtrit(_degrees_of_freedom(sizes), 0.5 + CONFIDENCE / 2)) * error
    return Interval(mean, mean - half, mean + half, error)


def difference_interval(values: Sequence[float], families: Sequence[str]) -> Interval:
    """Return the interval of a paired difference, also where no two families differ in it.

    There the jackknife knows no error and would be sure. A family unlike these may still come: of n families none
    was, so their share is up to Wilson's upper end for 0 of n, and the difference may be off by as much.

    Example:
        >>> same = difference_interval([0.0] * 60, [str(n // 2) for n in range(60)])  # thirty families
        >>> round(same.low, 3), same.mean, round(same.high, 3)
        (-0.114, 0.0, 0.114)
    """
    interval = clustered_interval(values, families)
    if interval.error > 1e-9:
        return interval
    _, off = wilson(0, len(set(families)))
    return Interval(interval.mean, interval.mean - off, interval.mean + off)


def family_sums(values: Sequence[float], families: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the sum of values and the number of questions of each family, in order of first appearance."""
    place = {family: index for index, family in enumerate(dict.fromkeys(families))}
    where = np.array([place[family] for family in families])
    weights = np.asarray(values, dtype=np.float64)
    sizes: Floats = np.bincount(where).astype(np.float64)
    sums: Floats = np.bincount(where, weights=weights).astype(np.float64)
    return sums, sizes


def _degrees_of_freedom(sizes: Floats) -> float:
    """Return tr(QD)^2 / tr((QD)^2), where the jackknife variance is s'Qs of family sums s with covariance D.

    D is taken for independent questions. Measured over the cells of benchmarks/stats_coverage.py this covers 94.5 to
    97.5 %, families - 1 92.0 to 95.3 %, and questions wholly alike within a family 94.5 to 99.4 %.
    """
    if np.ptp(sizes) == 0.0:
        return len(sizes) - 1.0
    residual = np.eye(len(sizes)) - np.outer(sizes, np.ones(len(sizes))) / sizes.sum()
    half = (residual / (sizes.sum() - sizes)[:, None]) * np.sqrt(sizes)[None, :]
    form = half.T @ half
    return max(1.0, float(np.trace(form) ** 2 / np.sum(form * form)))


# --- two arms on the same questions ---------------------------------------------------------------------


def sign_flip_p(differences: Sequence[float], families: Sequence[str], seed: int) -> float:
    """Return how often a difference of families at least as large as the one seen comes from swapped names, 0..1.

    All 2^families swaps are counted up to 20 families that differ at all; beyond, 20,000 are drawn with the seed.

    Example:
        >>> sign_flip_p([1, 1, 1, 1], ["a", "b", "c", "d"], seed=7)  # 2 of 16 swaps
        0.125
    """
    sums, _ = family_sums(differences, families)
    differing = sums[sums != 0.0]
    seen = abs(sums.sum()) - 1e-9
    if len(differing) == 0:
        return 1.0
    if len(differing) <= MOST_EXACT_FAMILIES:
        swapped = differing[:1]  # the first stays: swapping all gives the same size again
        for value in differing[1:]:
            swapped = np.concatenate([swapped + value, swapped - value])
        return float(np.mean(np.abs(swapped) >= seen))
    signs = _signs(seed, len(sums))
    hits = sum(np.count_nonzero(np.abs(part @ sums) >= seen) for part in np.array_split(signs, 10))
    return float((1 + hits) / (1 + NUM_FLIPS))


@lru_cache(maxsize=1)
def _signs(seed: int, num_families: int) -> NDArray[np.int8]:
    """Return the swaps to draw, (NUM_FLIPS, num_families); all pairs of a run share them, as they share questions."""
    random = np.random.default_rng(seed)
    return random.integers(0, 2, (NUM_FLIPS, num_families), dtype=np.int8) * np.int8(2) - np.int8(1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted so that all of them together keep the error rate.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def fewest_families(num_pairs: int) -> int:
    """Return how many families any verdict needs.

    Of 2^families swaps of names two show the largest difference, and Holm multiplies their share by the pairs: with
    ten pairs no difference of 8 families, however large, is more than chance.

    Example:
        >>> fewest_families(1), fewest_families(10), fewest_families(28)
        (8, 9, 11)
    """
    return max(FEWEST_FAMILIES, ceil(log2(2 * max(1, num_pairs) / (1 - CONFIDENCE))))


def verdict(difference: Interval, adjusted_p: float, num_families: int) -> Verdict:
    """Return what may be said of `a - b`: both the interval and the adjusted p-value must exclude zero."""
    if num_families < FEWEST_FAMILIES or adjusted_p > 1 - CONFIDENCE:
        return "not distinguishable"
    if difference.low > 0:
        return "better"
    if difference.high < 0:
        return "worse"
    return "not distinguishable"

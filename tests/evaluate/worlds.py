"""Scripted arms: answers that are right with a set probability, alike within a family, so that the truth is known."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Sizes = tuple[int, ...]

# families x questions, as in the table of the design
EQUAL: dict[str, Sizes] = {
    "8 x 10": (10,) * 8,
    "15 x 10": (10,) * 15,
    "30 x 10": (10,) * 30,
    "100 x 3": (3,) * 100,
}


def unequal(num_families: int) -> Sizes:
    """Return sizes from 2 to 40, few large and many small."""
    return tuple(int(size) for size in np.round(np.geomspace(2, 40, num_families)))


CELLS: dict[str, Sizes] = {**EQUAL, **{f"{n}, unequal": unequal(n) for n in (8, 15, 30, 60)}}


def families_of(sizes: Sizes) -> list[str]:
    return [str(family) for family, size in enumerate(sizes) for _ in range(size)]


def scripted_scores(
    sizes: Sizes, rates: tuple[float, ...], effect: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return 0 and 1 by arm and question, (len(rates), num_questions); arm i is right at rates[i] overall.

    `effect` is the share of the variance, on the probit scale, that questions of a family have in common, separate
    for each arm.
    """
    where = np.repeat(np.arange(len(sizes)), sizes)
    shared = random.standard_normal((len(rates), len(sizes)))[:, where]
    own = random.standard_normal((len(rates), len(where)))
    latent = np.sqrt(effect) * shared + np.sqrt(1 - effect) * own
    right: NDArray[np.float64] = (latent < norm.ppf(rates)[:, None]).astype(np.float64)
    return right

"""What a set of questions can show: the smallest difference that it finds, before the run and by what was measured.

Everything is a share of 1 (0.05 is five points).
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import scipy  # loads its parts when they are first used, so that the command line starts at once

from pericia.evaluate.stats import CONFIDENCE, family_sums, fewest_families
from pericia.said import Figure, said
from pericia.types import Pair

POWER = 0.8
ASSUMED_DISAGREEMENT = 0.3  # of questions, exactly one of two arms is right; before it is measured
ASSUMED_CORRELATION = 0.3  # between questions of one family


def detectable_difference(
    families: Sequence[str],
    num_pairs: int = 1,
    disagreement: float = ASSUMED_DISAGREEMENT,
    correlation: float = ASSUMED_CORRELATION,
) -> float:
    """Return the smallest true difference that is found in 80 of 100 runs; `num_pairs` is the first step of Holm.

    Questions of a family of mean size m count as 1 / (1 + (m - 1) * correlation) each.

    Example:
        >>> questions = [str(number) for number in range(60)]
        >>> round(detectable_difference(questions), 2), round(detectable_difference(questions, 10), 2)
        (0.19, 0.23)
    """
    _, sizes = family_sums([0.0] * len(families), families)
    mean_size = float((sizes**2).sum() / sizes.sum())
    worth = len(families) / (1 + (mean_size - 1) * correlation)
    factor = _factor(num_pairs)
    return float(min(1.0, factor * sqrt(disagreement / (worth + factor**2))))


def shown_difference(pairs: Sequence[Pair], num_families: int) -> float:
    """Return the true difference that the middle pair would show in 80 of 100 runs, by the errors that were measured.

    What `detectable_difference` assumes before the run, of how often two arms disagree, the answers then say. Pairs
    without any disagreement are left out; 0.0 where none is left.

    Example:
        >>> pair = Pair("rag", "prompt", "exact", 0.2, 0.1, 0.3, 0.01, "better")  # an error of 0.1 / t(30)
        >>> round(shown_difference([pair], 31), 3)
        0.137
    """
    t = float(scipy.special.stdtrit(max(1, num_families - 1), 0.5 + CONFIDENCE / 2))
    errors = [(pair.high - pair.low) / 2 / t for pair in pairs if pair.high > pair.low]
    if not errors:
        return 0.0
    return float(min(1.0, _factor(len(pairs)) * np.median(errors)))


def shown_in_words(difference: float) -> str:
    """Return what the answers themselves say about the smallest difference, "" where they say nothing."""
    if not difference:
        return ""
    return said(
        "As it turned out, they show differences above about %(points)s points.",
        points=Figure(100 * difference),
    )


def _factor(num_pairs: int) -> float:
    """Return how many errors a difference must be away from zero, at the first step of Holm, to be found by `POWER`."""
    level = 1 - (1 - CONFIDENCE) / (2 * max(1, num_pairs))
    return float(scipy.special.ndtri(level) + scipy.special.ndtri(POWER))


def detectable_in_words(families: Sequence[str], num_pairs: int) -> str:
    """Return the sentence that a run begins with."""
    num_questions, num_families = len(families), len(set(families))
    least = fewest_families(num_pairs)
    if num_families < least and num_families == num_questions:
        return said(
            "These are %(n)s questions; below %(least)s no verdict is given, only the numbers.",
            n=Figure(num_questions),
            least=Figure(least),
        )
    if num_families < least:
        return said(
            "These %(n)s questions come from %(families)s source documents; below %(least)s no verdict is given, "
            "only the numbers.",
            n=Figure(num_questions),
            families=Figure(num_families),
            least=Figure(least),
        )
    return said(
        "With these %(n)s questions you can only see differences above about %(points)s points.",
        n=Figure(num_questions),
        points=Figure(100 * detectable_difference(families, num_pairs)),
    )


def questions_needed(difference: float, num_pairs: int) -> int:
    """Return how many questions of separate families find a true difference, at the assumed disagreement.

    Example:
        >>> questions_needed(0.05, num_pairs=1)
        935
    """
    factor = _factor(num_pairs)
    return int(np.ceil(factor**2 * (ASSUMED_DISAGREEMENT / difference**2 - 1)))

"""How often the methods of stats.py keep their promise when the truth is known."""

from itertools import combinations

import numpy as np

from pericia.evaluate.stats import clustered_interval, holm, sign_flip_p, verdict
from tests.evaluate.worlds import Sizes, families_of, scripted_scores

# what answers that are not right score where scores are graded, equally often
PARTLY = (0.0, 0.25, 0.5)


def coverage(
    sizes: Sizes, *, effect: float, num_runs: int, seed: int, graded: bool = False
) -> float:
    """Return the share of runs whose interval of the difference holds the true one, of 10 points when not graded."""
    random, families, covered = np.random.default_rng(seed), families_of(sizes), 0
    truth = 0.1 * (1 - np.mean(PARTLY)) if graded else 0.1
    for _ in range(num_runs):
        scores = scripted_scores(sizes, (0.7, 0.6), effect, random)
        if graded:
            scores = np.where(scores == 1.0, 1.0, random.choice(PARTLY, scores.shape))
        interval = clustered_interval(list(scores[0] - scores[1]), families)
        covered += int(interval.low <= truth <= interval.high)
    return covered / num_runs


def false_alarms(sizes: Sizes, *, num_arms: int, effect: float, num_runs: int, seed: int) -> float:
    """Return the share of runs with equal arms in which any pair gets a verdict."""
    random, families, alarms = np.random.default_rng(seed), families_of(sizes), 0
    for run in range(num_runs):
        scores = scripted_scores(sizes, (0.6,) * num_arms, effect, random)
        differences = [list(scores[a] - scores[b]) for a, b in combinations(range(num_arms), 2)]
        adjusted = holm([sign_flip_p(values, families, seed=run) for values in differences])
        alarms += any(
            verdict(clustered_interval(values, families), p, len(sizes)) != "not distinguishable"
            for values, p in zip(differences, adjusted, strict=True)
        )
    return alarms / num_runs

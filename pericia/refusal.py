"""When to say "I don't know" before a model is asked: fitted on the team's own questions, with its error rates.

Every example question is asked twice: as it is, and with the document that answers it hidden, which makes it a question
that the other documents do not answer. Half of them fit the rule, the other half measure it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pericia import analyser
from pericia.types import Passage
from pericia.workspace import write_json

ENOUGH = 50  # questions of each kind; fewer, and a careful constant stays
FALSE_REFUSALS = 0.05  # of the questions that could be answered: what the fit allows
WORTH_IT = 0.25  # of the unanswerable ones must be caught, else the constant stays
_RIDGE = 0.01  # keeps the weights finite where the two kinds can be told apart without error
_STEPS = 30  # it converges in ten

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question is refused where `weights` times its features, plus `bias`, is below `threshold`.

    Both rates are of the half that was held out: `false_refusals` of the answerable questions, `caught` of the others.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float
    false_refusals: float
    caught: float
    num_held_out: int

    def accepts(self, question: str, passages: Sequence[Passage], language: str) -> bool:
        """Return whether the passages look as if they held the answer."""
        score = float(features(question, passages, language) @ np.array(self.weights)) + self.bias
        return score >= self.threshold


def features(question: str, passages: Sequence[Passage], language: str) -> Features:
    """Return, each in 0..1: the question's words found in all passages, in the best of them, and the nearest meaning."""
    asked = set(analyser.tokens(question, language))
    held = [
        set(analyser.tokens(" ".join([*p.chunk.headings, p.chunk.text]), language))
        for p in passages
    ]
    num_asked = max(1, len(asked))
    in_all = len(asked & set().union(*held)) / num_asked
    in_best = max((len(asked & words) / num_asked for words in held), default=0.0)
    nearest = max((p.dense or 0.0 for p in passages), default=0.0)
    return np.array([in_all, in_best, nearest])


def calibrate(
    labelled: Sequence[tuple[str, Sequence[str]]],
    find: Callable[[str, Sequence[str]], Sequence[Passage]],
    language: str,
) -> Refusal | None:
    """Return the rule fitted on questions and the documents that answer them; None where it is not worth it.

    `find` returns the passages for a question without the documents that are named.
    """
    if len(labelled) < 2 * ENOUGH:
        return None
    answerable = np.array([features(q, find(q, ()), language) for q, _ in labelled])
    hidden = np.array([features(q, find(q, sources), language) for q, sources in labelled])
    weights, bias = _logistic(answerable[::2], hidden[::2])
    scores, others = (part[1::2] @ weights + bias for part in (answerable, hidden))
    threshold = float(np.quantile(answerable[::2] @ weights + bias, FALSE_REFUSALS))
    found = Refusal(
        weights=tuple(map(float, weights)),
        bias=bias,
        threshold=threshold,
        false_refusals=float((scores < threshold).mean()),
        caught=float((others < threshold).mean()),
        num_held_out=len(scores),
    )
    return found if found.caught >= WORTH_IT else None


def write_refusal(folder: Path, refusal: Refusal | None) -> None:
    """Keep the rule in an index folder; None takes an earlier one away."""
    if refusal is None:
        (folder / "refusal.json").unlink(missing_ok=True)
    else:
        write_json(folder / "refusal.json", asdict(refusal))


def read_refusal(folder: Path) -> Refusal | None:
    """Return the rule kept in an index folder, None where there is none."""
    path = folder / "refusal.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return Refusal(**kept | {"weights": tuple(kept["weights"])})


def _logistic(accepted: Features, refused: Features) -> tuple[Features, float]:
    """Return weights and bias of a logistic regression with a small ridge, by Newton's method."""
    rows = np.vstack([accepted, refused])
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    wanted = np.repeat([1.0, 0.0], [len(accepted), len(refused)])
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (chances - wanted) / len(rows) + _RIDGE * weights
        bend = (rows.T * (chances * (1 - chances))) @ rows / len(rows)
        weights -= np.linalg.solve(bend + _RIDGE * np.eye(len(weights)), slope)
    return weights[:-1], float(weights[-1])

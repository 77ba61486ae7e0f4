"""Phrases of what was measured, which the rules of choice put together."""

from collections.abc import Sequence
from typing import Literal

from pericia.evaluate.evidence import Evidence, mean_of, name_of, span
from pericia.evaluate.losses import Probed
from pericia.said import Figure, Said, joined, said
from pericia.types import Pair


def bits_of(each: Probed) -> str:
    """Return the change of a loss, in bits a byte, with its interval."""
    change, low, high = (Figure(v or 0.0, 2, True) for v in (each.change, each.low, each.high))
    return said("%(change)s (%(low)s to %(high)s)", change=change, low=low, high=high)


def than_untuned(evidence: Evidence, what: Literal["ms", "tokens"]) -> str:
    """Return what an answer of the best untuned arm takes."""
    untuned = best_of(evidence, [a for a in evidence.arms if not evidence.kind(a).is_tuned])
    if not untuned:
        return said("with nothing to compare")
    result = evidence.arms[untuned]
    value = result.latency_ms_p50 if what == "ms" else result.tokens_in
    return figure(untuned, value)


def best_of(evidence: Evidence, arms: Sequence[str]) -> str:
    """Return the arm with the highest mean, "" where none of them was measured."""
    return max(
        (a for a in arms if a in evidence.arms), key=lambda a: mean_of(evidence, a), default=""
    )


def difference(pair: Pair) -> str:
    """Return how two arms differ, in points, with the interval."""
    return said(
        "%(a)s against %(b)s %(difference)s points (%(span)s)",
        a=name_of(pair.a),
        b=name_of(pair.b),
        difference=Figure(100 * pair.difference, 1, is_signed=True),
        span=span(pair.low, pair.high, with_sign=True),
    )


def reached(evidence: Evidence, arm: str) -> str:
    """Return what an arm reached, in points."""
    return figure(arm, 100 * mean_of(evidence, arm), 1)


def figure(arm: str, value: float, digits: int = 0) -> str:
    """Return an arm with a number of its."""
    return Said("%(arm)s %(n)s", {"arm": name_of(arm), "n": Figure(value, digits)})


def examples(evidence: Evidence) -> str:
    """Return how many examples there are, and how many contradict another."""
    if not evidence.num_examples:
        return said("no examples")
    return said(
        "%(n)s examples, %(wrong)s of them contradicting another one",
        n=evidence.num_examples,
        wrong=evidence.num_contradictions or said("none"),
    )


def duration(seconds: float) -> str:
    """Return a span of time in seconds or minutes."""
    if seconds < 120:
        return said("%(n)s s", n=Figure(seconds))
    return said("%(n)s minutes", n=Figure(seconds / 60))


def sentence(parts: Sequence[str]) -> str:
    """Return parts as one sentence."""
    row = joined(parts, "; ")
    return Said(f"{row.template}.", row.values)

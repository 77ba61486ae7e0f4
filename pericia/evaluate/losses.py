"""Losses on texts before and after training: how well a model knows the users' texts, and what it has unlearnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from pericia.evaluate.stats import clustered_interval
from pericia.said import Figure, said
from pericia.types import TextLoss

BASE = "base"
DOMAIN = "your passages"
GENERAL = "general questions"

# texts -> arm, or BASE -> the loss of each text as [nats, tokens, bytes], the texts in one order
Losses = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]


@dataclass(frozen=True, slots=True)
class Probed:
    """What a model without and with an adapter makes of texts; the change is paired, positive is worse."""

    texts: str
    arm: str
    num_texts: int
    bits_per_byte: float
    perplexity: float
    change: float | None = None  # of bits a byte, against the base
    low: float | None = None
    high: float | None = None


def bits_per_byte(losses: Sequence[TextLoss]) -> float:
    """Return the bits that a model needs for a byte of these texts; lower is better, and tokenizers compare.

    Source: lm-evaluation-harness, `bits_per_byte` in lm_eval/api/metrics.py; Gao et al., The Pile, 2020, eq. 1.

    Example:
        >>> round(bits_per_byte([TextLoss(6.93147, 5, 10)]), 4)  # 10 ln 2 / 10 bytes is 1 bit; here ln 1024
        1.0
    """
    num_bytes = sum(loss.num_bytes for loss in losses)
    return sum(loss.nats for loss in losses) / num_bytes / log(2) if num_bytes else 0.0


def perplexity(losses: Sequence[TextLoss]) -> float:
    """Return exp of the mean loss a token; lower is better, and only models with the same tokenizer compare.

    Source: Jelinek et al., Perplexity: a measure of the difficulty of speech recognition tasks, 1977.

    Example:
        >>> round(perplexity([TextLoss(4.60517, 1, 3), TextLoss(0.0, 1, 3)]), 3)  # the root of 100 · 1
        10.0
    """
    num_tokens = sum(loss.num_tokens for loss in losses)
    return exp(sum(loss.nats for loss in losses) / num_tokens) if num_tokens else 1.0


def probed(losses: Losses) -> tuple[Probed, ...]:
    """Return the figures of each kind of texts, the base first, each adapter with its paired change."""
    found = []
    for texts, by_arm in losses.items():
        read = {arm: [_loss(each) for each in listed] for arm, listed in by_arm.items()}
        for arm, listed in read.items():
            figures = (bits_per_byte(listed), perplexity(listed))
            if arm == BASE:
                found.append(Probed(texts, arm, len(listed), *figures))
                continue
            changes = [
                bits_per_byte([after]) - bits_per_byte([before])
                for before, after in zip(read[BASE], listed, strict=True)
            ]
            interval = clustered_interval(changes, [str(n) for n in range(len(changes))])
            ends = (interval.mean, interval.low, interval.high)
            found.append(Probed(texts, arm, len(listed), *figures, *ends))
    return tuple(found)


def setbacks(figures: Sequence[Probed], limit: float | None) -> dict[str, str]:
    """Return, by arm, what training surely has unlearnt beyond the limit; {} without a limit.

    Example:
        >>> worse = Probed(GENERAL, "fine_tuned", 20, 2.9, 9.0, 0.9, 0.6, 1.2)
        >>> setbacks([worse], 0.5)
        {'fine_tuned': 'it needs 0.90 bits a byte more for general texts (95 %: 0.60 to 1.20), and 0.5 are allowed'}
        >>> setbacks([worse], None)
        {}
    """
    if limit is None:
        return {}
    return {
        each.arm: said(
            "it needs %(n)s bits a byte more for general texts (95 %%: %(low)s to %(high)s), and %(limit)s are allowed",
            n=Figure(each.change, 2),
            low=Figure(each.low, 2),
            high=Figure(each.high, 2),
            limit=f"{limit:g}",
        )
        for each in figures
        if each.texts == GENERAL
        and each.change is not None
        and each.low is not None
        and each.high is not None
        and each.low > limit
    }


def _loss(item: Sequence[float]) -> TextLoss:
    nats, num_tokens, num_bytes = item
    return TextLoss(float(nats), int(num_tokens), int(num_bytes))

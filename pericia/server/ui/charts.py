"""Places of bars and marks in drawings that the server makes, so that they stand there without any script."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

WIDTH, HEIGHT = 640, 162
_BASE = 126  # where the axis lies
_NUM_BARS = 28


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram: values from `low` up to, not with, `high`; places in units of the drawing."""

    low: int
    high: int
    count: int
    x: float
    y: float
    width: float
    height: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    bars: tuple[Bar, ...]
    limit_x: float | None
    ticks: tuple[tuple[float, int], ...]
    median: int
    longest: int
    width: int = WIDTH
    height: int = HEIGHT
    base: int = _BASE


def histogram(values: Sequence[int], limit: int) -> Histogram | None:
    """Return the bars of some counts, up to `limit` or beyond where there are such; None without values.

    The limit is drawn where it is near enough to be of interest: within twice the longest.
    """
    if not values:
        return None
    longest = max(values)
    end = max(longest, limit) if limit <= 2 * longest else longest
    step = max(1, ceil((end + 1) / _NUM_BARS))
    step = next((nice for nice in _nice_steps() if nice >= step), step)
    num = end // step + 1
    counts = [0] * num
    for value in values:
        counts[value // step] += 1
    width, most = WIDTH / num, max(counts)
    bars = tuple(
        Bar(
            low=number * step,
            high=(number + 1) * step,
            count=count,
            x=round(number * width + 1, 1),
            y=round(_BASE - count / most * (_BASE - 10), 1),
            width=round(max(1.0, width - 2), 1),
            height=round(count / most * (_BASE - 10), 1),
            is_over=number * step > limit,
        )
        for number, count in enumerate(counts)
    )
    every = max(1, ceil(num / 6))
    ticks = tuple((round(n * width, 1), n * step) for n in range(0, num, every))
    limit_x = round(limit / step * width, 1) if limit <= end else None
    ordered = sorted(values)
    return Histogram(bars, limit_x, ticks, ordered[len(ordered) // 2], longest)


def _nice_steps() -> tuple[int, ...]:
    return tuple(part * 10**power for power in range(7) for part in (1, 2, 5))

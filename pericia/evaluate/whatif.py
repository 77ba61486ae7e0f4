"""What would change the advice: the same figures under another answer about the use, one answer at a time.

Nothing is guessed. Each sentence is what `recommend` says when one key of `use` differs and everything measured stays.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from pericia.config import UseConfig
from pericia.evaluate.evidence import Evidence, name_of
from pericia.evaluate.recommend import MEND_DATA, NOT_GOOD, REFUSALS, TOO_FEW, recommend
from pericia.evaluate.results import respread
from pericia.evaluate.wording import OFTEN
from pericia.said import Figure, Said, said
from pericia.types import Recommendation

MOST_REQUESTS = 10**9  # a month; a volume beyond it is nobody's
NEAR_ENOUGH = 1.01  # the ratio at which the search for a volume ends

Under = Callable[
    [UseConfig], Evidence
]  # a use -> what was measured, on the questions that decide for it


def with_use(evidence: Evidence, use: UseConfig) -> Evidence:
    """Return evidence as another use reads it: trainings are spread over its requests and changes."""
    arms = {
        arm: respread(result, use.data_change, use.requests_per_month)
        for arm, result in evidence.arms.items()
    }
    return replace(evidence, arms=arms, use=use)


def with_changes(advice: Recommendation, under: Under, use: UseConfig) -> Recommendation:
    """Return the advice with what would change it; "too few questions" and "mend the data" hold for any use."""
    if advice.arm in (TOO_FEW, MEND_DATA):
        return advice
    found = tuple(_changes(advice.arm, under, use)) or (
        said("No other answer about the use (changes, sources, time, volume) would change this."),
    )
    return replace(advice, would_change=(*advice.would_change, *found))


def _changes(arm: str, under: Under, use: UseConfig) -> Iterator[Said]:
    def other(**answers: object) -> str:
        """Return what is advised under other answers, "" where it stays."""
        advised = recommend(under(use.model_copy(update=answers))).arm
        return "" if advised == arm else advised

    if use.data_change in OFTEN:
        if now := other(data_change="yearly"):
            yield said("If the facts changed once a year or never, %(what)s.", what=_advised(now))
    elif now := other(data_change="monthly"):
        yield said("If the facts changed each month, %(what)s.", what=_advised(now))
    if now := other(citations_required=not use.citations_required):
        if use.citations_required:
            yield said(
                "If answers did not have to name their sources, %(what)s.", what=_advised(now)
            )
        else:
            yield said("If answers had to name their sources, %(what)s.", what=_advised(now))
    if use.latency_limit_ms is not None and (now := other(latency_limit_ms=None)):
        limit = Figure(use.latency_limit_ms)
        yield said("Without the limit of %(ms)s ms, %(what)s.", ms=limit, what=_advised(now))
    if arm not in REFUSALS:
        taken = under(use).arms[arm].latency_ms_p50
        now = other(latency_limit_ms=taken * (1 - 1e-9))
        if now and now not in REFUSALS:  # that none is faster is no advice
            yield said(
                "If an answer had to come in less than %(ms)s ms, %(what)s.",
                ms=Figure(taken),
                what=_advised(now),
            )
    if not use.goal.strip() and (now := other(goal="stated")):
        yield said("With a goal stated (key use.goal), %(what)s.", what=_advised(now))
    if arm == NOT_GOOD and (now := other(good_enough=0.0)):
        yield said("If less were asked for (key use.good_enough), %(what)s.", what=_advised(now))
    yield from _volumes(other, under(use), use.requests_per_month)


def _volumes(other: Callable[..., str], evidence: Evidence, volume: int) -> Iterator[Said]:
    """Yield the nearest numbers of requests above and below today's at which the advice changes."""
    if not any(arm.cost_one_off for arm in evidence.arms.values()):
        return
    more = _turn(other, volume, lambda n: n * 10)
    if more:
        about, now = more
        yield said(
            "From about %(n)s requests a month on, %(what)s.",
            n=Figure(about),
            what=_advised(now),
        )
    less = _turn(other, volume, lambda n: n // 10)
    if less:
        about, now = less
        yield said(
            "Below about %(n)s requests a month, %(what)s.", n=Figure(about), what=_advised(now)
        )


def _turn(
    other: Callable[..., str], volume: int, step: Callable[[int], int]
) -> tuple[float, str] | None:
    """Return the volume at which the advice turns, in two digits, and to what; None where it never does."""
    same, turned = volume, step(volume)
    while not (now := other(requests_per_month=turned) if turned else ""):
        same, turned = turned, step(turned)
        if not 1 <= turned <= MOST_REQUESTS:
            return None
    while max(same, turned) > NEAR_ENOUGH * min(same, turned) + 1:
        middle = round((same * turned) ** 0.5)
        if then := other(requests_per_month=middle):
            turned, now = middle, then
        else:
            same = middle
    return float(f"{turned:.1e}"), now


def _advised(arm: str) -> Said:
    if arm == NOT_GOOD:
        return said("no arm would be good enough")
    if arm == TOO_FEW:
        return said("the questions would be too few to tell")
    if arm == MEND_DATA:
        return said("the data would have to be mended first")
    return said("the advice would be %(arm)s", arm=name_of(arm))

"""The Report as one HTML file that needs nothing else: no script, no font, no address outside itself.

`report.html` beside this file is the template; here stand the places of marks in its plots and the views of rows.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jinja2
from markupsafe import Markup, escape

from pericia.evaluate.evidence import NAMES, p_value, signed
from pericia.evaluate.matches import is_label
from pericia.evaluate.recommend import REFUSALS
from pericia.evaluate.results import RIGHT, between
from pericia.evaluate.scores import RIGHT_FROM, SCORES
from pericia.types import ArmResult, Pair, Passage, Question, Report, Row

_MARKER = re.compile(r"\[\d+(?:\s*,\s*\d+)*\]")
_PLOT_WIDTH, _PLOT_HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 150, 14, 40
_LABEL_GAP = 16

Against = Literal["cost", "latency"]


@dataclass(frozen=True, slots=True)
class Mark:
    """An arm in the scatter plot, in units of the drawing; `label_y` keeps labels from covering each other."""

    arm: str
    x: float
    y: float
    low_y: float
    high_y: float
    label_y: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """Quality against cost: marks, and ticks as (place, label)."""

    marks: tuple[Mark, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_title: str
    width: int = _PLOT_WIDTH
    height: int = _PLOT_HEIGHT
    left: int = _LEFT
    bottom: int = _PLOT_HEIGHT - _BOTTOM
    right: int = _PLOT_WIDTH - _RIGHT


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with all its rows, and the classes by which the filters find it."""

    question: Question
    rows: tuple[Row, ...]
    passages: tuple[Passage, ...]
    classes: str


def render_page(report: Report) -> str:
    """Return the page; every text of the user is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pericia.evaluate", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        points=lambda value: f"{100 * value:.1f}",
        signed=signed,
        p=p_value,
        answer=mark_citations,
        plain=plain,
        count=count,
    )
    asked = asked_questions(report)
    classes = Counter(name for item in asked for name in item.classes.split())
    filters = [(name, label, classes[name]) for name, label in FILTERS if classes[name]]
    verdict, _, remark = report.recommendation.sentence.partition(". ")
    return environment.get_template("report.html").render(
        report=report,
        verdict=verdict if not remark else f"{verdict}.",
        remark=remark,
        advice=report.recommendation,
        facts=report.facts,
        names={arm: describe_arm(arm, report) for arm in report.arms},
        is_arm=report.recommendation.arm not in REFUSALS,
        scores=shown_scores(report),
        kinds=SCORES,
        matrix=matrix(report),
        scatters=(scatter(report), scatter(report, "latency")),
        latencies=_shares({arm: result.latency_ms_p95 for arm, result in report.arms.items()}),
        outcomes=outcomes(report),
        asked=asked,
        filters=filters,
        right_from=RIGHT_FROM,
        others=report.tracks[1:],
        has_first_token=any(a.first_token_ms_p50 is not None for a in report.arms.values()),
        config=json.dumps(report.facts["config"], indent=2, ensure_ascii=False),
    )


FILTERS = (
    ("disagree", "arms disagree"),
    ("all-wrong", "all wrong"),
    ("refused", "refused"),
    ("unanswerable", "no answer in the documents"),
)


# --- words and numbers ------------------------------------------------------------------------------------


def plain(value: float) -> str:
    """Return a number with three significant digits.

    Example:
        >>> plain(1234.5), plain(0.0), plain(0.0123)
        ('1,234', '0', '0.0123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def mark_citations(text: str) -> Markup:
    """Return an answer, escaped, with its citation markers raised.

    Example:
        >>> mark_citations("5 < 6 [1]")
        Markup('5 &lt; 6 <sup>1</sup>')
    """
    marked = _MARKER.sub(lambda m: f"<sup>{m[0][1:-1]}</sup>", str(escape(text)))
    return Markup(marked)  # escaped above; only digits and our own tags were added


def describe_arm(arm: str, report: Report) -> str:
    """Return what an arm is, in words; of an arm of the config also its model."""
    if arm in NAMES:
        return NAMES[arm]
    models = report.facts["models"]
    assert isinstance(models, Mapping)
    return f"{NAMES[report.arms[arm].kind]}, with {models[arm]}"


def count(value: float | None) -> str:
    """Return a number of requests, and "never" for None.

    Example:
        >>> count(12345.6), count(None)
        ('12,346', 'never')
    """
    return "never" if value is None else f"{value:,.0f}"


# --- views -------------------------------------------------------------------------------------------------


def shown_scores(report: Report) -> list[str]:
    """Return the names of the scores that some arm has, the primary one and the share right first."""
    having = [name for name in SCORES if any(name in arm.scores for arm in report.arms.values())]
    answers = [answer for question in report.questions for answer in question.answers]
    if not all(is_label(answer) for answer in answers):
        having.remove("choice")
    return [report.primary_score, RIGHT, *(name for name in having if name != report.primary_score)]


def matrix(report: Report) -> list[tuple[str, list[Pair | None]]]:
    """Return for each arm its differences to every arm, None to itself."""
    return [
        (
            row,
            [
                None if row == column else between(report.pairs, row, column)
                for column in report.arms
            ],
        )
        for row in report.arms
    ]


def outcomes(report: Report) -> list[tuple[str, list[int]]]:
    """Return how often each outcome befell each arm, the most frequent outcome first."""
    counts = Counter((row.outcome, row.arm) for row in report.rows)
    totals = Counter(row.outcome for row in report.rows)
    return [(name, [counts[name, arm] for arm in report.arms]) for name, _ in totals.most_common()]


def asked_questions(report: Report) -> list[Asked]:
    """Return every question with its rows, and the filters that find it."""
    return [_asked(question, report) for question in report.questions]


def _asked(question: Question, report: Report) -> Asked:
    rows = tuple(row for row in report.rows if row.question_id == question.id)
    right = {row.scores[report.primary_score] >= RIGHT_FROM for row in rows}
    classes = [
        name
        for name, holds in (
            ("disagree", len(right) == 2),
            ("all-wrong", right == {False}),
            ("refused", any(row.answer.refused for row in rows)),
            ("unanswerable", not question.answerable),
        )
        if holds
    ]
    passages = next((row.answer.passages for row in rows if row.answer.passages), ())
    return Asked(question, rows, passages, " ".join(classes))


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    """Return each value as a percentage of the largest."""
    largest = max(values.values(), default=0.0)
    return {name: 100 * value / largest if largest else 0.0 for name, value in values.items()}


def scatter(report: Report, against: Against = "cost") -> Scatter:
    """Return where each arm stands: its score against what a request costs, or takes."""
    costs = {arm: _x(result, report, against) for arm, result in report.arms.items()}
    most = _round_up(max(costs.values(), default=0.0))

    def x(value: float) -> float:
        return round(_LEFT + value / most * (_PLOT_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_PLOT_HEIGHT - _BOTTOM - value * (_PLOT_HEIGHT - _TOP - _BOTTOM), 1)

    score = {arm: result.scores[report.primary_score] for arm, result in report.arms.items()}
    label_y = _apart({arm: y(s.mean) for arm, s in score.items()})
    marks = tuple(
        Mark(arm, x(costs[arm]), y(s.mean), y(s.low), y(s.high), label_y[arm])
        for arm, s in score.items()
    )
    title = (
        "USD per 1,000 requests" if report.facts["is_priced"] else "tokens a request, in and out"
    )
    if against == "latency":
        title = "ms a request, median"
    return Scatter(
        marks=marks,
        x_ticks=tuple((x(most * part / 4), plain(most * part / 4)) for part in range(5)),
        y_ticks=tuple((y(part / 4), f"{25 * part}") for part in range(5)),
        x_title=title,
    )


def _x(result: ArmResult, report: Report, against: Against) -> float:
    if against == "latency":
        return result.latency_ms_p50
    return (
        1000 * result.cost_per_request
        if report.facts["is_priced"]
        else result.tokens_in + result.tokens_out
    )


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 4, 5, 8 and 10 times a power of ten, 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{value:.12f}".split(".")[0]) - 1)
    while power > value:
        power /= 10
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= value)


def _apart(places: Mapping[str, float]) -> dict[str, float]:
    """Return places moved so that two neighbours are a label's height apart and none is below the axis."""
    order = sorted(places, key=lambda name: places[name])
    lowest = float(_PLOT_HEIGHT - _BOTTOM)
    moved: dict[str, float] = {}
    for rank, arm in enumerate(order):
        above = moved[order[rank - 1]] + _LABEL_GAP if rank else 0.0
        room_below = (len(order) - 1 - rank) * _LABEL_GAP
        moved[arm] = min(max(places[arm], above), lowest - room_below)
    return moved

"""How a run's result looks on a terminal: arms, differences, advice."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from pericia.types import Report


def report_blocks(report: Report, html: Path) -> Iterator[Any]:
    """Yield a run's result: arms, differences, advice, and where the page lies."""
    yield arms_table(report)
    yield ""
    yield pairs_table(report)
    yield ""
    yield from recommendation_lines(report)
    yield f"\nReport: {escape(str(html))}"


def arms_table(report: Report) -> Table:
    """Return the arms as rows, best first by the primary score, the recommended one in bold."""
    primary = report.primary_score
    columns = (primary, "95 % interval", "exact", "cited", "tokens in", "out", "ms")
    num_asked = max((arm.n for arm in report.arms.values()), default=0)
    about = f" about {report.track}" if len(report.tracks) > 1 else ""
    table = _table(f"{num_asked} held-out questions{about}, points", "arm", columns)

    def points(arm: str, score: str) -> str:
        found = report.arms[arm].scores.get(score)
        return "–" if found is None else f"{100 * found.mean:.1f}"

    for name in sorted(report.arms, key=lambda arm: -report.arms[arm].scores[primary].mean):
        arm = report.arms[name]
        score = arm.scores[primary]
        table.add_row(
            name,
            points(name, primary),
            f"{100 * score.low:.1f} to {100 * score.high:.1f}",
            points(name, "exact"),
            points(name, "citation_precision"),
            f"{arm.tokens_in:.0f}",
            f"{arm.tokens_out:.0f}",
            f"{arm.latency_ms_p50:.0f}",
            style="bold" if name == report.recommendation.arm else "",
        )
    return table


def pairs_table(report: Report) -> Table:
    """Return the paired differences with their verdicts; those that show nothing are dim."""
    columns = ("diff.", "95 % interval", "p", "verdict")
    table = _table(
        f"Paired differences in {report.primary_score}, points; p adjusted (Holm)", "pair", columns
    )
    for pair in report.pairs:
        table.add_row(
            f"{pair.a} – {pair.b}",
            f"{100 * pair.difference:+.1f}",
            f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}",
            f"{pair.p:.3f}" if pair.p >= 0.001 else "<0.001",
            pair.verdict,
            style="dim" if pair.verdict == "not distinguishable" else "",
        )
    return table


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def recommendation_lines(report: Report) -> Iterator[str]:
    """Yield the advice, its reasons, and what would change it."""
    advice = report.recommendation
    yield f"[bold]Recommendation: {escape(advice.arm)}[/]"
    yield escape(advice.sentence)
    if advice.rule_in_words:
        yield escape(advice.rule_in_words)
    for reason in advice.reasons:
        yield f"  · {escape(reason)}"
    yield f"Confidence: {escape(advice.confidence)}"
    for change in advice.would_change:
        yield f"Would change it: {escape(change)}"
    if advice.next_step:
        yield f"Next: {escape(advice.next_step)}"

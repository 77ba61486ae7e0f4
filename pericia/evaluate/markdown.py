"""The Report as Markdown, to be pasted where people talk."""

from pericia.evaluate.evidence import name_of
from pericia.evaluate.page import count
from pericia.types import Report


def render_markdown(report: Report) -> str:
    """Return the verdict and both tables as Markdown."""
    advice = report.recommendation
    lines = [
        f"# {advice.sentence}",
        "",
        f"Confidence: {advice.confidence}. {report.facts['detectable']} {report.facts['track_in_words']} "
        f"{report.facts['twins_in_words']} {report.facts['looks_in_words']}".strip(),
        "",
        f"| Arm | {report.primary_score} (95 %) | right | tokens in | tokens out | ms p50 | cost per right answer |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, result in report.arms.items():
        score, right = result.scores[report.primary_score], result.scores["right"]
        cost = "–" if result.cost_per_correct is None else f"{result.cost_per_correct:.6f} USD"
        lines.append(
            f"| {name_of(arm)} (`{arm}`) | {_percent(score.mean)} ({_percent(score.low)}–{_percent(score.high)}) "
            f"| {_percent(right.mean)} | {result.tokens_in:.0f} | {result.tokens_out:.0f} "
            f"| {result.latency_ms_p50:.0f} | {cost} |"
        )
    lines += ["", "| Comparison | difference in points (95 %) | p | verdict |", "|---|---|---|---|"]
    for pair in report.pairs:
        ends = f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}"
        lines.append(
            f"| `{pair.a}` against `{pair.b}` | {100 * pair.difference:+.1f} ({ends}) | {pair.p:.3f} | {pair.verdict} |"
        )
    for track in report.tracks[1:]:
        means = (
            f"`{arm}` {_percent(result.scores[report.primary_score].mean)}"
            for arm, result in track.arms.items()
        )
        lines += [
            "",
            f"{track.name.capitalize()}, {track.num_questions} questions: {', '.join(means)}.",
        ]
    for even in report.break_even:
        ends = f"{count(even.low)} to {count(even.high)}"
        lines += [
            "",
            f"`{even.cheap_to_run}` in place of `{even.cheap_to_make}` pays for its training after "
            f"{count(even.requests)} requests (95 %: {ends}).",
        ]
    lines += _beside(report)
    for title, lines_of in (("Rule", "rules"), ("Before fine-tuning", "tuning")):
        lines += ["", f"| {title} | measured | |", "|---|---|---|"]
        lines += [
            f"| {each.name} | {each.found.replace('|', '/')} | {each.state} |"
            for each in report.facts[lines_of]  # type: ignore[attr-defined]
        ]
    why = [advice.rule_in_words, *advice.reasons]
    lines += ["", "Reasons:", "", *(f"- {reason}" for reason in why if reason)]
    lines += [
        "",
        "What would change this:",
        "",
        *(f"- {c}" for c in advice.would_change or ("Nothing known.",)),
    ]
    return "\n".join([*lines, "", f"Next: {advice.next_step}", ""])


def _beside(report: Report) -> list[str]:
    """Return what explains the verdict as Markdown, nothing where nothing was asked for."""
    lines: list[str] = []
    for reading in report.readings:
        ends = f"{_percent(reading.lost.low)} to {_percent(reading.lost.high)}"
        lines += [
            "",
            f"`{reading.arm}` given the right passage alone reaches {_percent(reading.given.mean)} in place of "
            f"{_percent(reading.found.mean)} on {reading.num_questions} questions: the search loses "
            f"{_percent(reading.lost.mean)} points (95 %: {ends}), reading the rest.",
        ]
    for arm in dict.fromkeys(point.arm for point in report.curve):
        points = (
            f"{p.num_examples} examples {_percent(p.score.mean)} ({_percent(p.score.low)}–{_percent(p.score.high)})"
            for p in report.curve
            if p.arm == arm
        )
        lines += ["", f"`{arm}` learns: {', '.join(points)}."]
    if report.old_answers:
        said = (f"`{each.arm}` {each.num_old}" for each in report.old_answers)
        count = report.old_answers[0].num_questions
        lines += ["", f"Old answers to {count} questions whose answer changed: {', '.join(said)}."]
    return lines


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"

"""A run's folder becomes its Report, and the Report three files: HTML to read, Markdown to paste, JSON to compute with.

Nothing here asks a model: every number comes from run.json and rows.jsonl, so the same folder gives the same bytes.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pericia.config import Config
from pericia.errors import JobError
from pericia.evaluate.evidence import NAMES, Evidence
from pericia.evaluate.page import render_page
from pericia.evaluate.recommend import recommend
from pericia.evaluate.records import RunRecord, in_order, read_record, read_rows
from pericia.evaluate.results import Spending, compare_arms, summarise_arms, thoughtless_scores
from pericia.evaluate.stats import detectable_difference, detectable_in_words
from pericia.types import Report, Row
from pericia.workspace import write_atomic


def recompute(folder: Path) -> Report:
    """Return the report of a run from its folder alone, without a model.

    Raises:
        NotFoundError: there is no such run. JobError: it has not ended, or its files are damaged.
    """
    record = read_record(folder)
    rows = in_order(read_rows(folder), record.questions, record.arms)
    wanted = len(record.questions) * len(record.arms)
    if len(rows) < wanted:
        raise JobError(
            f"Run {record.id} has {len(rows)} of {wanted} answers.",
            hint="Run: pericia run; it goes on from there.",
        )
    return _report(record, rows)


def _report(record: RunRecord, rows: tuple[Row, ...]) -> Report:
    config = Config.model_validate(record.config)
    questions, arms, score, seed = (
        record.questions,
        record.arms,
        config.evaluate.score,
        config.evaluate.seed,
    )
    adapters: Mapping[str, Any] = record.facts["adapters"]
    spending = Spending(
        prices=config.evaluate.prices,
        requests_per_month=config.use.requests_per_month,
        data_change=config.use.data_change,
        train_s={arm: float(adapter.get("train_s", 0.0)) for arm, adapter in adapters.items()},
    )
    results = summarise_arms(rows, questions, arms, score, spending, seed)
    pairs = compare_arms(rows, questions, arms, score, seed)
    families = [question.family for question in questions]
    detectable = detectable_difference(families, len(pairs))
    card = record.facts["dataset"]
    kinds = Counter(question.kind for question in questions).most_common(1)
    evidence = Evidence(
        arms=results,
        pairs=pairs,
        primary=score,
        num_questions=len(questions),
        num_families=len(set(families)),
        detectable=detectable,
        smallest_gain=config.evaluate.smallest_gain,
        use=config.use,
        main_kind=kinds[0][0],
        num_examples=card.get("num_train", 0) + card.get("num_validation", 0),
        num_contradictions=card.get("num_findings", {}).get("contradiction", 0),
        thoughtless=thoughtless_scores(questions),
        left_out=record.facts["left_out"],
    )
    facts = {
        "run": record.id,
        "detectable": detectable_in_words(families, len(pairs)),
        "num_families": len(set(families)),
        "thoughtless": dict(evidence.thoughtless),
        "is_priced": spending.is_priced,
        "config": record.config,
        **record.facts,
    }
    return Report(results, pairs, recommend(evidence), rows, questions, score, detectable, facts)


def write_report(report: Report, folder: Path) -> None:
    """Write report.html, report.md, report.json and rows.csv into the folder of the run."""
    write_atomic(folder / "report.html", render_page(report))
    write_atomic(folder / "report.md", render_markdown(report))
    text = json.dumps(
        report_json(report, folder / "report.html"), ensure_ascii=False, indent=2, allow_nan=False
    )
    write_atomic(folder / "report.json", text + "\n")
    write_atomic(folder / "rows.csv", render_csv(report))


def report_json(report: Report, html: Path) -> dict[str, Any]:
    """Return what `pericia run --json` prints; `report` is the path of the HTML file."""
    return {
        "arms": {arm: asdict(result) for arm, result in report.arms.items()},
        "pairs": [asdict(pair) for pair in report.pairs],
        "recommendation": asdict(report.recommendation),
        "report": str(html),
        "primary_score": report.primary_score,
        "detectable": report.detectable,
        "num_questions": len(report.questions),
        "left_out": report.facts["left_out"],
        "run": report.facts["run"],
    }


def render_markdown(report: Report) -> str:
    """Return the verdict and both tables as Markdown."""
    advice = report.recommendation
    lines = [
        f"# {advice.sentence}",
        "",
        f"Confidence: {advice.confidence}. {report.facts['detectable']}",
        "",
        f"| Arm | {report.primary_score} (95 %) | right | tokens in | tokens out | ms p50 | cost per right answer |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, result in report.arms.items():
        score, right = result.scores[report.primary_score], result.scores["right"]
        cost = "–" if result.cost_per_correct is None else f"{result.cost_per_correct:.6f} USD"
        lines.append(
            f"| {NAMES[arm]} (`{arm}`) | {_percent(score.mean)} ({_percent(score.low)}–{_percent(score.high)}) "
            f"| {_percent(right.mean)} | {result.tokens_in:.0f} | {result.tokens_out:.0f} "
            f"| {result.latency_ms_p50:.0f} | {cost} |"
        )
    lines += ["", "| Comparison | difference in points (95 %) | p | verdict |", "|---|---|---|---|"]
    for pair in report.pairs:
        ends = f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}"
        lines.append(
            f"| `{pair.a}` against `{pair.b}` | {100 * pair.difference:+.1f} ({ends}) | {pair.p:.3f} | {pair.verdict} |"
        )
    lines += ["", "Reasons:", "", *(f"- {reason}" for reason in advice.reasons)]
    lines += [
        "",
        "What would change this:",
        "",
        *(f"- {c}" for c in advice.would_change or ("Nothing known.",)),
    ]
    return "\n".join([*lines, "", f"Next: {advice.next_step}", ""])


def render_csv(report: Report) -> str:
    """Return one line a question and arm; a cell that a spreadsheet would run as a formula gets a leading quote."""
    text_of = {question.id: question.text for question in report.questions}
    names = sorted({name for row in report.rows for name in row.scores})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "question_id",
            "question",
            "arm",
            "answer",
            "outcome",
            *names,
            "tokens_in",
            "tokens_out",
            "latency_ms",
        ]
    )
    for row in report.rows:
        usage = row.answer.usage
        texts = [
            _harmless(t)
            for t in (row.question_id, text_of[row.question_id], row.arm, row.answer.text)
        ]
        scores = [row.scores.get(name, "") for name in names]
        writer.writerow(
            [
                *texts,
                row.outcome,
                *scores,
                usage.tokens_in,
                usage.tokens_out,
                round(usage.latency_ms, 1),
            ]
        )
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"

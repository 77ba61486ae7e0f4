"""A run's folder becomes its Report, and the Report three files: HTML to read, Markdown to paste, JSON to compute with.

Nothing here asks a model: every number comes from run.json and rows.jsonl, so the same folder gives the same bytes.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pericia.config import Config, UseConfig
from pericia.errors import JobError
from pericia.evaluate.evidence import Evidence, name_of
from pericia.evaluate.families import twins_in_words
from pericia.evaluate.judge import read_judgements
from pericia.evaluate.lanes import is_asked
from pericia.evaluate.losses import probed
from pericia.evaluate.markdown import render_markdown
from pericia.evaluate.measure import judged, measure
from pericia.evaluate.page import render_page
from pericia.evaluate.power import detectable_in_words, shown_in_words
from pericia.evaluate.recommend import recommend
from pericia.evaluate.records import RunRecord, in_order, looks_in_words, read_record, read_rows
from pericia.evaluate.rules import weigh_rules, weigh_tuning
from pericia.evaluate.sides import learning_curve, readings
from pericia.evaluate.stats import fewest_families
from pericia.evaluate.tracks import ALL, deciding_track, in_words
from pericia.evaluate.whatif import with_changes, with_use
from pericia.said import joined, said
from pericia.types import Recommendation, Report, Row, Track
from pericia.workspace import write_atomic


def recompute(folder: Path) -> Report:
    """Return the report of a run from its folder alone, without a model.

    Raises:
        NotFoundError: there is no such run. JobError: it has not ended, or its files are damaged.
    """
    record = read_record(folder)
    sides: Mapping[str, Any] = record.facts.get("sides", {})
    rows = in_order(read_rows(folder), record.questions, [*record.arms, *sides])
    wanted = len(record.questions) * len(record.arms) + sum(
        is_asked(side["side"], q) for side in sides.values() for q in record.questions
    )
    if len(rows) < wanted:
        raise JobError(
            f"Run {record.id} has {len(rows)} of {wanted} answers.",
            hint="Run: pericia run; it goes on from there.",
        )
    return _report(record, rows, folder)


def _report(record: RunRecord, answered: tuple[Row, ...], folder: Path) -> Report:
    rows = tuple(row for row in answered if row.arm in record.arms)
    sides: Mapping[str, Any] = record.facts.get("sides", {})
    config = Config.model_validate(record.config)
    questions = record.questions
    families = [question.family for question in questions]
    tainted: Mapping[str, str] = record.facts.get("tainted", {})
    clean = [question for question in questions if question.id not in tainted]
    track_of: Mapping[str, str] = record.facts.get("tracks") or {q.id: ALL for q in questions}
    counts = Counter(track_of[question.id] for question in clean)
    measured = {
        name: measure(record, config, rows, [q for q in clean if track_of[q.id] == name])
        for name in sorted(counts)
    }

    def under(use: UseConfig) -> Evidence:
        return with_use(measured[deciding_track(clean, track_of, use.data_change)], use)

    deciding = deciding_track(clean, track_of, config.use.data_change)
    part = [question for question in clean if track_of[question.id] == deciding]
    evidence = measured[deciding]
    advice = with_changes(recommend(evidence), under, config.use)
    curve = learning_curve(
        answered, part, sides, evidence.primary, record.facts["dataset"].get("num_train", 0)
    )
    losses = probed(record.facts.get("probes", {}))
    judge = config.evaluate.judge.model
    said = {key: each for key, each in read_judgements(folder).items() if each.judge == judge}
    tracks = [_track(deciding, evidence, advice)]
    for name in (name for name in sorted(counts) if name != deciding):
        tracks.append(_track(name, *_advised(measured[name])))
    if tainted:
        name = f"{deciding}, with {len(tainted)} questions given away"
        whole = [q for q in questions if q in part or q.id in tainted]
        tracks.append(_track(name, *_advised(measure(record, config, rows, whole))))
    doubtful = {q.id for q in part} & record.facts.get("same_facts", {}).keys()
    if rest := [question for question in part if question.id not in doubtful] if doubtful else []:
        name = f"{deciding}, without {len(doubtful)} that an example may answer"
        tracks.append(_track(name, *_advised(measure(record, config, rows, rest))))
    facts = {
        "run": record.id,
        "detectable": _detectable(evidence, [q.family for q in part]),
        "num_families": len(set(families)),
        "thoughtless": dict(evidence.thoughtless),
        "is_priced": any(arm.cost_per_correct is not None for arm in evidence.arms.values()),
        "track_in_words": in_words(counts, deciding, config.use.data_change),
        "looks_in_words": looks_in_words(record.facts.get("looks", ())),
        "twins_in_words": twins_in_words(twins) if (twins := record.facts.get("twins")) else "",
        "config": record.config,
        "judge": judged(record, rows, said, part),
        "probed": losses,
        "by_kind": evidence.by_kind,
        "rules": weigh_rules(evidence, curve),
        "tuning": weigh_tuning(evidence, losses),
        "tainted": {},
        "same_facts": {},
        "models": {},
        "peak_memory_bytes": 0,  # facts that earlier versions did not record
        **record.facts,
    }
    return Report(
        arms=evidence.arms,
        pairs=tuple(evidence.pairs),
        recommendation=_with_disagreement(advice, tracks[0], tracks[1:]),
        rows=rows,
        questions=questions,
        primary_score=evidence.primary,
        detectable=evidence.detectable,
        facts=facts,
        track=deciding,
        tracks=tuple(tracks),
        break_even=tuple(evidence.break_even),
        readings=readings(answered, part, sides, evidence.primary),
        curve=curve,
        old_answers=tuple(evidence.old_answers),
    )


def _detectable(evidence: Evidence, families: Sequence[str]) -> str:
    """Return how small a difference the questions promised to show, and how small a one they do."""
    promised = detectable_in_words(families, len(evidence.pairs))
    if evidence.num_families < fewest_families(len(evidence.pairs)):
        return promised
    return joined([promised, shown_in_words(evidence.shown_from)])


def _advised(evidence: Evidence) -> tuple[Evidence, Recommendation]:
    return evidence, recommend(evidence)


def _track(name: str, evidence: Evidence, advice: Recommendation) -> Track:
    return Track(
        name=name,
        num_questions=evidence.num_questions,
        num_families=evidence.num_families,
        detectable=evidence.detectable,
        arms=evidence.arms,
        pairs=tuple(evidence.pairs),
        advice=advice.arm,
    )


def _with_disagreement(
    advice: Recommendation, deciding: Track, others: Sequence[Track]
) -> Recommendation:
    """Return the advice, opened by a sentence about tracks that would advise another arm."""
    differing = [t for t in others if t.advice in t.arms and t.advice != deciding.advice]
    if not differing or deciding.advice not in deciding.arms:
        return advice
    rest: str = advice.sentence
    for track in reversed(differing):
        rest = said(
            "On %(track)s %(arm)s would be advised. %(rest)s",
            track=track.name,
            arm=name_of(track.advice),
            rest=rest,
        )
    sentence = said(
        "Use %(arm)s on %(track)s, which decide here. %(rest)s",
        track=deciding.name,
        arm=name_of(deciding.advice),
        rest=rest,
    )
    return replace(advice, sentence=sentence)


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
        "track": report.track,
        "tracks": [asdict(track) for track in report.tracks],
        "break_even": [asdict(even) for even in report.break_even],
        "readings": [asdict(reading) for reading in report.readings],
        "learning_curve": [asdict(point) for point in report.curve],
        "old_answers": [asdict(each) for each in report.old_answers],
        "tainted": report.facts["tainted"],
        "judge": report.facts["judge"],
        **{
            name: [asdict(each) for each in report.facts[fact]]  # type: ignore[attr-defined]
            for name, fact in (
                ("probes", "probed"),
                ("by_kind", "by_kind"),
                ("rules", "rules"),
                ("before_tuning", "tuning"),
            )
        },
        "run": report.facts["run"],
    }


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
            "first_token_ms",
            "sources_cited",
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
                "" if usage.first_token_ms is None else round(usage.first_token_ms, 1),
                _harmless("; ".join(c.source for c in row.answer.citations if c.verified)),
            ]
        )
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

"""How results look on a terminal: tables, answers, progress. Nothing here decides anything."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pericia.registry import Comparison
from pericia.types import Adapter, Answer, Finding, RemoteModel, Report, TrainEvent

if TYPE_CHECKING:
    from pericia.autotrain_keys import Line
    from pericia.check import CheckReport
    from pericia.evaluate.collect import Event
    from pericia.index import SyncReport
    from pericia.tune import Tuned
    from pericia.tune_embedder import TunedEmbedder

screen = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

SHOWN = 12  # of a long list; the rest is counted


def painted(text: str) -> str:
    """Return a message as rich's markup; what ⟦ ⟧ encloses, the labels of a training row, gets a colour."""
    return re.sub("⟦.*?⟧", r"[black on green]\g<0>[/]", escape(text), flags=re.DOTALL)


class Bars:
    """Progress bars on stderr, one a stage; messages stand above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def show(self, stage: str, message: str, done: int, total: int) -> None:
        """Move the stage's bar; without a total, print the message."""
        if not total:
            self._progress.console.print(f"[dim]{escape(message)}[/]")
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note="")
        note = escape(message if len(message) <= 48 else message[:47] + "…")
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)

    def show_event(self, event: "Event") -> None:
        """Show an event of a run."""
        self.show(event.stage, event.message, event.done, event.total)

    def show_step(self, event: TrainEvent) -> None:
        """Show a step of a training."""
        loss = "" if event.loss is None else f"loss {event.loss:.3f}"
        self.show("train", loss, event.step, event.num_steps)


@contextmanager
def bars() -> Iterator[Bars]:
    """Yield progress bars; where stderr is no terminal, only the messages appear."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=notes, disable=not sys.stderr.isatty()) as progress:
        yield Bars(progress)


class Asker:
    """Asks on the terminal, or takes the default where nobody sits there."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, question: str, given: str | None, default: str) -> str:
        if given is not None or self.quiet:
            return default if given is None else given
        return str(typer.prompt(question, default=default, show_default=bool(default), err=True))


def sync_lines(report: "SyncReport") -> Iterator[str]:
    """Yield what a sync did, and what it left out with the reasons."""
    counts = {
        name: getattr(report, name)
        for name in ("added", "changed", "moved", "removed", "unchanged")
    }
    done = (
        ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing to do"
    )
    yield f"[bold]{report.num_documents} documents, {report.num_chunks} chunks[/] ({done})"
    if report.num_tokens_sent:
        cost = "price unknown" if report.cost_usd is None else f"{report.cost_usd:.4f} USD"
        yield f"{report.num_tokens_sent} tokens sent to the embedder ({cost})"
    for title, items in (("skipped", report.skipped), ("partly read", report.notes)):
        if items:
            yield f"{len(items)} {title}:"
        for source, reason in items[:SHOWN]:
            yield f"  {escape(source)}: [dim]{escape(reason)}[/]"
        if len(items) > SHOWN:
            yield f"  [dim]and {len(items) - SHOWN} more; all with --json[/]"
    if report.fault:
        yield f"[yellow]The index needs care:[/] {escape(report.fault)}"


def answer_block(answer: Answer) -> Group:
    """Return an answer with its citations as they resolve in the sources."""
    lines: list[Any] = [
        f"[bold]{escape(answer.text)}[/]" if not answer.refused else escape(answer.text)
    ]
    for citation in answer.citations:
        place = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("page", citation.page),
                ("line", citation.line),
                ("sheet", citation.sheet),
                ("cell", citation.cell),
            )
            if value is not None
        )
        mark = (
            "[green]verified[/]"
            if citation.verified
            else f"[red]not verified[/]: {escape(citation.reason)}"
        )
        where = escape(f"[{citation.number}] {citation.source}" + (f", {place}" if place else ""))
        lines += [
            Padding(f"{where}  {mark}", (0, 0, 0, 2)),
            Padding(f"[dim]“{escape(citation.quote)}”[/]", (0, 0, 0, 6)),
        ]
    if answer.sql:
        said = f"Computed from the table, without a model: {answer.sql}"
        lines.append(Padding(f"[dim]{escape(said)}[/]", (0, 0, 0, 2)))
    lines += [Padding(f"[dim]{escape(note)}[/]", (0, 0, 0, 2)) for note in answer.notes]
    if answer.refused and answer.passages:
        near = list(dict.fromkeys(p.chunk.source for p in answer.passages))[:3]
        lines.append(Padding(f"[dim]Nearest documents: {escape(', '.join(near))}[/]", (0, 0, 0, 2)))
    return Group(*lines)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return the JSON of `pericia ask --json`."""
    citations = [
        {
            "source": c.source,
            "page": c.page,
            "line": c.line,
            "sheet": c.sheet,
            "cell": c.cell,
            "quote": c.quote,
            "verified": c.verified,
            "number": c.number,
        }
        for c in answer.citations
    ]
    return {
        "answer": answer.text,
        "citations": citations,
        "refused": answer.refused,
        "usage": asdict(answer.usage),
        "sql": answer.sql,
        "notes": list(answer.notes),
    }


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


def finding_lines(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Yield findings with their places, errors in red; of many of one sort the first, and how many there are."""
    by_code: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        by_code.setdefault((finding.level, finding.code), []).append(finding)
    for (level, code), group in sorted(by_code.items()):
        colour = "red" if level == "error" else "yellow"
        for finding in group[:SHOWN]:
            place = f"{finding.file} " if finding.file else ""
            place += f"line {finding.line}: " if finding.line is not None else ""
            text = f"{escape(place)}{escape(finding.message)}"
            yield f"[{colour}]{level}[/] {text} [dim]{code}[/]"
        if len(group) > SHOWN:
            yield f"      and {len(group) - SHOWN} more [dim]{code}; all with --json[/]"
        if group[0].hint:
            yield f"      [dim]{escape(group[0].hint)}[/]"


def check_lines(report: "CheckReport") -> Iterator[str]:
    """Yield what a check found: how much there is, how long it is, and every fault."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items()) or "none"
    yield f"[bold]{report.num_examples} examples[/] ({kinds}) about {report.num_sources} documents"
    yield (
        f"{report.num_duplicates} duplicates, {report.num_near_duplicates} of them nearly; "
        f"{report.num_validation} validation examples; {report.num_errors} errors"
    )
    turns = ", ".join(f"{count} of {size}" for size, count in report.turns.items())
    yield f"messages an example: {turns or 'none'}; {report.num_without_system} without a system message"
    if lengths := report.lengths:
        yield (
            f"tokens an example: {lengths.shortest} to {lengths.longest}, median {lengths.median:.0f}, "
            f"95 % up to {lengths.p95:.0f}; {lengths.num_too_long} longer than {lengths.max_tokens}"
        )
        yield f"{lengths.num_tokens:,} tokens, {lengths.num_labels:,} of them learnt, read {report.epochs} times"
        if lengths.cost_usd is not None:
            yield f"cost {lengths.cost_usd:.4f} USD"
    rate = f", learning rate {lengths.learning_rate:.2g}" if lengths else ""
    yield f"{report.epochs} epochs, {report.num_steps} steps{rate}"
    yield from finding_lines(report.findings)


def autotrain_table(lines: Iterable["Line"]) -> Table:
    """Return what became of each key of an AutoTrain file."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("key", "value", "verdict", "reason"):
        table.add_column(column)
    colours = {"kept": "green", "changed": "yellow", "refused": "red"}
    for line in lines:
        verdict = f"[{colours[line.verdict]}]{line.verdict}[/]"
        table.add_row(escape(line.key), escape(line.value), verdict, escape(line.reason))
    return table


def tuned_lines(tuned: "Tuned") -> Iterator[str]:
    """Yield what an AutoTrain file came to."""
    yield from finding_lines(tuned.findings)
    yield from trained_lines([tuned.adapter])
    if tuned.merged is not None:
        verdict = "[red]failed[/]" if tuned.merged.failed else "passed"
        yield f"merged copy: {escape(tuned.merged.path)}; its parity gate {verdict}"


def remote_lines(made: RemoteModel) -> Iterator[str]:
    """Yield what a remote service has trained."""
    yield f"[bold]{escape(made.model)}[/] of {escape(made.base)}, job {escape(made.job)}"
    if made.trained_tokens is not None:
        yield f"{made.trained_tokens:,} tokens trained"
    for path in made.files:
        yield f"  {escape(path)}"


def embedder_lines(made: "TunedEmbedder") -> Iterator[str]:
    """Yield what the training of an embedder came to, and how to use it."""
    yield f"[bold]{escape(made.path)}[/]\n  {made.base}, trained on {made.num_pairs} questions with their passages"
    if made.num_without_passage:
        yield f"  {made.num_without_passage} examples have no passage to learn from"
    for name, value in (("before", made.before), ("after", made.after)):
        figures = f"MRR {value.mrr:.3f}, first place {value.hit_at_1:.3f}"
        yield f"  {name:6}  {figures} on {value.num_questions} held-out questions"
    yield f"To use it, set embedder: {escape(made.path)} and run: pericia add"


def made_lines(made: Mapping[str, Any]) -> Iterator[str]:
    """Yield what examples were made of the documents, and what was left out."""
    yield f"[bold]{made['num_made']} examples[/] in {escape(made['path'])}, {made['num_refusals']} of them decline"
    for reason, count in made["left_out"].items():
        if count:
            yield f"  {count} left out: {escape(reason)}"
    yield "Read some of them before you train: pericia check " + escape(made["path"])


def report_blocks(report: Report, html: Path) -> Iterator[Any]:
    """Yield a run's result: arms, differences, advice, and where the page lies."""
    yield arms_table(report)
    yield ""
    yield pairs_table(report)
    yield ""
    yield from recommendation_lines(report)
    yield f"\nReport: {escape(str(html))}"


def show(as_json: bool, value: Any, blocks: Iterable[Any]) -> None:
    """Print the value as the one JSON document of stdout, or the blocks for a reader."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        return
    for block in blocks:
        screen.print(block, soft_wrap=isinstance(block, str))


def adapter_lines(adapters: Sequence[Adapter]) -> Iterator[str]:
    """Yield each adapter with its base and the adapter that it was trained from."""
    for one in adapters:
        parent = one.manifest.get("parent")
        after = f", goes on from {escape(str(parent))}" if parent else ""
        yield f"{one.id}  [dim]{one.kind} of {escape(one.base)}{after}[/]"


def trained_lines(adapters: Sequence[Adapter]) -> Iterator[str]:
    """Yield each adapter with where it lies, what it learnt and how fast, and its memory as foreseen and as measured."""
    for one in adapters:
        yield f"[bold]{one.id}[/]  {one.kind} of {escape(one.base)}"
        yield f"  {escape(one.path)}"
        yield from _learning_lines(one.manifest)
        speed, best = one.manifest.get("tokens_per_s"), one.manifest.get("best_step")
        foreseen = one.manifest.get("foreseen_memory_bytes")
        peak = one.manifest.get("peak_memory_bytes")
        if isinstance(foreseen, int) and isinstance(peak, int):
            yield (
                f"  [dim]{speed} tokens/s, best at step {best}; memory foreseen {foreseen / 1e9:.2f} GB, "
                f"measured {peak / 1e9:.2f} GB[/]"
            )


def _learning_lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the validation loss before the first step and at the best one, and a warning where it only rose."""
    losses = {entry["step"]: entry["loss"] for entry in manifest.get("validation_losses", ())}
    before, after = losses.get(0), losses.get(manifest.get("best_step"))
    if before is None or after is None:
        return
    rate = manifest.get("learning_rate")
    at = f", learning rate {rate:.2g}" if rate else ""
    yield f"  [dim]validation loss {before:.3f} before, {after:.3f} after{at}[/]"
    if after >= before:
        yield "  [yellow]On the rows held out it is no better than before: give more, or other, examples.[/]"


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Yield what differs between two adapters."""
    yield f"[bold]{found.one}[/] and [bold]{found.other}[/]"
    for key, (one, other) in found.changed.items():
        yield escape(f"  {key}: {one!s:.60} / {other!s:.60}")
    for name, sources in (
        (found.one, found.only_one_sources),
        (found.other, found.only_other_sources),
    ):
        if sources:
            shown = ", ".join(sources[:SHOWN]) + (", …" if len(sources) > SHOWN else "")
            yield escape(f"  documents of {name} alone: {shown}")
    first, second = found.best_losses
    if first is not None and second is not None:
        same = "the same rows" if found.same_validation else "other rows, so not comparable"
        yield f"  validation loss: {first:.4f} / {second:.4f} ({same})"
    if not found.changed:
        yield "  nothing differs but the time of training"

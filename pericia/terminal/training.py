"""How data to learn from, trainings and adapters look on a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from pericia.registry import Comparison
from pericia.terminal.screen import SHOWN
from pericia.types import Adapter, Finding, RemoteModel

if TYPE_CHECKING:
    from pericia.autotrain_lines import Line
    from pericia.check import CheckReport
    from pericia.tune import Tuned
    from pericia.tune_embedder import TunedEmbedder


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

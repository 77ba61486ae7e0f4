"""How documents that were read, and answers with their citations, look on a terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.padding import Padding

from pericia.terminal.screen import SHOWN
from pericia.types import Answer

if TYPE_CHECKING:
    from pericia.index import SyncReport


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

"""What all results share on a terminal: two consoles, progress bars, questions, and one JSON document instead."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pericia.types import TrainEvent

if TYPE_CHECKING:
    from pericia.evaluate.collect import Event

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


def show(as_json: bool, value: Any, blocks: Iterable[Any]) -> None:
    """Print the value as the one JSON document of stdout, or the blocks for a reader."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        return
    for block in blocks:
        screen.print(block, soft_wrap=isinstance(block, str))

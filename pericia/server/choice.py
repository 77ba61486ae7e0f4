"""Another arm than the advised one: a person's choice with its reason, kept in the folder of the run that it is about."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pericia.workspace import write_json

_FILE = "choice.json"


@dataclass(frozen=True, slots=True)
class Choice:
    """The arm that answers for the industry instead of the advised one, and why; `at` is Unix time."""

    arm: str
    note: str
    at: float


def read_choice(run: Path) -> Choice | None:
    """Return what was chosen after a run, None where its advice is followed."""
    try:
        return Choice(**json.loads((run / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_choice(run: Path, arm: str, note: str) -> Choice:
    """Keep a choice and return it."""
    made = Choice(arm, note, time.time())
    write_json(run / _FILE, asdict(made))
    return made


def drop_choice(run: Path) -> None:
    """Follow the advice again."""
    (run / _FILE).unlink(missing_ok=True)

"""Another arm than the advised one: a person's choice with its reason, kept in the folder of the run that it is about."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pericia.errors import InputError
from pericia.said import said
from pericia.types import Report
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


def choose(run: Path, report: Report, arm: str, note: str) -> Choice:
    """Return the choice of another arm than the advised one, which answers for the industry from now on.

    Raises:
        InputError: the arm was not measured or is the advised one, or there is no note; `param` names the field.
    """
    if arm not in report.arms:
        hint = said("Known: %(known)s.", known=", ".join(report.arms))
        raise InputError(
            said("There is no arm '%(unknown)s'.", unknown=arm), hint=hint, param="arm"
        )
    if arm == report.recommendation.arm:
        raise InputError(said("This is the advised arm already."), param="arm")
    if not note.strip():
        text = said("Say why: whoever reads the advice later wants to know.")
        raise InputError(text, param="note")
    made = Choice(arm, note.strip(), time.time())
    write_json(run / _FILE, asdict(made))
    return made


def drop_choice(run: Path) -> None:
    """Follow the advice again."""
    (run / _FILE).unlink(missing_ok=True)

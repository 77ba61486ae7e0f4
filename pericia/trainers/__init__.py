"""Trainers: a Dataset becomes an adapter folder in PEFT layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pericia.config import TrainConfig
from pericia.lookup import load_object
from pericia.types import Dataset


@dataclass(frozen=True, slots=True)
class TrainEvent:
    """One line of progress; `loss` and `validation_loss` where the step measured them."""

    step: int
    num_steps: int
    loss: float | None = None
    validation_loss: float | None = None


class Trainer(Protocol):
    def train(
        self,
        dataset: Dataset,
        base: str,
        settings: TrainConfig,
        folder: Path,
        *,
        parent: Path | None = None,
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> Mapping[str, object]:
        """Write the adapter into `folder` and return what training recorded, ready for the manifest.

        Checkpoints lie in `folder / "checkpoints"`; a run that was killed resumes from the last good one. `parent`
        is an adapter to go on from.

        Raises:
            PreflightError: training would fail silently. JobError: it failed; checkpoints are kept.
        """
        ...


TRAINERS = {"local": "pericia.trainers.local:LocalTrainer"}


def load(name: str = "local") -> Trainer:
    """Return the trainer of a name of `TRAINERS`."""
    trainer: Trainer = load_object(TRAINERS, name, "trainer", extra="train")()
    return trainer

"""Trainers: a Dataset becomes an adapter folder in PEFT layout, in two steps: prepare, then train.

Between the two stands the pre-flight, which looks at the prepared rows and layers and may refuse.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pericia.config import EmbedderTrainConfig, TrainConfig
from pericia.lookup import load_object
from pericia.types import Dataset, Preparation, RemoteModel, TrainEvent


class Trainer(Protocol):
    def prepare(self, dataset: Dataset, base: str, settings: TrainConfig) -> Preparation:
        """Return the rows with their labels and what would be trained; loads no weights.

        Raises:
            NotFoundError, ModelError: the base model is missing or damaged. PreflightError: its chat template
                cannot be used for training.
        """
        ...

    def train(
        self,
        preparation: Preparation,
        base: str,
        settings: TrainConfig,
        folder: Path,
        *,
        parent: Path | None = None,
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> Mapping[str, object]:
        """Write the adapter into `folder` and return what training recorded, ready for the manifest.

        Checkpoints lie in `folder / "checkpoints"`; a run that was killed resumes from the last good one. `parent`
        is an adapter to go on from. An `on_event` that raises EnoughError ends the run once the step is a checkpoint.

        Raises:
            PreflightError: training would fail silently. JobError: it failed; checkpoints are kept.
        """
        ...


TRAINERS = {"local": "pericia.trainers.local.trainer:LocalTrainer"}


def load(name: str = "local") -> Trainer:
    """Return the trainer of a name of `TRAINERS`."""
    trainer: Trainer = load_object(TRAINERS, name, "trainer", extra="train")()
    return trainer


class RemoteTrainer(Protocol):
    service: str  # its address

    def train(
        self,
        dataset: Dataset,
        base: str,
        settings: TrainConfig,
        folder: Path,
        *,
        suffix: str = "",
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> RemoteModel:
        """Return the model that a service has trained; what went there and came back lies in `folder`.

        The same call after an interruption waits for the job that was begun. `suffix` becomes part of the name.

        Raises:
            InputError: too few examples. JobError: the service refused, or the job failed. ModelError: the service
                does not answer.
        """
        ...


REMOTE_TRAINERS = {
    "openai": "pericia.trainers.remote:load_openai",
    "azure": "pericia.trainers.remote:load_azure",
}


def load_remote(name: str, base_url: str | None = None) -> RemoteTrainer:
    """Return the trainer of a name of `REMOTE_TRAINERS`; its key stands in the environment, as for OpenAI's client."""
    trainer: RemoteTrainer = load_object(REMOTE_TRAINERS, name, "remote trainer")(base_url)
    return trainer


class EmbedderTrainer(Protocol):
    def train(
        self,
        pairs: Sequence[tuple[str, str]],
        validation: Sequence[tuple[str, str]],
        base: str,
        settings: EmbedderTrainConfig,
        folder: Path,
        *,
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> Mapping[str, object]:
        """Write an embedder, trained on questions and passages, into `folder` and return what training recorded.

        A run that was killed goes on from its last checkpoint.

        Raises:
            ModelError: the base cannot be loaded. InputError: dimensions that it does not have. JobError: it failed.
        """
        ...


_EMBEDDER_TRAINER = {"local": "pericia.trainers.embedder:load"}


def load_embedder_trainer() -> EmbedderTrainer:
    """Return the trainer of embedders."""
    trainer: EmbedderTrainer = load_object(_EMBEDDER_TRAINER, "local", "trainer", extra="train")()
    return trainer

"""A training as a job does it: what would be trained is checked first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pericia.config import TrainConfig
from pericia.preflight import check_preparation
from pericia.trainers import Trainer
from pericia.types import Dataset


def run(
    trainer: Trainer,
    dataset: Dataset,
    base: Path,
    settings: TrainConfig,
    folder: Path,
    **options: Any,
) -> Mapping[str, Any]:
    """Return what the training of `dataset` recorded; the adapter lies in `folder`."""
    preparation = trainer.prepare(dataset, str(base), settings)
    check_preparation(preparation, truncated_share=settings.truncated_share)
    return trainer.train(preparation, str(base), settings, folder, **options)

"""Fixtures of the trainers' tests."""

import pytest

from pericia import trainers
from pericia.dataset import closed_book, make_dataset
from pericia.trainers import Trainer
from pericia.types import Dataset
from tests.gearboxes import gearbox_examples


@pytest.fixture(scope="session")
def book() -> Dataset:
    """Forty questions on gearboxes with their oils, to be answered without passages; four of them are for validation."""
    return closed_book(make_dataset(gearbox_examples(), validation_share=0.1, seed=1), "Answer.")


@pytest.fixture(scope="session")
def trainer() -> Trainer:
    return trainers.load("local")

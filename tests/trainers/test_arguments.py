"""Settings in TRL's words."""

from typing import Any

import pytest

from pericia.config import TrainConfig
from pericia.trainers.local.arguments import learning_rate


@pytest.mark.parametrize(
    ("settings", "width", "rate"),
    [
        ({}, 3072, 2e-4),
        ({}, 0, 2e-4),  # a base that does not tell its width
        ({}, 256, 2.4e-3),
        ({"method": "qlora"}, 256, 2.4e-3),
        ({"method": "full"}, 3072, 2e-5),
        ({"objective": "dpo"}, 3072, 5e-6),
        ({"learning_rate": 1e-3}, 256, 1e-3),
        ({"learning_rate": 1e-3, "method": "full"}, 256, 1e-3),
        ({"learning_rate_multiplier": 2.0}, 3072, 4e-4),
        ({"learning_rate_multiplier": 1e9}, 3072, 1.0),
    ],
)
def test_rate_follows_the_width_unless_it_is_given(
    settings: dict[str, Any], width: int, rate: float
) -> None:
    assert learning_rate(TrainConfig(**settings), width) == pytest.approx(rate)

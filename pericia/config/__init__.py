"""Every knob of pericia.yaml, with its range, its default and the reason for it.

Paths in the file are relative to the folder in which it lies.
"""

from pericia.config.evaluation import (
    ARM_NAMES,
    EvaluateConfig,
    ExtraArmConfig,
    JudgeConfig,
    PriceConfig,
    UseConfig,
)
from pericia.config.file import load_config, parse_config, render_config
from pericia.config.retrieval import RetrievalConfig
from pericia.config.root import Config, SqlSource
from pericia.config.serving import ServeConfig
from pericia.config.training import ColumnsConfig, EmbedderTrainConfig, TrainConfig

__all__ = [
    "ARM_NAMES",
    "ColumnsConfig",
    "Config",
    "EmbedderTrainConfig",
    "EvaluateConfig",
    "ExtraArmConfig",
    "JudgeConfig",
    "PriceConfig",
    "RetrievalConfig",
    "ServeConfig",
    "SqlSource",
    "TrainConfig",
    "UseConfig",
    "load_config",
    "parse_config",
    "render_config",
]

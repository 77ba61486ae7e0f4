"""The keys that an AutoTrain file may have, with AutoTrain's own defaults, and where its examples are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TASKS = {
    "llm": "",  # the trainer stands in params
    "llm-sft": "sft",
    "llm-generic": "text",
    "llm-dpo": "dpo",
    "llm-orpo": "orpo",
    "lm_training": "text",
}
TRAINERS = {"default": "text", "generic": "text", "sft": "sft", "dpo": "dpo", "orpo": "orpo"}
TOP_KEYS = {"task", "base_model", "project_name", "log", "backend", "data", "params", "hub"}
DATA_KEYS = {"path", "train_split", "valid_split", "chat_template", "column_mapping"}
NUMBERS: Mapping[str, float | None] = {  # with AutoTrain's defaults
    "lr": 3e-5,
    "epochs": 1,
    "batch_size": 2,
    "gradient_accumulation": 4,
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "seed": 42,
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "dpo_beta": 0.1,
    "logging_steps": -1,
    "model_max_length": 2048,
    "max_prompt_length": 128,
    "max_completion_length": None,
    "save_total_limit": 1,
}
FLAGS = {
    "peft",
    "merge_adapter",
    "unsloth",
    "auto_find_batch_size",
    "use_flash_attention_2",
    "disable_gradient_checkpointing",
    "add_eos_token",
    "push_to_hub",
}
_TEXTS = {
    "model", "project_name", "data_path", "train_split", "valid_split", "block_size", "padding",
    "chat_template", "trainer", "log", "eval_strategy", "mixed_precision", "optimizer", "scheduler",
    "quantization", "target_modules", "model_ref", "prompt_text_column", "text_column",
    "rejected_text_column", "username", "token", "distributed_backend",
}  # fmt: skip
PARAMS = frozenset(NUMBERS) | FLAGS | _TEXTS


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where the examples are. `train` and `validation` are files, or None when the name is one of a hub."""

    path: str
    train_split: str
    validation_split: str | None
    train: Path | None
    validation: Path | None
    text_column: str
    prompt_column: str | None
    rejected_column: str | None

    @property
    def train_name(self) -> str:
        """The training split as `examples.read_examples` takes it."""
        return str(self.train or f"{self.path}:{self.train_split}")

    @property
    def validation_name(self) -> str | None:
        if self.validation_split is None:
            return None
        return str(self.validation or f"{self.path}:{self.validation_split}")

"""Which layers get an adapter, how it is attached to the base, and how it is written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from pericia.config import TrainConfig
from pericia.types import Preparation
from pericia.workspace import write_json

FUSED = {"phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")}


def find_targets(model: Any) -> tuple[str, ...]:
    """Return the short names of the linear layers to adapt: all of them but the head."""
    if model.config.model_type in FUSED:
        return FUSED[model.config.model_type]
    head = model.get_output_embeddings()
    linear = (
        n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head
    )
    return tuple(sorted({name.rpartition(".")[2] for name in linear}))


def lora_config(settings: TrainConfig, targets: Sequence[str]) -> LoraConfig:
    """Return our settings in PEFT's words."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
    )


def attach(
    model: Any,
    settings: TrainConfig,
    preparation: Preparation,
    base_folder: Path,
    parent: Path | None,
) -> Any:
    """Return the model with a new adapter, or with the one of `parent` to go on from."""
    if parent is None:
        return get_peft_model(model, lora_config(settings, preparation.target_modules))
    model = PeftModel.from_pretrained(model, parent, is_trainable=True)
    # peft would look the name of the base up on the hub whenever it saves
    model.peft_config["default"].base_model_name_or_path = str(base_folder)
    return model


def save(model: Any, folder: Path, base: str) -> None:
    """Write the adapter in PEFT layout, without local paths and in an order that is always the same."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = Path(base).name if Path(base).exists() else base
    config["target_modules"] = sorted(config["target_modules"])
    write_json(folder / "adapter_config.json", config)

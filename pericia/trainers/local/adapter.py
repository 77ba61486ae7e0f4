"""Which layers get an adapter, how it is attached to the base, and how what was trained is written.

A model that was trained in full is written in PEFT's layout too, with all its weights in place of matrices of low rank:
whatever takes an adapter takes it as well.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.constants import DUMMY_TARGET_MODULES

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import InputError
from pericia.said import said
from pericia.types import Preparation
from pericia.workspace import write_json

FUSED = {"phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")}


def find_linears(model: Any) -> Mapping[str, torch.nn.Linear]:
    """Return the linear layers that can take an adapter, by their full names: all of them but the head."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def find_targets(model: Any, settings: TrainConfig) -> tuple[str, ...]:
    """Return the short names of the layers to adapt: those asked for, else all."""
    if settings.target_modules:
        return settings.target_modules
    if model.config.model_type in FUSED:
        return FUSED[model.config.model_type]
    return tuple(sorted({name.rpartition(".")[2] for name in find_linears(model)}))


def count_trained(
    linears: Mapping[str, torch.nn.Linear], targets: Collection[str], settings: TrainConfig
) -> int:
    """Return how many parameters adapters on these layers have: rank · (in + out), and out more with DoRA."""
    return sum(
        settings.rank * (layer.in_features + layer.out_features)
        + (layer.out_features if settings.dora else 0)
        for name, layer in linears.items()
        if name.rpartition(".")[2] in targets
    )


def lora_config(settings: TrainConfig, targets: Sequence[str]) -> LoraConfig:
    """Return our settings in PEFT's words."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
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
    """Return the model ready to learn: with a new adapter, with the one of `parent` to go on from, or in full.

    Raises:
        InputError: the adapter of `parent` has another shape than the settings ask for.
    """
    if parent is not None:
        _check_parent(parent, settings, preparation)
    if settings.method == "full":
        if parent is not None:
            model = PeftModel.from_pretrained(model, parent).merge_and_unload()
            model.tie_weights()
        return model.requires_grad_(True)
    if parent is None:
        return get_peft_model(model, lora_config(settings, preparation.target_modules))
    model = PeftModel.from_pretrained(model, parent, is_trainable=True)
    # peft would look the name of the base up on the hub whenever it saves
    model.peft_config["default"].base_model_name_or_path = str(base_folder)
    return model


def save(model: Any, folder: Path, base: str) -> None:
    """Write what was trained in PEFT layout, without local paths and in an order that is always the same."""
    if not isinstance(model, PeftModel):
        model = _as_adapter(model)
    model.save_pretrained(folder, save_embedding_layers=False, selected_adapters=["default"])
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = Path(base).name if Path(base).exists() else base
    for key in ("target_modules", "modules_to_save"):
        if isinstance(config[key], list):
            config[key] = sorted(config[key])
    write_json(folder / "adapter_config.json", config)


def _as_adapter(model: Any) -> Any:
    """Return a model with all its weights as PEFT keeps modules that are saved whole."""
    is_tied = bool(model.config.get_text_config().tie_word_embeddings)
    head = model.get_output_embeddings() if is_tied else None  # PEFT ties it to the embeddings anew
    leaves = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if module is not head and any(True for _ in module.parameters(recurse=False))
    }
    config = LoraConfig(
        target_modules=DUMMY_TARGET_MODULES,
        modules_to_save=sorted(leaves),
        ensure_weight_tying=is_tied,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _check_parent(parent: Path, settings: TrainConfig, preparation: Preparation) -> None:
    made = bases.read_json(parent, "adapter_config.json")
    is_full = made.get("target_modules") == DUMMY_TARGET_MODULES
    if settings.method == "full":
        return
    if is_full:
        raise InputError(
            said(
                "The parent in '%(parent)s' holds all weights; an adapter on top of it would need it to run.",
                parent=parent,
            ),
            hint=said("Go on with method full, or train the adapter on the base."),
            param="train.method",
        )
    asked = {
        "rank": (made.get("r"), settings.rank),
        "alpha": (made.get("lora_alpha"), settings.alpha),
        "rslora": (bool(made.get("use_rslora")), settings.rslora),
        "dora": (bool(made.get("use_dora")), settings.dora),
        "target_modules": (
            sorted(made.get("target_modules") or ()),
            sorted(preparation.target_modules),
        ),
    }
    wrong = [f"{key} {has!r}, not {wants!r}" for key, (has, wants) in asked.items() if has != wants]
    if wrong:
        raise InputError(
            said(
                "The parent in '%(parent)s' has %(wrong)s: its matrices keep their shape.",
                parent=parent,
                wrong="; ".join(wrong),
            ),
            hint=said("Set the keys of 'train' to what the parent has."),
            param="train",
        )

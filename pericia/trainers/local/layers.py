"""What a training would train: layers, targets and parameters, counted on shapes without weights."""

from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from pericia.config import TrainConfig
from pericia.errors import ModelError
from pericia.said import said
from pericia.trainers.local.adapter import count_trained, find_linears, find_targets, lora_config
from pericia.trainers.local.arguments import learning_rate
from pericia.trainers.local.base import load_config


def layers(folder: Path, settings: TrainConfig) -> dict[str, Any]:
    """Return what would be trained of the model in `folder`, counted on shapes without weights: any size in a second."""
    config = load_config(folder)
    try:
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            said(
                "The model in '%(folder)s', of type '%(model_type)s', cannot be built as a causal language model: %(reason)s",
                folder=folder,
                model_type=config.model_type,
                reason=reason,
            ),
            hint=said("Take a model that writes text, such as Phi, Llama, Qwen or SmolLM."),
        ) from error
    num_parameters = model.num_parameters()
    found = {
        "num_layers": model.config.get_text_config().num_hidden_layers,
        "learning_rate": learning_rate(
            settings, getattr(model.config.get_text_config(), "hidden_size", 0)
        ),
        "num_parameters": num_parameters,
        "num_embeddings": model.get_input_embeddings().num_embeddings,
    }
    if settings.method == "full":
        every = {"num_trainable": num_parameters, "num_expected": num_parameters}
        return found | every | {"target_modules": (), "hit_modules": ()}
    linears = find_linears(model)
    targets = find_targets(model, settings)
    num_expected = count_trained(linears, targets, settings)
    num_all = count_trained(linears, {n.rpartition(".")[2] for n in linears}, settings)
    found |= {"target_modules": targets, "linear_modules": tuple(linears)}
    found |= {"num_expected": num_expected, "num_all_linear": num_all}
    if not num_expected:  # peft raises where nothing is hit; the pre-flight says it better
        return found | {"hit_modules": (), "num_trainable": 0}
    with torch.device("meta"):
        adapted: Any = get_peft_model(model, lora_config(settings, targets), low_cpu_mem_usage=True)
    return found | {
        "hit_modules": tuple(adapted.base_model.targeted_module_names),
        "num_trainable": sum(p.numel() for p in adapted.parameters() if p.requires_grad),
    }

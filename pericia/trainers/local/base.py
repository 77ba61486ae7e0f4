"""The base model: its config, tokenizer and weights, in the precision that the hardware has."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import ModelError, PreflightError
from pericia.machine import look_at_machine
from pericia.said import said

_SAMPLED_EMBEDDINGS = 8192  # enough for their mean and spread
_EMBEDDINGS = ("model.embed_tokens.weight", "transformer.wte.weight", "gpt_neox.embed_in.weight")


def load_config(folder: Path) -> Any:
    """Return the config of the model in `folder`.

    Raises:
        ModelError: it cannot be read, or the model needs code of its own.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if "auto_map" in bases.read_json(folder, "config.json"):
            text = said(
                "The model in '%(folder)s' needs code that lies beside its weights, and no such code is run.",
                folder=folder,
            )
            hint = said(
                "Take a model that transformers knows itself; or a newer transformers, if it knows this one by now."
            )
            raise ModelError(text, hint=hint) from error
        reason = str(error).strip().split("\n")[0]
        text = said(
            "The model in '%(folder)s' cannot be read: %(reason)s", folder=folder, reason=reason
        )
        raise ModelError(text, hint=bases.mend(folder)) from error


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer in `folder`.

    Raises:
        ModelError: it cannot be read. PreflightError: it has no chat template.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        text = said(
            "The tokenizer in '%(folder)s' cannot be read: %(reason)s", folder=folder, reason=reason
        )
        raise ModelError(text, hint=bases.mend(folder)) from error
    if not tokenizer.chat_template:
        text = said(
            "The model in '%(folder)s' has no chat template to render examples with.", folder=folder
        )
        raise PreflightError(
            text, hint=said("Take an instruct model, or add its chat_template.jinja.")
        )
    return tokenizer


def load_weights(folder: Path, settings: TrainConfig, num_parameters: int) -> Any:
    """Return the base model, guarded where it is in 4 bits.

    Weights that learn are kept in fp32, where small steps do not round away.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    narrow = takes_bf16(num_parameters) and settings.method != "full"
    dtype = torch.bfloat16 if narrow else torch.float32
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    card = int(os.environ.get("LOCAL_RANK", "0"))  # one copy a process under accelerate launch
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map={"": card if torch.cuda.is_available() else "cpu"},
            quantization_config=quantised if settings.method == "qlora" else None,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
        )
    except torch.OutOfMemoryError:
        raise  # the model is sound
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        text = said(
            "The model in '%(folder)s' cannot be loaded: %(reason)s", folder=folder, reason=reason
        )
        raise ModelError(text, hint=bases.mend(folder)) from error
    guard(model)
    return model


def guard(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights when it evaluates on a CPU.

    The repacked layer passes no gradient to its input, silently, for the rest of the training.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def unguarded_layers(model: torch.nn.Module) -> tuple[str, ...]:
    """Return the names of 4-bit layers that an evaluation would repack, or has repacked already."""
    layers: list[tuple[str, Any]] = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, Linear4bit) and module.weight.device.type == "cpu"
    ]
    return tuple(
        name
        for name, layer in layers
        if layer.support_avx512bf16_for_cpu
        or getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
    )


def takes_bf16(num_parameters: int) -> bool:
    """Return whether a model of this size is trained in bf16 here."""
    if torch.cuda.is_available():
        return True
    return num_parameters >= bases.BF16_PARAMETERS and look_at_machine().has_bf16


def untrained_tokens(folder: Path, ids: Collection[int], pad_id: int | None) -> tuple[int, ...]:
    """Return those of `ids` whose embeddings were never trained: zero, or the mean of all others.

    Both are what enlarging a vocabulary leaves behind; the padding token is zero by design. Only the embeddings are read. Without a table under one of the
    usual names nothing can be told, and nothing is returned.
    """
    if not ids:
        return ()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            name = next((name for name in _EMBEDDINGS if name in tensors.keys()), None)  # noqa: SIM118
            if name is None:
                continue
            rows = tensors.get_tensor(name)
            return tuple(i for i in sorted(ids) if i < len(rows) and _is_untrained(rows, i, pad_id))
    return ()


def _is_untrained(rows: torch.Tensor, id_: int, pad_id: int | None) -> bool:
    some = rows[:: max(1, len(rows) // _SAMPLED_EMBEDDINGS)].float()
    mean = some.mean(dim=0)
    usual = float((some - mean).norm(dim=1).median())
    row = rows[id_].float()
    if id_ == pad_id and not bool(row.any()):
        return False
    return float((row - mean).norm()) < 0.05 * usual or float(row.norm()) < 1e-3 * usual

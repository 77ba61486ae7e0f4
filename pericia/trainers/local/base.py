"""The base model: its config, tokenizer and weights, in the precision that the hardware has."""

from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import InputError, ModelError, PreflightError
from pericia.machine import look_at_machine

_BF16_PARAMETERS = 50_000_000  # below this, casts cost more than bf16 matrix products save


def load_config(folder: Path) -> Any:
    """Return the config of the model in `folder`. Raises ModelError when it cannot be read."""
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        text = f"The model in '{folder}' cannot be read: {reason}"
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
        text = f"The tokenizer in '{folder}' cannot be read: {reason}"
        raise ModelError(text, hint=bases.mend(folder)) from error
    if not tokenizer.chat_template:
        text = f"The model in '{folder}' has no chat template to render examples with."
        raise PreflightError(text, hint="Take an instruct model, or add its chat_template.jinja.")
    return tokenizer


def load_weights(folder: Path, settings: TrainConfig, num_parameters: int) -> Any:
    """Return the base model, guarded where it is in 4 bits.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    if settings.method == "full":
        raise InputError("The trainer 'local' cannot train all weights yet.", hint="Take lora.")
    dtype = torch.bfloat16 if takes_bf16(num_parameters) else torch.float32
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map={"": 0} if torch.cuda.is_available() else {"": "cpu"},
            quantization_config=quantised if settings.method == "qlora" else None,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
        )
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        text = f"The model in '{folder}' cannot be loaded: {reason}"
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


def takes_bf16(num_parameters: int) -> bool:
    """Return whether a model of this size is trained in bf16 here."""
    if torch.cuda.is_available():
        return True
    return num_parameters >= _BF16_PARAMETERS and look_at_machine().has_bf16

"""Merged weights: the adapter is added to the base, in the base's own 16 or 32 bits, and written as transformers reads it.

A 4-bit base is never merged into: up to a sixth of the tokens changed when that was measured. Quantise afterwards.
"""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from pericia import bases
from pericia.errors import JobError, ModelError
from pericia.said import said

DTYPES = {"base": "auto", "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Copied byte for byte, so that a conversation is rendered as it was in training.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


class MergedExporter:
    """See `Exporter`."""

    def export(self, source: Path, folder: Path, *, base: Path, precision: str) -> None:
        """See `Exporter.export`."""
        transformers_logging.disable_progress_bar()
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                base, dtype=DTYPES[precision], use_safetensors=True, trust_remote_code=False
            )
            with warnings.catch_warnings():  # peft uses an old name of transformers
                warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
                model = PeftModel.from_pretrained(model, source)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelError(
                said(
                    "The adapter in '%(source)s' cannot be put on '%(base)s': %(reason)s",
                    source=source,
                    base=base,
                    reason=reason,
                ),
                hint=said("Export it with the base model it was trained on."),
            ) from error
        try:
            merged = model.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise JobError(
                said("The merge of '%(source)s' is broken: %(error)s.", source=source, error=error),
                hint=said("Train the adapter again."),
            ) from error
        merged.generation_config.eos_token_id = sorted(bases.stop_ids(base))
        folder.mkdir(parents=True)
        merged.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (base / name).exists():
                shutil.copyfile(base / name, folder / name)

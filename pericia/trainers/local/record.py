"""What a training records for its manifest, and what it holds in memory."""

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from pericia.config import TrainConfig
from pericia.examples import num_epochs
from pericia.machine import look_at_machine
from pericia.types import Preparation

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PROCESS_BYTES = 800_000_000  # interpreter and libraries, where the system does not tell


def recorded(
    state: Any,
    settings: TrainConfig,
    preparation: Preparation,
    step_s: Sequence[float],
) -> dict[str, object]:
    """Return losses, steps, speed and versions; `step_s` are the seconds of the steps of this process."""
    history = state.log_history
    num_tokens = sum(len(row.ids) + len(row.rejected_ids) for row in preparation.rows)
    epochs = num_epochs(settings, len(preparation.rows))
    tokens_a_step = num_tokens * epochs / state.max_steps
    return {
        "losses": [round(entry["loss"], 6) for entry in history if "loss" in entry],
        "validation_losses": [
            {"step": entry["step"], "loss": round(entry["eval_loss"], 6)}
            for entry in history
            if "eval_loss" in entry
        ],
        "best_step": state.best_global_step,
        "num_steps": state.global_step,
        "stopped_early": state.global_step < state.max_steps,
        "epochs": epochs,
        "learning_rate": preparation.learning_rate,
        "num_trainable": preparation.num_trainable,
        "num_tokens": num_tokens,
        "num_labels": sum(sum(row.mask) for row in preparation.rows),
        "step_s": [round(seconds, 4) for seconds in step_s],
        "tokens_per_s": round(tokens_a_step * len(step_s) / sum(step_s), 1) if step_s else 0.0,
        "versions": {
            n: version(n) for n in ("torch", "transformers", "trl", "peft", "bitsandbytes")
        },
    }


def memory_bytes() -> tuple[int, int]:
    """Return the memory that is free now, and the most there can be for this training.

    On a GPU both are what is free on it. On a CPU others may give memory back, so the most is that of the computer or
    the container, less what this process holds already.
    """
    if torch.cuda.is_available():
        free = int(torch.cuda.mem_get_info()[0])
        return free, free
    most = look_at_machine().memory_bytes - resident_bytes()
    return min(most, int(psutil.virtual_memory().available)), most


def resident_bytes() -> int:
    """Return what this process holds before the model comes; on a GPU only tensors are counted."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    status = Path("/proc/self/statm")
    if not status.exists():
        return _PROCESS_BYTES
    return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_memory_bytes() -> int:
    """Return the most that was held so far: by tensors on a GPU, by the process on a CPU; 0 where nobody tells."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

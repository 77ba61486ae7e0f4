"""Our settings in TRL's words; what is not taken from them is here for a reason."""

from pathlib import Path
from typing import Any

import torch
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig

from pericia.config import TrainConfig
from pericia.errors import InputError
from pericia.examples import num_epochs
from pericia.said import said
from pericia.trainers.local.base import takes_bf16
from pericia.trainers.local.processes import num_processes
from pericia.types import Preparation

_MICRO_BATCH_TOKENS = 4096  # more fit no cache and gain nothing on a CPU, and few GPUs need more


# What is right for adapters of Phi-3-mini. Pairs want less: the alignment handbook's recipes take 5e-6.
_RATES = {"sft": 2e-4, "text": 2e-4, "dpo": 5e-6}
_WIDTH = 3072  # of Phi-3-mini


def learning_rate(settings: TrainConfig, width: int) -> float:
    """Return the height of the learning rate for a base of this width (its hidden size; 0: unknown), 1 at most.

    Source: Adam's best rate falls as a model grows wider (Yang et al., Tensor Programs V, arXiv:2203.03466); all weights
    want a tenth of an adapter's (Schulman et al., LoRA Without Regret, 2025).

    Example:
        >>> every = TrainConfig(method="full")
        >>> [round(r, 6) for r in (learning_rate(TrainConfig(), 3072), learning_rate(TrainConfig(), 256), learning_rate(every, 3072))]
        [0.0002, 0.0024, 2e-05]
    """
    rate = settings.learning_rate
    if rate == "auto":
        rate = _RATES[settings.objective] * _WIDTH / (width or _WIDTH)
        rate = rate / 10 if settings.method == "full" else rate
    return min(1.0, rate * settings.learning_rate_multiplier)


def micro_batch(settings: TrainConfig, preparation: Preparation) -> int:
    """Return the rows of one forward pass in one process: as many of a step's as fit the token budget.

    Raises:
        InputError: the rows of a step cannot be shared out evenly among the processes.
    """
    processes = num_processes()
    share, rest = divmod(settings.batch_size, processes)
    if rest:
        raise InputError(
            said(
                "train.batch_size is %(batch_size)s and cannot be shared out among %(processes)s processes.",
                batch_size=settings.batch_size,
                processes=processes,
            ),
            hint=said("Take a multiple of %(processes)s.", processes=processes),
            param="train.batch_size",
        )
    longest = max(row.num_tokens for row in (*preparation.rows, *preparation.validation_rows))
    sides = 2 if settings.objective == "dpo" else 1
    fitting = max(1, _MICRO_BATCH_TOKENS // (sides * longest))
    return max(n for n in range(1, share + 1) if share % n == 0 and n <= fitting)


def accumulation(settings: TrainConfig, preparation: Preparation) -> int:
    """Return how many forward passes of one process make a step. Raises: see `micro_batch`."""
    return settings.batch_size // micro_batch(settings, preparation) // num_processes()


def largest_batch(
    settings: TrainConfig, preparation: Preparation, *, packed: bool
) -> tuple[int, ...]:
    """Return the lengths of the rows of the largest batch that may come, padding included."""
    micro = micro_batch(settings, preparation)
    rows = (*preparation.rows, *preparation.validation_rows)
    lengths = sorted((row.num_tokens for row in rows), reverse=True)[:micro]
    sides = 2 if settings.objective == "dpo" else 1
    return tuple(lengths) if packed else (lengths[0],) * (micro * sides)


def arguments(
    settings: TrainConfig,
    preparation: Preparation,
    folder: Path,
    *,
    packed: bool,
    checkpointing: bool,
    resumes: bool,
) -> SFTConfig | DPOConfig:
    """Return what TRL is told; checkpoints go to `folder`. `checkpointing` is of activations."""
    micro = micro_batch(settings, preparation)
    steps_an_epoch = -(-len(preparation.rows) // settings.batch_size)
    in_steps = steps_an_epoch > settings.checkpoint_steps
    when: dict[str, Any] = (
        {"save_steps": settings.checkpoint_steps, "eval_steps": settings.checkpoint_steps}
        if in_steps
        else {}
    )
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": num_epochs(settings, len(preparation.rows)),
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": accumulation(settings, preparation),
        "learning_rate": preparation.learning_rate,
        "lr_scheduler_type": _scheduler(settings),
        "warmup_steps": settings.warmup,  # below 1 it is a share
        "optim": _optimizer(settings),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        # Rows of one length share a batch to save padding; packed rows have none, and are drawn at random.
        "train_sampling_strategy": "random" if packed else "group_by_length",
        # Weights of adapters are in bf16 where that is fast, and compute in it; fp32 weights need autocast for it.
        "bf16": settings.method == "full" and takes_bf16(preparation.num_parameters),
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": checkpointing,
        "eval_strategy": "steps" if in_steps else "epoch",
        "save_strategy": "steps" if in_steps else "epoch",
        "eval_on_start": not resumes,
        "save_total_limit": 3,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "restore_callback_states_from_checkpoint": True,  # early stopping goes on counting
        "logging_steps": 1,
        "report_to": list(settings.track) or "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "seed": settings.seed,
        "data_seed": settings.seed,
        "max_length": None,
        **when,
    }
    if settings.objective == "dpo":
        common["train_sampling_strategy"] = "random"  # pairs have no one length
        return DPOConfig(**common, beta=settings.dpo_beta)
    return SFTConfig(
        **common, dataset_kwargs={"skip_prepare_dataset": True}, pad_to_multiple_of=None
    )


def _scheduler(settings: TrainConfig) -> str:
    """Return the scheduler; transformers' "constant" would ignore the warm-up without a word."""
    if settings.scheduler == "constant" and settings.warmup:
        return "constant_with_warmup"
    return settings.scheduler


def _optimizer(settings: TrainConfig) -> str:
    """Return the optimiser; on a GPU the states of a 4-bit training are paged, so that peaks move to RAM."""
    if settings.optimizer == "adamw_torch_fused" and settings.method == "qlora":
        return "paged_adamw_32bit" if torch.cuda.is_available() else settings.optimizer
    return settings.optimizer

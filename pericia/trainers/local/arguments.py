"""Our settings in TRL's words; what is not taken from them is here for a reason."""

from pathlib import Path

import torch
from trl.trainer.sft_config import SFTConfig

from pericia.config import TrainConfig
from pericia.examples import auto_epochs
from pericia.trainers.local.base import takes_bf16
from pericia.types import Preparation

_MICRO_BATCH_TOKENS = 4096  # more fit no cache and gain nothing on a CPU, and few GPUs need more


def num_epochs(settings: TrainConfig, preparation: Preparation) -> int:
    """Return how often each row is read."""
    return auto_epochs(len(preparation.rows)) if settings.epochs == "auto" else int(settings.epochs)


def arguments(settings: TrainConfig, preparation: Preparation, folder: Path) -> SFTConfig:
    """Return what TRL is told; checkpoints go to `folder`."""
    longest = max(len(row.ids) for row in (*preparation.rows, *preparation.validation_rows))
    fitting = max(1, _MICRO_BATCH_TOKENS // longest)
    micro = max(
        n
        for n in range(1, settings.batch_size + 1)
        if settings.batch_size % n == 0 and n <= fitting
    )
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=num_epochs(settings, preparation),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // micro,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",  # "constant" would ignore the warm-up
        warmup_steps=settings.warmup,  # below 1 it is a share
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        pad_to_multiple_of=None,
        bf16=takes_bf16(preparation.num_parameters),
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        eval_strategy="epoch",
        eval_on_start=True,
        save_strategy="epoch",
        save_total_limit=3,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=settings.seed,
        data_seed=settings.seed,
    )

"""TRL's trainer, with the loss computed only where answers stand, and progress passed on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from pericia.trainers.local.checkpoints import COMPLETE
from pericia.trainers.local.rows import IGNORED
from pericia.types import TrainEvent


class AnswerTrainer(SFTTrainer):
    """TRL's trainer, with the same loss computed only where answers stand.

    TRL projects every position onto the vocabulary on a CPU. Prompts with passages are fifty times as long as their
    answers, so for small models that projection would be most of the work.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        labels = inputs["labels"][:, 1:]
        columns = (labels != IGNORED).any(dim=0).nonzero().flatten()
        if return_outputs or self.aux_loss_enabled or 2 * len(columns) > labels.shape[1]:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        others = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**others, use_cache=False, logits_to_keep=columns).logits
        answers = labels[:, columns]
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), answers.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        num_labels = (
            num_items_in_batch if num_items_in_batch is not None else (answers != IGNORED).sum()
        )
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return loss / num_labels


class Progress(TrainerCallback):
    """Passes steps on, and marks each checkpoint as complete once all its files are written."""

    def __init__(self, on_event: Callable[[TrainEvent], None] | None) -> None:
        self._on_event = on_event

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self._on_event is not None and ("loss" in logs or "eval_loss" in logs):
            losses = logs.get("loss"), logs.get("eval_loss")
            self._on_event(TrainEvent(state.global_step, state.max_steps, *losses))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / COMPLETE).touch()

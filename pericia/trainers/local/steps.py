"""TRL's trainers, with the loss computed only where answers stand, and progress passed on."""

import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import EvalLoopOutput
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from pericia.config import TrainConfig
from pericia.errors import EnoughError
from pericia.trainers.local.checkpoints import COMPLETE
from pericia.trainers.local.loss import MOST_LOGITS, summed_loss
from pericia.trainers.local.packing import collate
from pericia.trainers.local.rows import IGNORED, preference_table, table
from pericia.types import Preparation, TrainEvent


class AnswerTrainer(SFTTrainer):
    """TRL's trainer, with the same loss computed only where answers stand, in training and in evaluation.

    TRL projects every position onto the vocabulary on a CPU. Prompts with passages are fifty times as long as their
    answers, so for small models that projection would be most of the work.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._right: list[torch.Tensor] = []  # labels that are the likeliest token, and all labels

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log also the share of labels that are the likeliest token, under TRL's name for it."""
        if self._right:
            counts = torch.stack(self._right).sum(dim=0).to(self.accelerator.device)
            right, number = self.accelerator.reduce(counts, "sum").tolist()
            mode = "train" if self.model.training else "eval"  # type: ignore[union-attr]
            self._metrics[mode]["mean_token_accuracy"] = [right / max(1, number)]
            self._right.clear()
        super().log(logs, start_time)

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        labels = inputs["labels"][:, 1:]
        counted = labels != IGNORED
        columns = counted.any(dim=0).nonzero().flatten()
        config: Any = self.model.config  # type: ignore[union-attr]
        vocabulary = config.get_text_config().vocab_size
        if (
            return_outputs
            or self.aux_loss_enabled
            or len(columns) * len(labels) * vocabulary > MOST_LOGITS
        ):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        others = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**others, use_cache=False, logits_to_keep=columns).logits
        kept = counted[:, columns]
        if len(labels) == 1:  # one row: every column kept counts
            loss, num_right = summed_loss(logits[0], labels[0, columns])
        else:
            loss, num_right = summed_loss(logits[kept], labels[:, columns][kept])
        self._right.append(torch.stack([num_right, kept.sum()]))
        if num_items_in_batch is None:
            return loss / kept.sum()
        if self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return loss / num_items_in_batch

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Return the mean loss over all labels; transformers' own is a mean over batches, so it changes with them."""
        bare: Any = self.model
        model = self._wrap_model(bare, training=False)
        model.eval()
        summed = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad():
            for batch in dataloader:
                inputs = self._prepare_inputs(batch)
                number = float((inputs["labels"][:, 1:] != IGNORED).sum())
                loss = float(self.compute_loss(model, inputs))
                summed += torch.tensor([loss * number, number], dtype=torch.float64)
        total = self.accelerator.reduce(summed.to(self.accelerator.device), "sum")
        mean = float(total[0] / total[1])
        metrics = {f"{metric_key_prefix}_loss": mean}
        nothing: Any = None  # logits and labels are not gathered
        return EvalLoopOutput(nothing, nothing, metrics, len(dataloader.dataset))


class PreferenceTrainer(DPOTrainer):
    """TRL's DPO, on pairs that are tokenised already: what the pre-flight has seen is what is trained."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


class Progress(TrainerCallback):
    """Passes steps on, times them, and marks each checkpoint as complete once all its files are on the disk.

    `step_s` are the seconds of each step of this process, without evaluations and checkpoints; `first_step` is the
    number of the first of them.
    """

    def __init__(self, on_event: Callable[[TrainEvent], None] | None) -> None:
        self._on_event = on_event
        self._started = 0.0
        self._enough: EnoughError | None = None
        self.step_s: list[float] = []
        self.first_step: int | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.first_step is None:
            self.first_step = state.global_step + 1
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.step_s.append(time.perf_counter() - self._started)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self._on_event is not None and ("loss" in logs or "eval_loss" in logs):
            names = ("loss", "eval_loss", "mean_token_accuracy", "eval_mean_token_accuracy")
            measured = map(logs.get, names)
            try:
                self._on_event(TrainEvent(state.global_step, state.max_steps, *measured))
            except EnoughError as enough:
                self._enough = enough
                control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        for file in filter(Path.is_file, checkpoint.rglob("*")):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        (checkpoint / COMPLETE).touch()
        if self._enough is not None:
            raise self._enough


def make_steps(
    model: Any,
    tokenizer: Any,
    options: Any,
    settings: TrainConfig,
    preparation: Preparation,
    *,
    packed: bool,
    progress: Progress,
) -> Any:
    """Return TRL's trainer for these settings, ready to go; adapters keep learning in fp32."""
    callbacks: list[TrainerCallback] = [progress]
    if settings.patience:
        callbacks.append(EarlyStoppingCallback(settings.patience))
    given = {
        "args": options,
        "processing_class": tokenizer,
        "callbacks": callbacks,
    }
    if settings.objective == "dpo":
        # In full training the model itself changes, so what it was is kept beside it.
        before = None if hasattr(model, "peft_config") else copy.deepcopy(model).eval()
        trainer: Any = PreferenceTrainer(
            model,
            before,
            train_dataset=preference_table(preparation.rows),
            eval_dataset=preference_table(preparation.validation_rows),
            **given,
        )
    else:
        trainer = AnswerTrainer(
            model,
            train_dataset=table(preparation.rows),
            eval_dataset=table(preparation.validation_rows),
            data_collator=collate if packed else None,
            **given,
        )
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    for parameter in model.parameters():  # TRL casts adapters of 4-bit models to bf16, where
        if parameter.requires_grad:  # small updates round away
            parameter.data = parameter.data.float()
    return trainer

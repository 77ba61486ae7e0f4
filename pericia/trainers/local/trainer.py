"""The trainer of this machine: rows and layers first, then weights, steps and checks."""

import contextlib
import gc
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets.utils.logging import disable_progress_bar
from peft import get_peft_model
from transformers import AutoModelForCausalLM, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging

from pericia import bases
from pericia.config import TrainConfig
from pericia.trainers.local.adapter import attach, find_targets, lora_config, save
from pericia.trainers.local.arguments import arguments, num_epochs
from pericia.trainers.local.base import load_config, load_tokenizer, load_weights
from pericia.trainers.local.checkpoints import last_checkpoint
from pericia.trainers.local.checks import check_losses, check_reload, check_weights, logits_of
from pericia.trainers.local.rows import label, table
from pericia.trainers.local.steps import AnswerTrainer, Progress
from pericia.types import Dataset, Preparation, TrainEvent

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the libraries say to their own developers; what concerns the user is checked here instead."""
    transformers_logging.disable_progress_bar()
    disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", ".*gradient_checkpointing. is deprecated", FutureWarning
            )
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)


class LocalTrainer:
    """See `Trainer`."""

    @_quiet()
    def prepare(self, dataset: Dataset, base: str, settings: TrainConfig) -> Preparation:
        """See `Trainer.prepare`."""
        folder = bases.base_folder(base)
        stops = bases.stop_ids(folder)
        tokenizer = load_tokenizer(folder)
        train, long_train = label(tokenizer, dataset.train, settings.max_tokens)
        validation, long_validation = label(tokenizer, dataset.validation, settings.max_tokens)
        with torch.device("meta"):  # shapes without weights: any size in a second
            model = AutoModelForCausalLM.from_config(load_config(folder), trust_remote_code=False)
            num_parameters = model.num_parameters()
            num_embeddings = model.get_input_embeddings().num_embeddings
            targets = find_targets(model)
            adapted: Any = get_peft_model(
                model, lora_config(settings, targets), low_cpu_mem_usage=True
            )
        rendered = tokenizer.apply_chat_template(
            list(bases.TEMPLATE_PROBE), add_generation_prompt=True, tokenize=False
        )
        return Preparation(
            rows=train,
            validation_rows=validation,
            num_too_long=long_train + long_validation,
            stop_ids=stops,
            decode=tokenizer.decode,
            target_modules=targets,
            hit_modules=tuple(adapted.base_model.targeted_module_names),
            num_layers=model.config.get_text_config().num_hidden_layers,
            num_trainable=sum(p.numel() for p in adapted.parameters() if p.requires_grad),
            num_parameters=num_parameters,
            num_tokens_known=len(tokenizer),
            num_embeddings=num_embeddings,
            base_sha256=bases.base_sha256(folder),
            template_sha256=bases.template_sha256(rendered),
            stop_sha256=bases.stop_sha256(stops),
        )

    @_quiet()
    def train(
        self,
        preparation: Preparation,
        base: str,
        settings: TrainConfig,
        folder: Path,
        *,
        parent: Path | None = None,
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> Mapping[str, object]:
        """See `Trainer.train`."""
        base_folder = bases.base_folder(base)
        tokenizer = load_tokenizer(base_folder)
        resume_from = last_checkpoint(folder / "checkpoints", preparation, settings, parent)
        set_seed(settings.seed)  # LoRA's first weights are random
        model: Any = load_weights(base_folder, settings, preparation.num_parameters)
        model = attach(model, settings, preparation, base_folder, parent)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_A" in n}
        trainer = AnswerTrainer(
            model,
            args=arguments(settings, preparation, folder / "checkpoints"),
            train_dataset=table(preparation.rows),
            eval_dataset=table(preparation.validation_rows),
            processing_class=tokenizer,
            callbacks=[Progress(on_event)],
        )
        for printer in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(printer)
        for parameter in model.parameters():  # TRL casts adapters of 4-bit models to bf16, where
            if parameter.requires_grad:  # small updates round away
                parameter.data = parameter.data.float()
        started = time.perf_counter()
        trainer.train(resume_from_checkpoint=resume_from)
        train_s = time.perf_counter() - started
        history = trainer.state.log_history
        check_losses(history, preparation)
        check_weights(model, before)
        probe = torch.tensor([preparation.rows[0].ids], device=model.device)
        reference = logits_of(model, probe)
        save(model, folder, base)
        best = trainer.state.best_global_step
        del trainer, model
        gc.collect()
        check_reload(base_folder, settings, preparation, folder, probe, reference)
        num_tokens = sum(len(row.ids) for row in preparation.rows)
        epochs = num_epochs(settings, preparation)
        return {
            "losses": [round(entry["loss"], 6) for entry in history if "loss" in entry],
            "validation_losses": [
                {"step": entry["step"], "loss": round(entry["eval_loss"], 6)}
                for entry in history
                if "eval_loss" in entry
            ],
            "best_step": best,
            "epochs": epochs,
            "num_trainable": preparation.num_trainable,
            "num_tokens": num_tokens,
            "num_labels": sum(sum(row.mask) for row in preparation.rows),
            "train_s": round(train_s, 3),
            "tokens_per_s": round(num_tokens * epochs / train_s, 1),
            "peak_memory_bytes": _peak_memory_bytes(),
            "resumed": resume_from is not None,
            "device": str(probe.device),
            "versions": {
                n: version(n) for n in ("torch", "transformers", "trl", "peft", "bitsandbytes")
            },
        }


def _peak_memory_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

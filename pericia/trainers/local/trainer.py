"""The trainer of this machine: rows and layers first, then weights, steps and checks."""

import contextlib
import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import patch_environment
from datasets.utils.logging import disable_progress_bar
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import PreflightError
from pericia.examples import num_steps
from pericia.said import said
from pericia.trainers.local.adapter import (
    attach,
    save,
)
from pericia.trainers.local.arguments import (
    accumulation,
    arguments,
    largest_batch,
)
from pericia.trainers.local.base import (
    load_config,
    load_tokenizer,
    load_weights,
    unguarded_layers,
    untrained_tokens,
)
from pericia.trainers.local.checkpoints import last_checkpoint, step_of
from pericia.trainers.local.checks import (
    check_labels,
    check_losses,
    check_reload,
    check_resumed,
    check_versions,
    check_weights,
    logits_of,
    weights_before,
)
from pericia.trainers.local.layers import layers
from pericia.trainers.local.lora import quicken, restore
from pericia.trainers.local.memory import foresee_run
from pericia.trainers.local.packing import can_pack, pack, unpack
from pericia.trainers.local.processes import (
    check_trackers,
    main_process_first,
    reporting_full_disks,
    reporting_full_memory,
)
from pericia.trainers.local.record import (
    memory_bytes,
    peak_memory_bytes,
    recorded,
    resident_bytes,
)
from pericia.trainers.local.rows import label
from pericia.trainers.local.steps import Progress, make_steps
from pericia.types import Dataset, Preparation, TrainEvent


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
        check_versions()
        folder = bases.base_folder(base)
        stops = bases.stop_ids(folder)
        tokenizer = load_tokenizer(folder)
        train = label(tokenizer, dataset.train)
        validation = label(tokenizer, dataset.validation)
        fitting = tuple(row for row in train if row.num_tokens <= settings.max_tokens)
        lengths = [row.num_tokens for row in (*train, *validation)]
        markers = {i for row in train for i in row.ids} & tokenizer.added_tokens_decoder.keys()
        rendered = tokenizer.apply_chat_template(
            list(bases.TEMPLATE_PROBE), add_generation_prompt=True, tokenize=False
        )
        return Preparation(
            rows=fitting,
            validation_rows=tuple(
                row for row in validation if row.num_tokens <= settings.max_tokens
            ),
            num_too_long=sum(number > settings.max_tokens for number in lengths),
            stop_ids=stops,
            decode=tokenizer.decode,
            num_tokens_known=len(tokenizer),
            base_sha256=bases.base_sha256(folder),
            template_sha256=bases.template_sha256(rendered),
            stop_sha256=bases.stop_sha256(stops),
            untrained_tokens=tuple(
                tokenizer.decode([id_])
                for id_ in untrained_tokens(folder, markers, tokenizer.pad_token_id)
            ),
            longest_tokens=max(lengths, default=0),
            num_steps=num_steps(settings, len(fitting)),
            **layers(folder, settings),
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
        check_trackers(settings.track)
        with main_process_first():
            resume_from = last_checkpoint(folder / "checkpoints", preparation, settings, parent)
        free_bytes, most_bytes = memory_bytes()

        def foresee(packed: bool) -> tuple[int, bool]:
            return foresee_run(
                load_config(base_folder).to_dict(),
                settings,
                preparation,
                lengths=largest_batch(settings, preparation, packed=packed),
                accumulates=accumulation(settings, preparation) > 1,
                free_bytes=free_bytes,
                most_bytes=most_bytes,
            )

        may_pack = settings.packing != "off" and settings.objective != "dpo"
        # Before weights that may not fit are loaded.
        foreseen_bytes, checkpointing = foresee(may_pack)
        held_bytes = resident_bytes()
        with reporting_full_memory():
            model: Any = load_weights(base_folder, settings, preparation.num_parameters)
        packed = may_pack and _packs(model, preparation, settings)
        if packed != may_pack:
            foreseen_bytes, checkpointing = foresee(packed)
        set_seed(settings.seed)  # LoRA's first weights are random
        model = attach(model, settings, preparation, base_folder, parent)
        _check_guarded(model)
        before = weights_before(model)
        checkpoints = folder / "checkpoints"
        options = arguments(
            settings,
            preparation,
            checkpoints,
            packed=packed,
            checkpointing=checkpointing,
            resumes=resume_from is not None,
        )
        progress = Progress(on_event)
        logs = os.environ.get("TENSORBOARD_LOGGING_DIR", folder / "tensorboard")
        with patch_environment(tensorboard_logging_dir=logs):  # read when its callback is made
            trainer = make_steps(
                model, tokenizer, options, settings, preparation, packed=packed, progress=progress
            )
        if settings.objective != "dpo":
            check_labels(trainer, preparation.rows)
        with _quick(model, packed), reporting_full_memory(), reporting_full_disks(folder):
            started = time.perf_counter()
            trainer.train(resume_from_checkpoint=resume_from)
        train_s = time.perf_counter() - started
        peak_bytes = peak_memory_bytes()
        state = trainer.state
        rate = preparation.learning_rate
        check_resumed(progress.first_step, step_of(resume_from))
        check_losses(state.log_history, preparation, rate)
        check_weights(model, before, state, rate)
        probe = torch.tensor([preparation.rows[0].ids], device=model.device)
        del trainer
        with main_process_first() as is_main:
            if is_main:
                reference = logits_of(model, probe)
                with reporting_full_disks(folder):
                    save(model, folder, base)
                del model
                gc.collect()
                check_reload(base_folder, settings, preparation, folder, probe, reference)
        return recorded(state, settings, preparation, progress.step_s) | {
            "packed": packed,
            "resumed": resume_from is not None,
            "train_s": round(train_s, 3),
            "checkpointing": checkpointing,
            "foreseen_memory_bytes": held_bytes + foreseen_bytes,
            "peak_memory_bytes": peak_bytes,
            "device": str(probe.device),
        }


def _packs(model: Any, preparation: Preparation, settings: TrainConfig) -> bool:
    """Return whether rows are packed: where it is exact.

    Raises:
        PreflightError: packing is asked for, and this model would mix the rows.
    """
    exact = can_pack(model, [row.ids for row in preparation.rows])
    if settings.packing == "on" and not exact:
        raise PreflightError(
            said(
                "Packing is on, and this model does not keep packed rows apart: two rows together give other logits than each alone."
            ),
            hint=said("Set train.packing to auto or off; only speed is lost."),
            param="train.packing",
        )
    return exact


def _check_guarded(model: torch.nn.Module) -> None:
    layers = unguarded_layers(model)
    if layers:
        raise PreflightError(
            said(
                "%(num_layers)s layers in 4 bits, the first is %(layers)s, would lose their gradients at the first evaluation: bitsandbytes repacks them.",
                num_layers=len(layers),
                layers=layers[0],
            ),
            hint=said(
                "Load the model anew through the trainer 'local', which guards them; or take method lora."
            ),
        )


@contextlib.contextmanager
def _quick(model: Any, packed: bool) -> Iterator[None]:
    """Attend row by row and compute adapters without detours while the block runs."""
    causal = model.get_base_model() if hasattr(model, "peft_config") else model
    if packed:
        pack(causal)
    quicken(model)
    try:
        yield
    finally:
        restore(model)
        if packed:
            unpack(causal)

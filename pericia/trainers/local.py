"""LoRA and QLoRA on this machine, through TRL and PEFT, with every default that harms overridden.

Rows arrive tokenised and labelled from `prepare`, so TRL neither renders, cuts nor drops anything: what the
pre-flight has seen is what is trained.
"""

import contextlib
import gc
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from datasets import Dataset as RowTable
from datasets.utils.logging import disable_progress_bar
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    TrainerCallback,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging
from trl.chat_template_utils import get_training_chat_template
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import InputError, JobError, ModelError, PreflightError
from pericia.examples import auto_epochs
from pericia.machine import look_at_machine
from pericia.types import Dataset, Example, LabelledRow, Preparation, TrainEvent
from pericia.workspace import sha256_of, write_json

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_FUSED = {"phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")}
_MICRO_BATCH_TOKENS = 4096  # more fit no cache and gain nothing on a CPU, and few GPUs need more
_BF16_PARAMETERS = 50_000_000  # below this, casts cost more than bf16 matrix products save
_PARITY = 1e-5
_IGNORED = -100
_COMPLETE = "pericia-complete"  # written last into a checkpoint: without it a kill left half of one


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
        tokenizer = _load_tokenizer(folder)
        train, long_train = _label(tokenizer, dataset.train, settings.max_tokens)
        validation, long_validation = _label(tokenizer, dataset.validation, settings.max_tokens)
        with torch.device("meta"):  # shapes without weights: any size in a second
            model = AutoModelForCausalLM.from_config(_load_config(folder), trust_remote_code=False)
            num_parameters = model.num_parameters()
            num_embeddings = model.get_input_embeddings().num_embeddings
            targets = _targets(model)
            adapted: Any = get_peft_model(model, _lora(settings, targets), low_cpu_mem_usage=True)
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
        tokenizer = _load_tokenizer(base_folder)
        resume_from = _last_checkpoint(folder / "checkpoints", preparation, settings, parent)
        set_seed(settings.seed)  # LoRA's first weights are random
        model: Any = _load_base(base_folder, settings, preparation.num_parameters)
        if parent is None:
            model = get_peft_model(model, _lora(settings, preparation.target_modules))
        else:
            model = PeftModel.from_pretrained(model, parent, is_trainable=True)
            # peft would look the name of the base up on the hub whenever it saves
            model.peft_config["default"].base_model_name_or_path = str(base_folder)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_A" in n}
        progress = _Progress(on_event)
        trainer = _AnswerTrainer(
            model,
            args=_arguments(settings, preparation, folder / "checkpoints"),
            train_dataset=_table(preparation.rows),
            eval_dataset=_table(preparation.validation_rows),
            processing_class=tokenizer,
            callbacks=[progress],
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
        _check_losses(history, preparation)
        _check_weights(model, before)
        probe = torch.tensor([preparation.rows[0].ids], device=model.device)
        reference = _logits(model, probe)
        _save(model, folder, base)
        best = trainer.state.best_global_step
        del trainer, model
        gc.collect()
        _check_reload(base_folder, settings, preparation, folder, probe, reference)
        num_tokens = sum(len(row.ids) for row in preparation.rows)
        epochs = _epochs(settings, preparation)
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


class _AnswerTrainer(SFTTrainer):
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
        columns = (labels != _IGNORED).any(dim=0).nonzero().flatten()
        if return_outputs or self.aux_loss_enabled or 2 * len(columns) > labels.shape[1]:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        others = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**others, use_cache=False, logits_to_keep=columns).logits
        answers = labels[:, columns]
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), answers.flatten(), ignore_index=_IGNORED, reduction="sum"
        )
        num_labels = (
            num_items_in_batch if num_items_in_batch is not None else (answers != _IGNORED).sum()
        )
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return loss / num_labels


class _Progress(TrainerCallback):
    """Passes steps on, and marks each checkpoint as complete once all its files are written."""

    def __init__(self, on_event: Callable[[TrainEvent], None] | None) -> None:
        self._on_event = on_event

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self._on_event is not None and ("loss" in logs or "eval_loss" in logs):
            losses = logs.get("loss"), logs.get("eval_loss")
            self._on_event(TrainEvent(state.global_step, state.max_steps, *losses))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / _COMPLETE).touch()


# --- before training ---------------------------------------------------------------------------


def _load_config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        text = f"The model in '{folder}' cannot be read: {reason}"
        raise ModelError(text, hint=bases.mend(folder)) from error


def _load_tokenizer(folder: Path) -> Any:
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


def _label(
    tokenizer: Any, examples: Sequence[Example], max_tokens: int
) -> tuple[tuple[LabelledRow, ...], int]:
    """Return the rows with their masks, and the number of those that are too long and left out."""
    try:
        template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except (
        ValueError
    ):  # no template with marks is known: the last answer is what follows the prompt
        template = None
    rows = [_label_one(tokenizer, template, example) for example in examples]
    kept = tuple(row for row in rows if len(row.ids) <= max_tokens)
    return kept, len(rows) - len(kept)


def _label_one(tokenizer: Any, template: str | None, example: Example) -> LabelledRow:
    chat = [{"role": m.role, "content": m.content} for m in example.messages]
    prompt_ids = tokenizer.apply_chat_template(
        chat[:-1], add_generation_prompt=True, return_dict=False
    )
    if template is None:
        ids = tokenizer.apply_chat_template(chat, return_dict=False)
        mask = [i >= len(prompt_ids) for i in range(len(ids))]
    else:
        out = tokenizer.apply_chat_template(
            chat, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = out["input_ids"], [bool(m) for m in out["assistant_masks"]]
    return LabelledRow(example, tuple(ids), tuple(mask), tuple(prompt_ids))


def _targets(model: Any) -> tuple[str, ...]:
    """Return the short names of the linear layers to adapt: all of them but the head."""
    if model.config.model_type in _FUSED:
        return _FUSED[model.config.model_type]
    head = model.get_output_embeddings()
    linear = (
        n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head
    )
    return tuple(sorted({name.rpartition(".")[2] for name in linear}))


def _lora(settings: TrainConfig, targets: Sequence[str]) -> LoraConfig:
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
    )


def _load_base(folder: Path, settings: TrainConfig, num_parameters: int) -> Any:
    if settings.method == "full":
        raise InputError("The trainer 'local' cannot train all weights yet.", hint="Take lora.")
    dtype = torch.bfloat16 if _takes_bf16(num_parameters) else torch.float32
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
    _guard(model)
    return model


def _guard(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights when it evaluates on a CPU.

    The repacked layer passes no gradient to its input, silently, for the rest of the training.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _takes_bf16(num_parameters: int) -> bool:
    if torch.cuda.is_available():
        return True
    return num_parameters >= _BF16_PARAMETERS and look_at_machine().has_bf16


def _epochs(settings: TrainConfig, preparation: Preparation) -> int:
    return auto_epochs(len(preparation.rows)) if settings.epochs == "auto" else int(settings.epochs)


def _arguments(settings: TrainConfig, preparation: Preparation, folder: Path) -> SFTConfig:
    longest = max(len(row.ids) for row in (*preparation.rows, *preparation.validation_rows))
    fitting = max(1, _MICRO_BATCH_TOKENS // longest)
    micro = max(
        n
        for n in range(1, settings.batch_size + 1)
        if settings.batch_size % n == 0 and n <= fitting
    )
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=_epochs(settings, preparation),
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
        bf16=_takes_bf16(preparation.num_parameters),
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


def _table(rows: Sequence[LabelledRow]) -> RowTable:
    labels = [
        [token if counts else _IGNORED for token, counts in zip(row.ids, row.mask, strict=True)]
        for row in rows
    ]
    return RowTable.from_dict({"input_ids": [list(row.ids) for row in rows], "labels": labels})


def _last_checkpoint(
    folder: Path, preparation: Preparation, settings: TrainConfig, parent: Path | None
) -> str | None:
    """Return the newest whole checkpoint of this very job; those of another job and halves are removed."""
    rows = [[row.ids, row.mask] for row in (*preparation.rows, *preparation.validation_rows)]
    job = sha256_of([rows, preparation.base_sha256, settings.model_dump(), str(parent)])
    mark = folder / "job.json"
    if not mark.exists() or json.loads(mark.read_text(encoding="utf-8")) != job:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(mark, job)
        return None
    whole: list[Path] = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / _COMPLETE).exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    if not whole:
        return None
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2])))


# --- after training ----------------------------------------------------------------------------


def _check_losses(history: Sequence[Mapping[str, Any]], preparation: Preparation) -> None:
    for entry in history:
        loss = entry.get("loss", 1.0)
        if loss == 0.0 or entry.get("grad_norm", 1.0) == 0.0 or loss != loss:
            raise JobError(
                f"Step {entry['step']} has loss {loss} and gradient norm {entry.get('grad_norm')}: "
                "nothing was learnt there.",
                hint="Look at the data with: pericia check; and lower train.learning_rate if it is nan.",
            )
    if not any("eval_loss" in entry for entry in history):
        raise JobError(
            f"None of the {len(preparation.validation_rows)} validation rows was evaluated.",
            hint="Report this, with your settings.",
        )


def _check_weights(model: torch.nn.Module, before: Mapping[str, torch.Tensor]) -> None:
    weights = dict(model.named_parameters())
    still = [n for n, p in weights.items() if "lora_B" in n and not bool(p.detach().any())]
    if still:
        raise JobError(
            f"{len(still)} adapter matrices are still zero, the first is {still[0]}.",
            hint="Train for more steps or with a higher train.learning_rate.",
        )
    moved = [float((weights[n].detach() != first).float().mean()) for n, first in before.items()]
    if moved and min(moved) < 0.5:
        raise JobError(
            f"Only {min(moved):.0%} of an adapter matrix has moved: steps are lost to rounding.",
            hint="Raise train.learning_rate.",
        )


def _logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(input_ids=ids).logits.float().cpu()


def _save(model: Any, folder: Path, base: str) -> None:
    """Write the adapter in PEFT layout, without local paths and in an order that is always the same."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = Path(base).name if Path(base).exists() else base
    config["target_modules"] = sorted(config["target_modules"])
    write_json(folder / "adapter_config.json", config)


def _check_reload(
    base_folder: Path,
    settings: TrainConfig,
    preparation: Preparation,
    folder: Path,
    probe: torch.Tensor,
    reference: torch.Tensor,
) -> None:
    fresh = _load_base(base_folder, settings, preparation.num_parameters)
    difference = float(
        (_logits(PeftModel.from_pretrained(fresh, folder), probe) - reference).abs().max()
    )
    if difference > _PARITY and not _takes_bf16(preparation.num_parameters):
        raise JobError(
            f"The adapter as written gives other answers than the one trained: logits differ by {difference:.2g}.",
            hint="Report this, with your settings.",
        )


def _peak_memory_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

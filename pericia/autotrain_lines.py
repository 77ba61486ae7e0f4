"""What became of each key of an AutoTrain file: kept, changed or refused, and why."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from pericia.autotrain_keys import DATA_KEYS, NUMBERS, PARAMS, TASKS, TOP_KEYS, DataSource
from pericia.config import TrainConfig
from pericia.machine import Machine
from pericia.said import said

Verdict = Literal["kept", "changed", "refused"]


_WHERE = said("the adapter lies in .pericia/adapters, under the id of its job")


_BOUND = said("only block_size bounds a row, and none is cut")


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one key. A refusal that `stops` lets no training begin."""

    key: str
    value: str
    verdict: Verdict
    reason: str
    stops: bool = False


def top_lines(data: Mapping[str, Any], settings: TrainConfig, local: bool) -> Iterator[Line]:
    """Yield what became of the keys outside `data`, `params` and `hub`; first, how the loss differs."""
    if settings.objective == "text":
        yield Line(
            "loss",
            said("all words, packed across rows"),
            "changed",
            said("all words and the end of each row; rows never read each other"),
        )
    if settings.objective == "sft":
        yield Line(
            "loss",
            said("question and answer, packed across rows"),
            "changed",
            said(
                "answers and their end alone, rows never read each other: AutoTrain trains on the question as well"
            ),
        )
    for key in data:
        value = _show(data[key])
        if key in {"data", "params", "hub"}:
            continue
        if key not in TOP_KEYS:
            yield Line(
                key,
                value,
                "refused",
                said("unknown key%(near)s", near=_near(key, TOP_KEYS)),
                stops=True,
            )
        elif key == "task" and value not in TASKS:
            reason = said(
                "only language models are trained here: %(tasks)s", tasks=", ".join(TASKS)
            )
            yield Line(key, value, "refused", reason, stops=True)
        elif key == "task" and value == "llm-orpo":
            reason = said("ORPO is experimental in TRL; llm-dpo learns from the same pairs")
            yield Line(key, value, "refused", reason, stops=True)
        elif key == "backend" and not value.startswith("local"):
            if local:
                yield Line(key, value, "changed", said("trained on this computer, as asked"))
            else:
                reason = said(
                    "would send data and model to another computer; train here by overriding it"
                )
                yield Line(key, value, "refused", reason, stops=True)
        elif key == "log" and value not in {"none", "null"}:
            yield Line(
                key, value, "changed", said("progress is always recorded as events of the run")
            )
        elif key == "project_name":
            yield Line(key, value, "changed", _WHERE)
        else:
            yield Line(key, value, "kept", said("same meaning"))


def data_lines(source: Mapping[str, Any], found: DataSource) -> Iterator[Line]:
    """Yield what became of the keys of `data`."""
    for key, value in source.items():
        name, shown = f"data.{key}", _show(value)
        if key not in DATA_KEYS:
            yield Line(
                name,
                shown,
                "refused",
                said("unknown key%(near)s", near=_near(key, DATA_KEYS)),
                stops=True,
            )
        elif key == "path" and re.match(r"https?://", shown):
            yield Line(
                name, shown, "refused", said("nothing is fetched from a bare address"), stops=True
            )
        elif key == "path" and found.train is None:
            yield Line(
                name, shown, "kept", said("no such local file, so the name of a hub's data set")
            )
        elif key == "valid_split" and value:
            yield Line(
                name, shown, "changed", said("really used for validation; AutoTrain drops it")
            )
        elif key == "chat_template" and value in ("chatml", "zephyr"):
            yield Line(
                name,
                shown,
                "changed",
                said("the tokenizer's own template: added tokens would stay untrained"),
            )
        else:
            yield Line(name, shown, "kept", said("same meaning"))

    if found.validation_split is None:
        reason = said(
            "a share of the examples is held out, to keep the checkpoint that is best on it"
        )
        yield Line("validation", "none", "changed", reason)


def hub_lines(hub: Mapping[str, Any]) -> Iterator[Line]:
    """Yield what became of the keys of `hub`."""
    for key, value in hub.items():
        name = f"hub.{key}"
        if key == "push_to_hub" and value:
            yield Line(name, _show(value), "refused", said("nothing is uploaded; training goes on"))
        elif key in {"username", "token", "push_to_hub"}:
            shown = "***" if key == "token" and "${" not in str(value) else _show(value)
            yield Line(name, shown, "kept", said("not needed, as nothing is uploaded"))
        else:
            known = {"username", "token", "push_to_hub"}
            yield Line(
                name,
                _show(value),
                "refused",
                said("unknown key%(near)s", near=_near(key, known)),
                stops=True,
            )


def param_line(
    key: str,
    value: object,
    params: Mapping[str, Any],
    settings: TrainConfig,
    machine: Machine,
) -> Line:
    """Return what became of one key of `params`."""
    shown = "***" if key == "token" else _show(value)
    line = Line(f"params.{key}", shown, "kept", said("same meaning"))

    def changed(reason: str) -> Line:
        return replace(line, verdict="changed", reason=reason)

    if key not in PARAMS:
        return replace(
            line,
            verdict="refused",
            reason=said("unknown parameter%(near)s", near=_near(key, PARAMS)),
            stops=True,
        )
    if key == "push_to_hub" and value:
        return replace(
            line, verdict="refused", reason=said("nothing is uploaded; training goes on")
        )
    if key == "trainer" and value in ("reward", "orpo"):
        reason = (
            said("no reward models here") if value == "reward" else said("take dpo: the same pairs")
        )
        return replace(line, verdict="refused", reason=reason, stops=True)
    if key in {"username", "token"}:
        return replace(line, reason=said("not needed, as nothing is uploaded"))
    peft = bool(params.get("peft"))
    if key == "quantization":
        if not peft:
            return changed(said("ignored without peft: all weights are trained"))
        return changed(
            said("NF4 with double quantisation, bf16 compute")
            if value
            else said("LoRA on the 16-bit base")
        )
    precision = "bf16" if machine.gpu or machine.has_bf16 else "fp32"
    reasons: Mapping[str, str] = {
        "block_size": said('max_tokens %(max_tokens)s; longer rows are counted, not cut', max_tokens=settings.max_tokens),
        "batch_size": said('%(batch_size)s examples an optimiser step, with accumulation', batch_size=settings.batch_size),
        "gradient_accumulation": said('%(batch_size)s examples an optimiser step, with batch_size', batch_size=settings.batch_size),
        "mixed_precision": said('by this computer: %(precision)s', precision=precision) if str(value) != precision else "",
        "optimizer": said('paging needs a GPU, so %(optimizer)s', optimizer=settings.optimizer) if settings.optimizer != value else "",
        "merge_adapter": said('a merged copy beside the adapter, proved equal') if peft else said('nothing to merge without peft'),
        "save_total_limit": said('three checkpoints at least, one an epoch'),
        "valid_split": said('really used for validation; AutoTrain drops it'),
        "log": said('progress is always recorded as events of the run'),
        "add_eos_token": "" if value else said('always: a model that never learns the end never stops'),
        "distributed_backend": said('chosen when training is launched'),
        "auto_find_batch_size": said('ignored: the plan says what fits'),
        "disable_gradient_checkpointing": said('ignored: the plan decides'),
        "chat_template": said("the tokenizer's own template") if value in ("chatml", "zephyr") else "",
        "unsloth": said('ignored: not available'),
        "use_flash_attention_2": said("ignored: torch's own attention"),
        "padding": "" if value in ("right", None) else "right",
        "project_name": _WHERE,
        "logging_steps": said('every step is recorded') if str(value) != "1" else "",
        "eval_strategy": "" if value == "epoch" else said('after each epoch, to keep the checkpoint that is best'),
        "model_ref": said('the base as it is before the training'),
        "max_prompt_length": _BOUND,
        "max_completion_length": _BOUND,
        "scheduler": said('it warms up first, which transformers would leave out') if value == "constant" and settings.warmup else "",
    }  # fmt: skip
    idle = key in {"unsloth", "auto_find_batch_size", "use_flash_attention_2", "merge_adapter"}
    if key in {"batch_size", "gradient_accumulation"}:
        return replace(line, reason=reasons[key])
    why = reasons.get(key, "")
    if why and not (idle and not value) and value is not None:
        return changed(why)
    if isinstance(value, str) and key in NUMBERS:
        return changed(
            said(
                "YAML reads %(value)s as text; the number %(number)s is meant",
                value=value,
                number=f"{float(value):g}",
            )
        )
    return line


def _near(key: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(key), list(known), n=1)
    return said("; did you mean '%(name)s'?", name=near[0]) if near else ""


def _show(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)

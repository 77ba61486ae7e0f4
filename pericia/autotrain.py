"""AutoTrain Advanced's files: in comes a YAML for a language model, out our settings and a table of what became of each key.

Every key is kept, changed or refused, with the reason; nothing is dropped without a word. Its own defaults hold for keys
that the file leaves out. Nothing is ever uploaded, and no remote code is run.
Source: github.com/huggingface/autotrain-advanced at b5c98fb, src/autotrain/parser.py and trainers/clm/params.py.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pericia.autotrain_keys import FLAGS, NUMBERS, PARAMS, TASKS, TRAINERS, DataSource
from pericia.autotrain_lines import Line, data_lines, hub_lines, param_line, top_lines
from pericia.config import TrainConfig
from pericia.errors import ConfigError
from pericia.machine import Machine, look_at_machine
from pericia.said import joined, said

_OURS = {  # a fault that TrainConfig finds, in AutoTrain's words
    "learning_rate": "lr",
    "rank": "lora_r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "max_tokens": "block_size",
    "warmup": "warmup_ratio",
}


@dataclass(frozen=True, slots=True)
class Translation:
    """An AutoTrain file in our words, and the table to print."""

    name: str
    base: str
    settings: TrainConfig
    data: DataSource
    merge: bool  # a merged copy is wanted beside the adapter
    lines: tuple[Line, ...]

    def check(self) -> None:
        """Return when training may start.

        Raises:
            ConfigError: a key is refused that the training depends on; all such keys are named.
        """
        stops = [line for line in self.lines if line.stops]
        if stops:
            text = joined(
                [joined((line.key, line.value, line.reason), ": ") for line in stops], "\n"
            )
            raise ConfigError(text, hint=said("Change or remove these keys of the AutoTrain file."))


def is_autotrain(path: Path) -> bool:
    """Return whether a YAML file is AutoTrain's rather than a pericia.yaml."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(data, dict) and {"task", "base_model"} <= data.keys()


def read_autotrain(
    path: Path,
    *,
    base: str = "",
    data_path: str = "",
    local: bool = False,
    machine: Machine | None = None,
) -> Translation:
    """Return the training that a file asks for; `base`, `data_path` and `local` override what it says.

    Splits are looked for in the file's folder, then in the working directory.

    Raises:
        ConfigError: the file is missing, no YAML, or has faults; all are listed with their keys.
    """
    data = _read(path)
    faults: list[str] = [
        said("%(key)s is missing", key=key)
        for key in ("task", "base_model", "project_name", "data")
        if not data.get(key)
    ]
    source, params, hub = (data.get(key) or {} for key in ("data", "params", "hub"))
    for key, part in (("data", source), ("params", params), ("hub", hub)):
        if not isinstance(part, dict):
            faults.append(
                said("%(key)s is %(value)s; expected keys with values", key=key, value=repr(part))
            )
    if isinstance(source, dict) and not source.get("path") and not data_path:
        faults.append(said("%(key)s is missing", key="data.path"))
    if faults:
        raise _faulty(path, faults)
    columns = source.get("column_mapping") or {}
    values = {
        **{
            k: source.get(k) for k in ("train_split", "valid_split", "chat_template") if k in source
        },
        **{k: v for k, v in columns.items() if k in PARAMS},
        **params,
    }
    numbers = {
        key: _number(key, values.get(key, default), faults) for key, default in NUMBERS.items()
    }
    flags = {key: values.get(key) for key in FLAGS}
    faults += [
        said("%(key)s is %(value)s; expected true or false", key=f"params.{k}", value=repr(v))
        for k, v in flags.items()
        if v not in (None, True, False)
    ]
    if faults:
        raise _faulty(path, faults)
    machine = machine or look_at_machine()
    objective = TASKS.get(str(data["task"]), "") or TRAINERS.get(
        str(values.get("trainer", "default")), "sft"
    )
    if objective == "sft" and str(values.get("chat_template") or "none").lower() == "none":
        objective = "text"  # AutoTrain takes the column as it is, chats rendered in it included
    more = {
        "objective": "sft" if objective == "orpo" else objective,  # refused in the table
        "optimizer": _optimizer(values, machine),
        "scheduler": str(values.get("scheduler") or "linear"),
        "target_modules": _targets(values.get("target_modules")),
    }
    settings = _settings(path, values, numbers, more)
    found = _data_source(path, data_path or str(values.get("data_path") or source["path"]), values)
    lines = [*top_lines(data, settings, local), *data_lines(source, found), *hub_lines(hub)]
    lines += [param_line(key, value, params, settings, machine) for key, value in params.items()]
    merge = bool(values.get("merge_adapter")) and bool(values.get("peft"))
    model = base or str(values.get("model") or data["base_model"])
    return Translation(str(data["project_name"]), model, settings, found, merge, tuple(lines))


def _settings(
    path: Path,
    values: Mapping[str, Any],
    numbers: Mapping[str, float | None],
    more: Mapping[str, object],
) -> TrainConfig:
    batch = int(numbers["batch_size"] or 1) * int(numbers["gradient_accumulation"] or 1)
    chosen = {
        "method": _method(values),
        "rank": numbers["lora_r"],
        "alpha": numbers["lora_alpha"],
        "dropout": numbers["lora_dropout"],
        "learning_rate": numbers["lr"],
        "epochs": numbers["epochs"],
        "batch_size": batch,
        "max_tokens": _max_tokens(values, numbers),
        "warmup": numbers["warmup_ratio"],
        "weight_decay": numbers["weight_decay"],
        "max_grad_norm": numbers["max_grad_norm"],
        "dpo_beta": numbers["dpo_beta"],
        "seed": numbers["seed"],
        **more,
    }
    try:
        return TrainConfig.model_validate(chosen)
    except ValidationError as error:
        faults: dict[str, str] = {}  # the first of each key: a key of two types has two
        for item in error.errors():
            name = str(item["loc"][0])
            name = f"params.{_OURS.get(name, name)}"
            faults.setdefault(name, f"{name} is {item['input']!r}; {item['msg'].lower()}")
        raise _faulty(path, list(faults.values())) from error


def _method(values: Mapping[str, Any]) -> str:
    if not values.get("peft"):
        return "full"
    return "qlora" if values.get("quantization", "int4") else "lora"


def _max_tokens(values: Mapping[str, Any], numbers: Mapping[str, float | None]) -> int | str:
    """Return the longest row; AutoTrain's -1 means 1,024, and of a list the first counts."""
    size = values.get("block_size", -1)
    size = size[0] if isinstance(size, list) and size else size
    text = str(size).split(",")[0].strip()
    if not re.fullmatch(r"-?\d+", text):
        return text
    asked = int(text) if int(text) > 0 else 1024
    return min(asked, int(numbers["model_max_length"] or asked))


def _optimizer(values: Mapping[str, Any], machine: Machine) -> str:
    asked = str(values.get("optimizer") or "adamw_torch")
    return "adamw_torch" if asked.startswith("paged_") and not machine.gpu else asked


def _targets(value: object) -> tuple[str, ...]:
    if value in (None, "", "all-linear"):
        return ()
    names = value if isinstance(value, list) else str(value).split(",")
    return tuple(str(name).strip() for name in names if str(name).strip())


def _data_source(file: Path, name: str, values: Mapping[str, Any]) -> DataSource:
    validation = values.get("valid_split") or None
    train = str(values.get("train_split") or "train")
    return DataSource(
        path=name,
        train_split=train,
        validation_split=None if validation is None else str(validation),
        train=_split_file(file, name, train),
        validation=None if validation is None else _split_file(file, name, str(validation)),
        text_column=str(values.get("text_column") or "text"),
        prompt_column=values.get("prompt_text_column"),
        rejected_column=values.get("rejected_text_column"),
    )


def _split_file(file: Path, name: str, split: str) -> Path | None:
    for folder in (file.parent / name, Path(name)):
        for suffix in (".csv", ".jsonl", ".json", ".parquet"):
            if (found := folder / f"{split}{suffix}").is_file():
                return found
    return None


def _number(key: str, value: object, faults: list[str]) -> float | None:
    """Return a number; YAML reads `1e-5`, which has no dot, as text."""
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        faults.append(
            said("%(key)s is %(value)s; expected a number", key=f"params.{key}", value=repr(value))
        )
        return None
    return value if isinstance(value, int) else number


def _read(path: Path) -> Mapping[str, Any]:
    if re.match(r"https?:/", str(path)):
        raise ConfigError(
            said("'%(path)s' is an address.", path=path),
            hint=said("Fetch the file, look at it, then give its path."),
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            said("'%(path)s' cannot be read: %(error)s.", path=path, error=error),
            hint=said("Mend the path."),
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            said("%(path)s is no YAML: %(error)s.", path=path, error=error),
            hint=said("Mend the YAML."),
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            said("%(path)s: expected keys with values.", path=path),
            hint=said("Give an AutoTrain file."),
        )
    return data


def _faulty(path: Path, faults: list[str]) -> ConfigError:
    return ConfigError(
        joined([said("%(path)s: %(fault)s.", path=path, fault=fault) for fault in faults], "\n"),
        hint=said("Mend these keys."),
    )

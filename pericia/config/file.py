"""pericia.yaml itself: read, with all its faults at once and the path of each key, and written with every knob explained."""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pericia.config.root import Config
from pericia.config.section import is_section
from pericia.errors import ConfigError


def load_config(path: Path) -> Config:
    """Return the config of a YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, or has faults; all are listed with their keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"There is no config file '{path}'.", hint="Run: pericia init") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"'{path}' cannot be read: {error}.", hint="Give a text file in UTF-8."
        ) from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise ConfigError(
            f"{path}{place}: {problem}.", hint="Mend the YAML; strings with ':' need quotes."
        ) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}: expected keys with values, found {type(data).__name__}.",
            hint="Run: pericia init",
        )
    return parse_config(data, str(path))


def parse_config(data: dict[str, Any], name: str) -> Config:
    """Return the config of a mapping; `name` stands in messages. Raises as `load_config`."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first_of_each_key = {tuple(_key_path(i["loc"])): i for i in reversed(error.errors())}
        faults = [_fault(item) for item in reversed(first_of_each_key.values())]
    lines = "\n".join(f"{name}: {fault}" for fault in faults)
    raise ConfigError(
        lines,
        hint=f"Mend {'the key' if len(faults) == 1 else f'these {len(faults)} keys'}; every key is explained by: pericia init --explain",
    )


def _fault(item: Any) -> str:
    location = item["loc"]
    if item["type"] == "extra_forbidden":
        near = get_close_matches(str(location[-1]), _section_at(location[:-1]).model_fields, n=1)
        path = ".".join(map(str, location))
        return f"unknown key '{path}'" + (f"; did you mean '{near[0]}'?" if near else ".")
    message = f"{item['msg'][0].lower()}{item['msg'][1:]}"
    return f"{'.'.join(_key_path(location))} is {item['input']!r}; {message}."


def _key_path(location: Sequence[int | str]) -> Iterator[str]:
    """Yield the parts of a location that stand in the file: pydantic adds names of union members."""
    section: type[BaseModel] | None = Config
    for part in location:
        if isinstance(part, int):
            yield str(part)
            continue
        if section is None:
            return
        yield part
        field = section.model_fields.get(part)
        section = _section_of(field.annotation) if field else None


def _section_at(location: Sequence[int | str]) -> type[BaseModel]:
    section: type[BaseModel] = Config
    for part in location:
        field = section.model_fields.get(str(part))
        section = (_section_of(field.annotation) if field else None) or section
    return section


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds, alone or in a list."""
    return next((a for a in (annotation, *get_args(annotation)) if is_section(a)), None)


def render_config(chosen: Mapping[str, Any]) -> str:
    """Return the text of a pericia.yaml in which every knob stands with its unit and the reason for its default.

    Knobs of `chosen` (a nested mapping as in the file) are set; the others are comments that show the default.
    """
    header = "# Pericia's configuration. A line that begins with '#' shows a default; remove the '#' to set it.\n"
    return header + "\n".join(_render_section(Config, chosen)) + "\n"


def _render_section(section: type[BaseModel], chosen: Mapping[str, Any]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        value = chosen.get(name, field.default)
        if is_section(field.annotation):
            yield ""
            yield f"{name}:"
            for line in _render_section(field.annotation, chosen.get(name, {})):
                yield f"  {line}" if line else ""
            continue
        extra = field.json_schema_extra
        unit = extra.get("unit") if isinstance(extra, dict) else ""
        mark = "" if name in chosen else "# "
        why = f"{field.description} ({unit})" if unit else field.description
        yield f"{mark}{name}: {json.dumps(value, ensure_ascii=False)}  # {why}"

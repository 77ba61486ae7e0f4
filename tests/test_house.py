"""Promises about the house itself: it starts light, every verb explains itself, every config here loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from pericia.config import Config, load_config

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "peft", "trl", "sentence_transformers", "lancedb", "psycopg")


@pytest.mark.parametrize("module", ["pericia", "pericia.cli"])
def test_start_loads_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_config_in_the_repository_loads() -> None:
    configs = [p for p in ROOT.glob("examples/**/pericia.yaml") if ".pericia" not in p.parts]
    assert configs
    for path in configs:
        load_config(path)


def test_every_knob_gives_its_reason() -> None:
    def knobs(section: type[Config], path: str = "") -> list[str]:
        missing = []
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and hasattr(kind, "model_fields"):
                missing += knobs(kind, f"{path}{name}.")
            elif not field.description:
                missing.append(path + name)
        return missing

    assert knobs(Config) == []


def test_every_knob_is_read_by_something() -> None:
    code = "\n".join(
        p.read_text(encoding="utf-8")
        for p in ROOT.glob("pericia/**/*.py")
        if p.parent.name != "config"
    )

    def names(section: type[Config]) -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            kind = field.annotation
            found += (
                names(kind) if isinstance(kind, type) and hasattr(kind, "model_fields") else [name]
            )
        return found

    assert [name for name in names(Config) if f".{name}" not in code] == []

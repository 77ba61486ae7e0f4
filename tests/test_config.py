"""The config file: all faults at once with their place, and a rendered file that reads back."""

from pathlib import Path

import pytest
import yaml

from pericia.config import Config, load_config, parse_config, render_config
from pericia.errors import ConfigError


def test_a_rendered_config_reads_back_as_chosen() -> None:
    chosen = {"name": "norvik", "documents": ["documents"], "use": {"data_change": "monthly"}}
    config = parse_config(yaml.safe_load(render_config(chosen)), "pericia.yaml")
    assert config == parse_config(chosen, "chosen")


def test_every_commented_default_may_be_uncommented() -> None:
    uncommented = "\n".join(
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line
        for line in render_config({}).splitlines()[1:]
    )
    assert parse_config(yaml.safe_load(uncommented), "pericia.yaml") == Config()


def test_all_faults_are_reported_at_once_with_their_keys() -> None:
    data = {"modell": "x", "retrieval": {"top_k": 0}, "train": {"epochs": "often"}}
    with pytest.raises(ConfigError) as caught:
        parse_config(data, "pericia.yaml")
    assert "unknown key 'modell'; did you mean 'model'?" in caught.value.message
    assert "retrieval.top_k is 0; " in caught.value.message
    assert "train.epochs is 'often'; " in caught.value.message
    assert caught.value.message.count("train.epochs") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "line 1, column 9"),
        ("- one\n- two\n", "expected keys with values, found list"),
        ("name: two words", "name is 'two words'"),
        ("documents: docs", "documents is 'docs'"),
    ],
)
def test_a_broken_file_is_named_with_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pericia.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "pericia.yaml" in caught.value.message
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_a_fault_in_a_list_of_sections_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "pericia.yaml"
    path.write_text(
        "tables:\n- {name: stock, url: 'sqlite:///s.db', tabel: stock}\n- {name: b, url: x}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "unknown key 'tables.0.tabel'; did you mean 'table'?" in caught.value.message
    assert "either a table or a query" in caught.value.message


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "pericia.yaml")
    assert caught.value.hint == "Run: pericia init"

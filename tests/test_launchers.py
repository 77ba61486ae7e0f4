"""Launcher files: the rule which way to take, and configs that accelerate itself reads."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from pericia.errors import InputError
from pericia.foresee import GB, CardCount, Memory
from pericia.launchers import KINDS, choose_launcher, launch_config, write_launchers
from pericia.plan import Plan

FITS = Plan(
    model="phi-3-mini",
    method="qlora",
    num_parameters=3_821_079_552,
    num_trainable=25_165_824,
    context_tokens=1024,
    micro_batch=1,
    checkpointing=True,
    memory=Memory(2 * GB, GB, GB, GB, GB),
    needed_bytes=6 * GB,
    states_bytes=3 * GB,
    rule_of_thumb_bytes=3 * GB,
    adapter_file_bytes=100_000_000,
    budget_bytes=24 * GB,
    device="gpu",
    fits=True,
    cards=CardCount(1, 1, 0),
    fitting_cards=(),
    changes=(),
    advice="one copy each",
    duration=None,
    lines=(),
)
SHARED = dataclasses.replace(FITS, method="lora", fits=False, cards=CardCount(8, 10, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_accelerate_reads_each_config(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(launch_config(kind, 4)), encoding="utf-8")  # type: ignore[arg-type]
    read = load_config_from_file(str(path))
    assert read.num_processes == 4
    names = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "deepspeed": "DEEPSPEED"}
    assert str(read.distributed_type).rpartition(".")[2] == names[kind]


def test_what_fits_a_card_is_copied_to_each(tmp_path: Path) -> None:
    files = write_launchers(FITS, tmp_path, 2)
    assert [path.name for path in files] == ["ddp.yaml", "start.sh"]
    script = files[-1].read_text(encoding="utf-8")
    assert "ddp.yaml" in script
    assert "-m pericia train" in script


def test_what_fits_no_card_is_sharded(tmp_path: Path) -> None:
    assert choose_launcher(SHARED) == "fsdp2"
    files = write_launchers(SHARED, tmp_path, 10)
    assert [path.name for path in files] == ["fsdp2.yaml", "deepspeed.yaml", "start.sh"]
    assert yaml.safe_load(files[0].read_text(encoding="utf-8"))["fsdp_config"]["fsdp_version"] == 2


@pytest.mark.parametrize(
    ("plan", "cards", "message"),
    [
        (dataclasses.replace(SHARED, method="qlora"), 2, "does not shard 4-bit weights"),
        (dataclasses.replace(SHARED, cards=CardCount(8, 0, 0)), 8, "activations alone"),
        (SHARED, 4, "takes 10 or more"),
        (FITS, 1, "takes 2 or more"),
    ],
)
def test_what_cannot_work_is_refused(plan: Plan, cards: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        write_launchers(plan, tmp_path, cards)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []

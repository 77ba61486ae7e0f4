"""A training that is killed, paused or out of disk goes on from its last whole checkpoint to the very same bytes."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pericia.errors import JobError
from pericia.trainers.local.checkpoints import COMPLETE
from tests.tiny_model import build_tiny_model
from tests.trainers import worker

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {"rank": 8, "learning_rate": 4e-3, "epochs": 3, "batch_size": 8, "checkpoint_steps": 2}
ADAPTER = "adapter_model.safetensors"
Whole: TypeAlias = tuple[Path, Any]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base") / "model", hidden=128)


def ask(base: Path, folder: Path, method: str, **other: Any) -> dict[str, Any]:
    settings = SETTINGS | {"method": method}
    return {"base": str(base), "folder": str(folder), "settings": settings, **other}


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """A training by a method that nothing interrupted: its folder and what it recorded."""

    @cache
    def train(method: str) -> Whole:
        folder = tmp_path_factory.mktemp(method) / "whole"
        return folder, worker.train(ask(base, folder, method))

    return train


def start(request: dict[str, Any], file: Path) -> subprocess.CompletedProcess[str]:
    file.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "tests.trainers.worker", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def last_saved(folder: Path) -> int:
    """Return the step of the last whole checkpoint, 0 without one."""
    found = folder.glob(f"checkpoints/checkpoint-*/{COMPLETE}")
    return max((int(path.parent.name.partition("-")[2]) for path in found), default=0)


def same(one: Path, other: Path) -> bool:
    return (one / ADAPTER).read_bytes() == (other / ADAPTER).read_bytes()


@pytest.mark.parametrize(
    ("method", "kills"),
    [
        ("lora", 1),
        ("qlora", 1),
        pytest.param("lora", 10, marks=pytest.mark.slow),
        pytest.param("qlora", 10, marks=pytest.mark.slow),
    ],
)
def test_kill_9_at_random_moments_changes_no_byte(
    method: str, kills: int, base: Path, whole: Callable[[str], Whole], tmp_path: Path
) -> None:
    draw = random.Random(kills)
    folder = tmp_path / "killed"
    num_killed = 0
    for number in range(kills):
        step = draw.randint(3, 12) if kills == 1 else last_saved(folder) + draw.randint(1, 2)
        request = ask(base, folder, method, kill_step=step, delay_s=draw.random() / 50)
        done = start(request, tmp_path / f"{number}.json")
        # Where the last step is done before the kill comes, the process comes to its end.
        assert done.returncode in (-9, 0), done.stderr
        num_killed += done.returncode == -9
    assert num_killed > kills / 2
    recorded = worker.train(ask(base, folder, method))
    assert recorded["losses"] == whole(method)[1]["losses"]
    assert same(folder, whole(method)[0])


def test_pause_and_resume_change_no_byte(
    base: Path, whole: Callable[[str], Whole], tmp_path: Path
) -> None:
    request = ask(base, tmp_path / "paused", "lora")
    for step in (3, 8):
        with pytest.raises(worker.PausedError):
            worker.train(request | {"pause_step": step})
    resumed = worker.train(request)
    assert resumed["resumed"]
    assert resumed["losses"] == whole("lora")[1]["losses"]
    assert same(tmp_path / "paused", whole("lora")[0])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_is_said_and_the_last_checkpoint_is_gone_on_from(
    base: Path,
    whole: Callable[[str], Whole],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    request = ask(base, tmp_path / "full", "lora")

    def fill(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:  # files may grow to 4 kB only, as on a disk with 4 kB left
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    with monkeypatch.context() as patched:
        patched.setattr("pericia.trainers.local.steps.Progress.on_step_begin", fill)
        try:
            with pytest.raises(JobError, match="Nothing more can be written") as caught:
                worker.train(request)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "last whole checkpoint" in caught.value.hint
    resumed: Any = worker.train(request)
    assert resumed["resumed"]
    assert resumed["losses"] == whole("lora")[1]["losses"]
    assert same(tmp_path / "full", whole("lora")[0])


@pytest.mark.slow
def test_two_processes_train_what_one_trains(base: Path, tmp_path: Path) -> None:
    """The same batches, shared out; sums in another order differ in the last digits.

    accelerate launch starts processes on a CPU through MPI only; this is what it starts them with on cards.
    """
    from safetensors.torch import load_file

    # 36 rows make whole batches; accelerate would fill a last one that is short with rows of the first.
    other = {"dropout": 0.0, "packing": "off", "batch_size": 12}
    alone = ask(base, tmp_path / "one", "lora")
    alone["settings"] |= other
    one = worker.train(alone)
    request = ask(base, tmp_path / "two", "lora")
    request["settings"] |= other
    file = tmp_path / "two.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "--module", "tests.trainers.worker", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"two.{rank}.out").read_text("utf-8")) for rank in (0, 1)]
    assert ranks[0]["losses"] == pytest.approx(one["losses"], abs=1e-4)
    assert ranks[0]["validation_losses"] == ranks[1]["validation_losses"]
    mine, theirs = (load_file(tmp_path / name / ADAPTER) for name in ("one", "two"))
    for name, tensor in mine.items():
        assert (theirs[name] - tensor).norm() < 1e-2 * tensor.norm(), name

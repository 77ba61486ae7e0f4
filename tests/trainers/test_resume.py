"""A training that is killed, paused or out of disk goes on from its last whole checkpoint to the very same bytes."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pericia.errors import JobError
from tests.tiny_model import build_tiny_model
from tests.trainers import worker

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {"rank": 8, "learning_rate": 4e-3, "epochs": 3, "batch_size": 8, "checkpoint_steps": 2}
NUM_STEPS = 15
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base") / "model", hidden=128)


def ask(base: Path, folder: Path, method: str, **other: Any) -> dict[str, Any]:
    settings = SETTINGS | {"method": method}
    return {"base": str(base), "folder": str(folder), "settings": settings, **other}


def start(request: dict[str, Any], file: Path) -> subprocess.CompletedProcess[str]:
    file.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "tests.trainers.worker", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def go_on_until_done(base: Path, folder: Path, method: str, kills: int, seed: int) -> Any:
    """Return what the last of `kills` + 1 processes recorded; all before it were killed at random moments."""
    draw = random.Random(seed)
    for number in range(kills):
        step = draw.randint(1, NUM_STEPS - 1)
        request = ask(base, folder, method, kill_step=step, delay_s=draw.random() / 5)
        done = start(request, folder.parent / f"{number}.json")
        # A step that was done before does not come again, so such a process comes to its end.
        assert done.returncode in (-9, 0), done.stderr
    done = start(ask(base, folder, method), folder.parent / "last.json")
    assert done.returncode == 0, done.stderr
    return json.loads((folder.parent / "last.0.out").read_text(encoding="utf-8"))


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
    method: str, kills: int, base: Path, tmp_path: Path
) -> None:
    whole = worker.train(ask(base, tmp_path / "whole", method))
    killed = go_on_until_done(base, tmp_path / "killed", method, kills, seed=kills)
    assert killed["losses"] == whole["losses"]
    assert same(tmp_path / "killed", tmp_path / "whole")


def test_pause_and_resume_change_no_byte(base: Path, tmp_path: Path) -> None:
    request = ask(base, tmp_path / "paused", "lora")
    whole = worker.train(ask(base, tmp_path / "whole", "lora"))
    for step in (3, 8):
        with pytest.raises(worker.PausedError):
            worker.train(request | {"pause_step": step})
    resumed: Any = worker.train(request)
    assert resumed["resumed"]
    assert resumed["losses"] == whole["losses"]
    assert same(tmp_path / "paused", tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_is_said_and_the_last_checkpoint_is_gone_on_from(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    whole = worker.train(ask(base, tmp_path / "whole", "lora"))
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
    assert resumed["losses"] == whole["losses"]
    assert same(tmp_path / "full", tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_train_what_one_trains(base: Path, tmp_path: Path) -> None:
    """Under accelerate launch: the same batches, shared out; sums in another order differ in the last digits."""
    from safetensors.torch import load_file

    other = {"dropout": 0.0, "packing": "off"}
    whole = ask(base, tmp_path / "one", "lora")
    whole["settings"] |= other
    one = worker.train(whole)
    request = ask(base, tmp_path / "two", "lora")
    request["settings"] |= other
    file = tmp_path / "two.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0", "--module", "tests.trainers.worker", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
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

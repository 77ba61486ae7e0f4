"""The proposal of a base model follows from the machine."""

from pathlib import Path

import pytest

from pericia.machine import Machine, _memory_bytes, hub_answers, look_at_machine, propose_model


def test_this_machine_is_seen() -> None:
    machine = look_at_machine()
    assert machine.num_cores >= 1
    assert machine.memory_bytes > 2**30


@pytest.mark.parametrize(
    ("gpu_gib", "memory_gib", "hub", "model"),
    [
        (24, 64, True, "microsoft/Phi-4-mini-instruct"),
        (0, 16, True, "Qwen/Qwen2.5-0.5B-Instruct"),
        (4, 16, True, "Qwen/Qwen2.5-0.5B-Instruct"),
        (0, 4, True, "HuggingFaceTB/SmolLM2-135M-Instruct"),
        (24, 64, False, "pericia-nano"),
    ],
)
def test_the_proposal_fits(gpu_gib: int, memory_gib: int, hub: bool, model: str) -> None:
    machine = Machine("cpu", 8, memory_gib * 2**30, True, "card", gpu_gib * 2**30)
    proposal = propose_model(machine, hub)
    assert proposal.model == model
    assert proposal.why


def test_offline_is_respected_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_answers() is False


@pytest.mark.parametrize("written", ["max\n", "9223372036854771712\n", "", None])
def test_a_container_without_a_limit_has_the_memory_of_the_computer(
    written: str | None, tmp_path: Path
) -> None:
    if written is not None:
        (tmp_path / "memory.max").write_text(written, encoding="ascii")
    assert _memory_bytes([tmp_path / "memory.max"]) == _memory_bytes([])


def test_a_container_has_the_memory_of_its_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1073741824\n", encoding="ascii")
    assert _memory_bytes([tmp_path / "memory.max"]) == 2**30

"""The registry: an adapter is listed when it is whole, and not before."""

from pathlib import Path

import pytest

from pericia import registry
from pericia.errors import ModelError, NotFoundError


def trained(folder: Path, id_: str) -> None:
    training = registry.training_folder(folder, id_)
    training.mkdir(parents=True)
    (training / "checkpoints").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (training / name).write_text("x", encoding="utf-8")


def test_the_same_job_has_the_same_id() -> None:
    job = {"base_sha256": "b", "settings": {"rank": 8}}
    assert registry.adapter_id("fine_tuned", job) == registry.adapter_id("fine_tuned", {**job})
    ids = {
        registry.adapter_id("fine_tuned", job),
        registry.adapter_id("rag_fine_tuned", job),
        registry.adapter_id("fine_tuned", {**job, "settings": {"rank": 16}}),
    }
    assert len(ids) == 3


def test_a_recorded_adapter_is_found_with_its_manifest(tmp_path: Path) -> None:
    trained(tmp_path, "a")
    assert registry.adapters(tmp_path) == []
    adapter = registry.record(tmp_path, "a", "fine_tuned", {"base": "nano", "losses": [1.5]})
    assert registry.find_adapter(tmp_path, "a") == adapter
    assert (adapter.base, adapter.kind) == ("nano", "fine_tuned")
    assert adapter.manifest["losses"] == [1.5]
    assert registry.adapters(tmp_path) == [adapter]
    assert not registry.training_folder(tmp_path, "a").exists()
    assert not (Path(adapter.path) / "checkpoints").exists()


def test_half_an_adapter_is_not_listed(tmp_path: Path) -> None:
    trained(tmp_path, "a")
    registry.record(tmp_path, "a", "fine_tuned", {"base": "nano"})
    (tmp_path / "a" / "adapter_model.safetensors").unlink()
    assert registry.adapters(tmp_path) == []
    assert not registry.has_adapter(tmp_path, "a")
    with pytest.raises(NotFoundError):
        registry.find_adapter(tmp_path, "a")
    trained(tmp_path, "a")  # and training it again replaces the half
    registry.record(tmp_path, "a", "fine_tuned", {"base": "nano"})
    assert len(registry.adapters(tmp_path)) == 1


@pytest.mark.parametrize("id_", ["", "b", "../a", ".training-a"])
def test_an_unknown_id_is_named(id_: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        registry.find_adapter(tmp_path, id_)
    trained(tmp_path, "a")
    registry.record(tmp_path, "a", "fine_tuned", {"base": "nano"})
    with pytest.raises(NotFoundError, match="Unknown adapter"):
        registry.find_adapter(tmp_path, id_)


def test_a_damaged_manifest_is_a_model_error(tmp_path: Path) -> None:
    trained(tmp_path, "a")
    registry.record(tmp_path, "a", "fine_tuned", {"base": "nano"})
    (tmp_path / "a" / registry.MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="manifest"):
        registry.adapters(tmp_path)

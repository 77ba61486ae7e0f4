"""The registry: an adapter is listed when it is whole, and not before."""

import shutil
from pathlib import Path

import pytest

from pericia import registry
from pericia.errors import ConflictError, JobError, ModelError, NotFoundError


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


def listed(folder: Path, id_: str, **manifest: object) -> None:
    trained(folder, id_)
    registry.record(folder, id_, "fine_tuned", {"base": "nano", **manifest})


def test_the_lineage_of_continuous_tuning(tmp_path: Path) -> None:
    listed(tmp_path, "a", parent=None)
    listed(tmp_path, "b", parent="a")
    listed(tmp_path, "c", parent="b")
    assert [adapter.id for adapter in registry.lineage(tmp_path, "c")] == ["a", "b", "c"]
    shutil.rmtree(tmp_path / "a")
    assert [adapter.id for adapter in registry.lineage(tmp_path, "c")] == ["b", "c"]


def test_what_differs_between_two_adapters(tmp_path: Path) -> None:
    losses = [{"step": 5, "loss": 0.5}, {"step": 10, "loss": 0.7}]
    listed(tmp_path, "a", settings={"rank": 8, "seed": 1}, sources=["x.md", "y.md"], best_step=5,
           validation_losses=losses, dataset_sha256="d", learning_rate=2e-4)  # fmt: skip
    listed(tmp_path, "b", settings={"rank": 16, "seed": 1}, sources=["y.md", "z.md"], best_step=10,
           validation_losses=losses, dataset_sha256="d", learning_rate=2.4e-3)  # fmt: skip
    one, other = (registry.find_adapter(tmp_path, id_) for id_ in "ab")
    found = registry.compare(one, other)
    wanted = {"settings.rank": (8, 16), "best_step": (5, 10), "learning_rate": (2e-4, 2.4e-3)}
    assert found.changed == wanted
    assert (found.only_one_sources, found.only_other_sources) == (("x.md",), ("z.md",))
    assert found.best_losses == (0.5, 0.7)
    assert found.same_validation
    assert registry.compare(one, one).changed == {}


def test_an_adapter_is_taken_back_and_restored(tmp_path: Path) -> None:
    listed(tmp_path, "a")
    with pytest.raises(ConflictError, match="only adapter"):
        registry.roll_back(tmp_path, "a")
    listed(tmp_path, "b")
    assert registry.roll_back(tmp_path, "b").id == "a"
    assert [adapter.id for adapter in registry.adapters(tmp_path)] == ["a"]
    with pytest.raises(ConflictError, match="taken back") as caught:
        registry.has_adapter(tmp_path, "b")
    assert caught.value.hint.startswith("Restore it: pericia models --restore b")
    with pytest.raises(NotFoundError):
        registry.restore(tmp_path, "c")
    assert registry.restore(tmp_path, "b").id == "b"
    assert len(registry.adapters(tmp_path)) == 2
    assert registry.has_adapter(tmp_path, "b")


def test_another_process_is_waited_for(tmp_path: Path) -> None:
    listed(tmp_path, "a")
    assert registry.wait_for(tmp_path, "a").id == "a"
    with pytest.raises(JobError, match="did not record"):
        registry.wait_for(tmp_path, "b", timeout_s=0.3)

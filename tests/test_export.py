"""Exports from adapter to proved files: what passes, what is marked as failed, what is refused."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pericia import bases
from pericia.errors import InputError, JobError, ModelError, NotFoundError
from pericia.export import check_export, export
from pericia.exporters import merged, parity
from pericia.types import Adapter, Message

TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
PROMPTS = [
    [Message("system", "Answer in as few words as you can."), Message("user", question)]
    for question in ("How hot is kiln 3?", "What is the pressure of pump P-7?", "Which oil?")
]


@pytest.fixture(scope="session")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return build_adapter(tiny_model, tmp_path_factory.mktemp("adapter") / "adapter", "lora")


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "_compare_in_fresh_process", parity.compare)


def build_adapter(base: Path, folder: Path, method: str) -> Adapter:
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS, task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
        adapted = get_peft_model(model, lora)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(str(folder))
    manifest = {"settings": {"method": method}, "base_sha256": bases.base_sha256(base)}
    return Adapter("adapter-1", str(folder), str(base), "fine_tuned", manifest)


def test_merged_weights_answer_as_the_adapter_in_a_fresh_process(
    adapter: Adapter, tmp_path: Path
) -> None:
    steps: list[str] = []
    result = export(
        adapter, "merged", tmp_path / "out", PROMPTS, max_new_tokens=8, on_step=steps.append
    )
    assert steps == ["merged", "parity"]
    assert not result.failed
    assert result.parity.num_prompts == 3
    assert result.parity.max_logit_difference <= 1e-5
    assert (result.parity.argmax_agreement, result.parity.identical_answers) == (1.0, 1.0)
    manifest = json.loads((tmp_path / "out" / "pericia-manifest.json").read_text("utf-8"))
    assert manifest["status"] == "passed"
    assert manifest["files"]["model.safetensors"] == result.files["model.safetensors"]
    assert manifest["stop_ids"] == [0, 4]
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text("utf-8"))
    assert generation["eos_token_id"] == [0, 4]
    assert not list(tmp_path.glob(".exporting*"))
    check_export(tmp_path / "out")


@pytest.mark.usefixtures("same_process")
def test_ollama_gets_the_gguf_file_and_a_modelfile(adapter: Adapter, tmp_path: Path) -> None:
    result = export(adapter, "ollama", tmp_path / "out", PROMPTS, max_new_tokens=8)
    assert not result.failed
    assert result.precision == "f16"
    assert {"model.gguf", "Modelfile"} <= set(result.files)
    assert result.parity.argmax_agreement >= 0.99
    check_export(tmp_path / "out")


@pytest.mark.usefixtures("same_process")
def test_an_adapter_of_a_4_bit_base_is_merged_into_the_16_bit_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    adapter = build_adapter(tiny_model, tmp_path / "adapter", "qlora")
    result = export(adapter, "merged", tmp_path / "out", PROMPTS, max_new_tokens=8)
    assert result.parity.required_agreement == 0.98
    assert result.parity.max_logit_difference > 0
    assert Path(adapter.path, "adapter_model.safetensors").exists()


@pytest.mark.usefixtures("same_process")
def test_a_merge_that_changes_the_model_is_marked_and_not_served(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = merged.MergedExporter.export

    def broken(self: object, source: Path, folder: Path, *, base: Path, precision: str) -> None:
        write(merged.MergedExporter(), source, folder, base=base, precision=precision)
        tensors = load_file(folder / "model.safetensors")
        name = "model.layers.0.mlp.down_proj.weight"
        save_file(
            tensors | {name: tensors[name] * 1.5}, folder / "model.safetensors", {"format": "pt"}
        )

    monkeypatch.setattr(merged.MergedExporter, "export", broken)
    result = export(adapter, "merged", tmp_path / "out", PROMPTS, max_new_tokens=8)
    assert result.failed
    assert result.parity.max_logit_difference > 1e-4
    with pytest.raises(ModelError, match="failed its parity gate"):
        check_export(tmp_path / "out")
    assert Path(adapter.path, "adapter_model.safetensors").exists()


@pytest.mark.usefixtures("same_process")
def test_another_template_in_the_files_is_found(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = merged.MergedExporter.export

    def broken(self: object, source: Path, folder: Path, *, base: Path, precision: str) -> None:
        write(merged.MergedExporter(), source, folder, base=base, precision=precision)
        template = folder / "chat_template.jinja"
        template.write_text(template.read_text("utf-8").replace("<|end|>", ""), "utf-8")

    monkeypatch.setattr(merged.MergedExporter, "export", broken)
    result = export(adapter, "merged", tmp_path / "out", PROMPTS, max_new_tokens=4)
    assert result.failed
    assert not result.parity.same_prompts


@pytest.mark.usefixtures("same_process")
def test_a_changed_file_is_not_served(adapter: Adapter, tmp_path: Path) -> None:
    export(adapter, "merged", tmp_path / "out", PROMPTS[:1], max_new_tokens=2)
    (tmp_path / "out" / "chat_template.jinja").write_text("other", encoding="utf-8")
    with pytest.raises(ModelError, match="has changed since"):
        check_export(tmp_path / "out")


def test_a_broken_gate_leaves_nothing_behind(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(candidate: Path, work: Path) -> dict[str, object]:
        raise JobError("The files cannot be loaded again.")

    monkeypatch.setattr(parity, "_compare_in_fresh_process", no_process)
    with pytest.raises(JobError):
        export(adapter, "merged", tmp_path / "out", PROMPTS[:1], max_new_tokens=2)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_refused_before_anything_is_written(
    adapter: Adapter, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no held-out prompts"):
        export(adapter, "merged", tmp_path / "out", [])
    with pytest.raises(NotFoundError, match="Unknown export format 'onnx'"):
        export(adapter, "onnx", tmp_path / "out", PROMPTS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="holds other files"):
        export(adapter, "merged", tmp_path / "mine", PROMPTS)
    with pytest.raises(InputError, match="is a file"):
        export(adapter, "merged", tmp_path / "mine" / "notes.txt", PROMPTS)
    shutil.copytree(tiny_model, tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text(
        (tiny_model / "config.json").read_text("utf-8") + " ", encoding="utf-8"
    )
    with pytest.raises(InputError, match="is not the base model"):
        export(adapter, "merged", tmp_path / "out", PROMPTS, base=str(tmp_path / "other"))
    nowhere = replace(adapter, path=str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="cannot be put on"):
        export(nowhere, "merged", tmp_path / "out", PROMPTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "other"]


def test_a_folder_without_manifest_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is no export"):
        check_export(tmp_path)

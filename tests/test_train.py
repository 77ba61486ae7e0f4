"""The river of training: from examples to a listed adapter, found again when nothing has changed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pericia import cli, registry, tune
from pericia.autotrain import read_autotrain
from pericia.config import TrainConfig
from pericia.dataset import make_dataset
from pericia.errors import ConflictError, InputError, JobError, PreflightError
from pericia.train import take_over, train
from pericia.trainers import load
from pericia.types import Adapter, Chunk, Context, Dataset, Passage, Place
from pericia.workspace import Workspace, lock, sha256_of_file
from tests.gearboxes import OILS, gearbox_examples

SETTINGS = TrainConfig(rank=4, learning_rate=4e-3, epochs=2)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset(gearbox_examples(), validation_share=0.1, seed=1)


def find(question: str) -> Context:
    number = int("".join(c for c in question if c.isdigit()))
    source = f"gearbox-{number // 4}.md"
    text = f"Gearbox {number} takes {OILS[number % 4]}."
    chunk = Chunk(f"c{number}", source, source, text, 0, len(text), Place())
    return Context((Passage(chunk, 1, 1.0),))


def test_both_kinds_are_trained_recorded_and_found_again(
    dataset: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    def go(kind: str, settings: TrainConfig = SETTINGS) -> tuple[Adapter, int]:
        steps: list[int] = []
        adapter = train(
            dataset,
            base=str(tiny_model),
            kind=kind,  # type: ignore[arg-type]
            settings=settings,
            instruction="Answer.",
            folder=tmp_path,
            find=find,
            on_event=lambda event: steps.append(event.step),
        )
        return adapter, len(steps)

    closed, steps = go("fine_tuned")
    assert steps > 0
    assert go("fine_tuned") == (closed, 0)
    opened, steps = go("rag_fine_tuned")
    assert steps > 0
    changed, _ = go("fine_tuned", SETTINGS.model_copy(update={"seed": 1}))
    assert registry.adapters(tmp_path) == sorted(
        [closed, opened, changed], key=lambda a: (str(a.manifest["created"]), a.id)
    )
    manifest = json.loads((Path(opened.path) / registry.MANIFEST).read_text(encoding="utf-8"))
    assert manifest == opened.manifest
    assert manifest["kind"] == "rag_fine_tuned"
    assert manifest["num_train"] + manifest["num_validation"] == 40
    assert {"base_sha256", "dataset_sha256", "template_sha256", "stop_sha256"} <= manifest.keys()
    assert {"versions", "seed", "settings", "losses", "validation_losses"} <= manifest.keys()
    assert [path.name for path in tmp_path.glob(".training-*")] == []


def test_reading_passages_needs_a_search(
    dataset: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        train(
            dataset,
            base=str(tiny_model),
            kind="rag_fine_tuned",
            settings=SETTINGS,
            instruction="Answer.",
            folder=tmp_path,
        )
    assert caught.value.hint == "Run: pericia add"


def go(dataset: Dataset, base: Path, settings: TrainConfig, folder: Path) -> Adapter:
    return train(
        dataset,
        base=str(base),
        kind="fine_tuned",
        settings=settings,
        instruction="Answer.",
        folder=folder,
    )


def test_a_refused_or_failed_job_lists_nothing(
    dataset: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(PreflightError):
        go(dataset, tiny_model, SETTINGS.model_copy(update={"max_tokens": 32}), tmp_path)
    with pytest.raises(JobError):
        go(dataset, tiny_model, SETTINGS.model_copy(update={"learning_rate": 1e-30}), tmp_path)
    assert registry.adapters(tmp_path) == []


def test_two_processes_do_not_train_the_same_job(
    dataset: Dataset, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "adapter_id", lambda kind, job: "same")
    with (
        lock(registry.training_folder(tmp_path, "same").parent, "a test"),
        pytest.raises(ConflictError),
    ):
        go(dataset, tiny_model, SETTINGS, tmp_path)


def test_the_trainer_of_the_table_is_a_trainer() -> None:
    assert load("local")


def test_a_worker_s_adapter_is_taken_over_and_found_by_the_same_job(tmp_path: Path) -> None:
    trained = tmp_path / "job" / "adapter"
    trained.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (trained / name).write_text("{}", encoding="utf-8")
    job: dict[str, object] = {
        "base_sha256": "b",
        "template_sha256": "t",
        "stop_sha256": "s",
        "settings": SETTINGS.model_dump(),
        "dataset_sha256": "d",
    }
    recorded = {**json.loads(json.dumps(job)), "train_s": 2.0, "id": "ftjob-1"}
    folder = tmp_path / "adapters"
    adopted = take_over(
        trained,
        kind="fine_tuned",
        job=job,
        about={"base": "tiny", "num_train": 7},
        recorded=recorded,
        folder=folder,
    )
    assert registry.adapters(folder) == [adopted]
    assert adopted.id == Path(adopted.path).name
    assert (adopted.base, adopted.manifest["num_train"]) == ("tiny", 7)
    assert adopted.manifest["train_s"] == 2.0
    assert (trained / "adapter_model.safetensors").exists()
    with pytest.raises(JobError, match="another base_sha256"):
        take_over(
            trained,
            kind="rag_fine_tuned",
            job=job | {"base_sha256": "other"},
            about={"base": "tiny"},
            recorded=recorded,
            folder=folder,
        )


AUTOTRAIN = """
task: llm-sft
base_model: somewhere/else
project_name: gearboxes
log: none
backend: local
data: {path: data, train_split: train, valid_split: valid, chat_template: tokenizer,
       column_mapping: {text_column: messages}}
params: {peft: true, quantization: null, lora_r: 4, lora_alpha: 8, lora_dropout: 0.05, lr: 4e-3,
         epochs: 1, batch_size: 4, gradient_accumulation: 2, block_size: 256, seed: 7}
"""


def test_a_file_the_command_line_and_python_make_the_same_adapter(
    tiny_model: Path, tmp_path: Path
) -> None:
    examples = gearbox_examples()
    (tmp_path / "data").mkdir()
    for name, part in (("train", examples[:32]), ("valid", examples[32:])):
        lines = [
            json.dumps({"messages": [{"role": m.role, "content": m.content} for m in e.messages]})
            for e in part
        ]
        (tmp_path / "data" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    file = tmp_path / "job.yml"
    file.write_text(AUTOTRAIN, encoding="utf-8")

    config = tmp_path / "one" / "pericia.yaml"
    config.parent.mkdir()
    arguments = ["train", str(file), "--config", str(config), "--model", str(tiny_model), "--json"]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0, done.output
    by_command = Path(json.loads(done.stdout)["adapter"]["path"])

    translation = read_autotrain(file, base=str(tiny_model))
    by_file = tune.train_autotrain(translation, Workspace(tmp_path / "two")).adapter

    dataset, _ = tune.read_autotrain_data(translation)
    by_hand = train(
        dataset,
        base=str(tiny_model),
        kind="fine_tuned",
        settings=translation.settings,
        instruction=None,
        folder=tmp_path / "three",
    )
    weights = [
        sha256_of_file(Path(folder) / "adapter_model.safetensors")
        for folder in (by_command, by_file.path, by_hand.path)
    ]
    assert len(set(weights)) == 1
    assert by_command.name == by_file.id == by_hand.id

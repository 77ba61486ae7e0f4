"""Full training, DoRA, rsLoRA, preference pairs, plain text and early stopping, each to a written, reloadable result."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from pericia import models
from pericia.config import TrainConfig
from pericia.errors import InputError, MissingExtraError
from pericia.prompts import closed_book_prompt
from pericia.trainers import Trainer
from pericia.trainers.local.arguments import arguments
from pericia.types import Dataset, Example, Message
from tests.gearboxes import OILS
from tests.trainers.training import run

SETTINGS = TrainConfig(rank=8, learning_rate=4e-3, epochs=4, batch_size=8)


def falls(recorded: Mapping[str, Any]) -> bool:
    first, *_, last = (entry["loss"] for entry in recorded["validation_losses"])
    return bool(last < first)


def test_all_weights_learn_and_answer_as_an_adapter_does(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"method": "full", "epochs": 8})
    recorded = run(trainer, book, tiny_model, settings, tmp_path / "one")
    assert falls(recorded)
    weights = load_file(tmp_path / "one" / "adapter_model.safetensors")
    assert weights["base_model.model.model.layers.0.self_attn.qkv_proj.weight"].shape == (128, 64)
    assert recorded["num_trainable"] == 512 * 64 + sum(
        tensor.numel() for name, tensor in weights.items() if "layers" in name or ".norm." in name
    )
    model = models.load(str(tiny_model))
    prompt = closed_book_prompt("Which oil does gearbox 2 take?", "Answer.")
    base = model.generate(prompt, max_new_tokens=8)
    tuned = model.generate(prompt, max_new_tokens=8, adapter=tmp_path / "one")
    assert tuned.text in OILS
    assert model.generate(prompt, max_new_tokens=8).text == base.text

    short = settings.model_copy(update={"epochs": 1, "learning_rate": 1e-4})
    again = run(trainer, book, tiny_model, short, tmp_path / "two", parent=tmp_path / "one")
    last = min(entry["loss"] for entry in recorded["validation_losses"][1:])
    assert again["validation_losses"][0]["loss"] == pytest.approx(last, abs=1e-4)
    with pytest.raises(InputError, match="holds all weights"):
        run(trainer, book, tiny_model, SETTINGS, tmp_path / "three", parent=tmp_path / "one")


@pytest.mark.parametrize("option", ["dora", pytest.param("rslora", marks=pytest.mark.slow)])
def test_variants_of_lora_learn_and_reload(
    option: str, trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={option: True, "learning_rate": 2e-3, "epochs": 2})
    recorded = run(trainer, book, tiny_model, settings, tmp_path)
    assert falls(recorded)
    names = load_file(tmp_path / "adapter_model.safetensors").keys()
    assert any("magnitude" in name for name in names) == (option == "dora")
    with pytest.raises(InputError, match=option):
        run(trainer, book, tiny_model, SETTINGS, tmp_path / "other", parent=tmp_path)


def test_pairs_move_the_model_towards_the_better_answer(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    def worse(example: Example) -> Example:
        return replace(example, rejected="The kiln runs at 900 degrees.")

    pairs = replace(
        book,
        train=tuple(worse(e) for e in book.train),
        validation=tuple(worse(e) for e in book.validation),
    )
    settings = SETTINGS.model_copy(update={"objective": "dpo", "epochs": 2})
    recorded = run(trainer, pairs, tiny_model, settings, tmp_path)
    assert recorded["losses"][0] == pytest.approx(0.6931, abs=1e-3)  # log 2: nothing preferred yet
    assert recorded["validation_losses"][-1]["loss"] < 0.6
    assert not recorded["packed"]
    assert {p.name for p in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "checkpoints",
    }


def test_plain_text_is_learnt_whole(trainer: Trainer, tiny_model: Path, tmp_path: Path) -> None:
    texts = [
        Example((Message("assistant", f"Gearbox {n} takes {OILS[n % 4]}."),), f"t{n}", n + 1)
        for n in range(20)
    ]
    dataset = Dataset(tuple(texts[:16]), tuple(texts[16:]), "texts")
    settings = SETTINGS.model_copy(update={"objective": "text", "epochs": 2})
    preparation = trainer.prepare(dataset, str(tiny_model), settings)
    assert all(all(row.mask) and row.ids[-1] == 0 for row in preparation.rows)
    assert falls(run(trainer, dataset, tiny_model, settings, tmp_path))


def test_it_stops_early_and_keeps_the_best_checkpoint(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    wrong = replace(
        book,  # what is learnt makes these worse
        validation=tuple(
            replace(e, messages=(*e.messages[:-1], Message("assistant", "The kiln runs.")))
            for e in book.validation
        ),
    )
    settings = SETTINGS.model_copy(update={"epochs": 20, "patience": 2})
    recorded = run(trainer, wrong, tiny_model, settings, tmp_path)
    assert recorded["stopped_early"]
    assert recorded["num_steps"] < 20 * 5
    losses = {entry["step"]: entry["loss"] for entry in recorded["validation_losses"][1:]}
    assert recorded["best_step"] == min(losses, key=losses.__getitem__)
    assert recorded["best_step"] < recorded["num_steps"]


def test_a_long_epoch_is_evaluated_on_its_way(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1, "checkpoint_steps": 2})
    recorded = run(trainer, book, tiny_model, settings, tmp_path)
    assert [entry["step"] for entry in recorded["validation_losses"]][:3] == [0, 2, 4]


def test_a_tracker_that_is_not_installed_is_named(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"track": ("mlflow",)})
    with pytest.raises(MissingExtraError, match="mlflow"):
        run(trainer, book, tiny_model, settings, tmp_path)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is dep:FutureWarning")
def test_a_constant_rate_warms_up_all_the_same(
    trainer: Trainer, book: Dataset, tiny_model: Path, tmp_path: Path
) -> None:
    """Transformers' own "constant" ignores the warm-up, so the first step would move the weights at the full rate."""
    preparation = trainer.prepare(book, str(tiny_model), SETTINGS)
    for warmup, name in ((0.1, "constant_with_warmup"), (0.0, "constant")):
        settings = SETTINGS.model_copy(update={"scheduler": "constant", "warmup": warmup})
        options = arguments(
            settings, preparation, tmp_path, packed=False, checkpointing=False, resumes=False
        )
        assert options.lr_scheduler_type == name

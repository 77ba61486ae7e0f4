import json
from pathlib import Path

import pytest

from pericia.errors import InputError, NotFoundError
from pericia.shapes import count_lora, known_models, read_shape, shape_of

LLAMA_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize(
    ("name", "num_parameters"),  # as the models' own cards and checkpoints count
    [
        ("phi-3-mini", 3_821_079_552),
        ("microsoft/Phi-3.5-mini-instruct", 3_821_079_552),
        ("phi-4-mini", 3_836_021_760),
        ("llama-3.2-1b", 1_235_814_400),
        ("meta-llama/Meta-Llama-3-8B-Instruct", 8_030_261_248),
        ("llama-3-70b", 70_553_706_496),
        ("mistral-7b", 7_241_732_096),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("qwen2.5-7b", 7_615_616_512),
        ("SmolLM2-135M-Instruct", 134_515_008),
        ("smollm2-1.7b", 1_711_376_384),
    ],
)
def test_parameters_are_counted_exactly(name: str, num_parameters: int) -> None:
    assert read_shape(name).num_parameters == num_parameters


@pytest.mark.parametrize(
    ("rank", "number"),
    [
        (8, 12_582_912),
        (16, 25_165_824),
        (32, 50_331_648),
        (64, 100_663_296),
        (128, 201_326_592),
        (256, 402_653_184),
    ],
)
def test_lora_on_all_linear_layers_of_phi_3_mini(rank: int, number: int) -> None:
    assert count_lora(read_shape("phi-3-mini"), rank) == number


def test_lora_on_olives_two_layers() -> None:
    assert count_lora(read_shape("phi-3-mini"), 64, ["qkv_proj", "o_proj"]) == 37_748_736


def test_llama_names_on_fused_layers_are_refused_with_what_would_be_lost() -> None:
    with pytest.raises(InputError, match=r"8,912,896 parameters instead of 25,165,824") as caught:
        count_lora(read_shape("phi-3-mini"), 16, LLAMA_NAMES)
    assert "qkv_proj" in caught.value.hint


def test_names_that_hit_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        count_lora(read_shape("phi-3-mini"), 16, ["q_proj", "v_proj"])


def test_every_known_model_has_a_shape() -> None:
    for name in known_models():
        shape = read_shape(name)
        assert shape.num_linear > 0.5 * shape.num_parameters


def test_a_folder_with_a_config_is_read(tmp_path: Path) -> None:
    config = dict(read_shape("phi-3-mini").config)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert read_shape(str(tmp_path)).num_parameters == 3_821_079_552
    assert read_shape(str(tmp_path / "config.json")).num_layers == 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no object"),
        ("{}", "has no 'model_type'"),
        ('{"model_type": "phi3", "hidden_size": -1}', "no usable 'hidden_size': -1"),
        ('{"model_type": "llama", "hidden_size": 64}', "no usable 'intermediate_size'"),
    ],
)
def test_a_damaged_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_shape(str(tmp_path))


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no .*config\.json"):
        read_shape(str(tmp_path))


def test_another_architecture_is_counted_by_building_it() -> None:
    config = {"model_type": "gpt_neox", "hidden_size": 64, "intermediate_size": 128}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    shape = shape_of(config | {"max_position_embeddings": 64}, "neox")
    assert shape.target_names == ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    assert shape.num_linear == 2 * (3 * 64 * 64 + 64 * 64 + 2 * 64 * 128)

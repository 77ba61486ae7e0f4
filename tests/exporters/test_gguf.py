"""A written file is read back by transformers: same logits, same tokens, same template."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pericia.errors import InputError
from pericia.exporters.gguf import GGUF_FILE, GgufExporter
from tests.tiny_model import build_tokenizer

REAL_TOKENIZER = Path(__file__).parents[3] / "shared" / "data" / "phi3_tokenizer"
SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def write_model(folder: Path, kind: str, **other: Any) -> Any:
    config = AutoConfig.for_model(kind, **(SHAPE | other))
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        if parameter.ndim == 1:  # biases and norms that would show a wrong place
            torch.nn.init.normal_(parameter, mean=0.5, std=0.2)
    model.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("phi3", {"original_max_position_embeddings": 256}),
        ("phi3", {"original_max_position_embeddings": 256, "tie_word_embeddings": True}),
        ("llama", {"rope_theta": 50_000.0}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("mistral", {"sliding_window": None}),
    ],
)
def test_the_file_gives_the_same_logits(tmp_path: Path, kind: str, other: dict[str, Any]) -> None:
    model = write_model(tmp_path / "merged", kind, **other)
    build_tokenizer().save_pretrained(tmp_path / "merged")
    out = tmp_path / "out"
    GgufExporter().export(tmp_path / "merged", out, base=tmp_path / "merged", precision="f32")
    read: Any = AutoModelForCausalLM.from_pretrained(out, gguf_file=GGUF_FILE, dtype=torch.float32)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        difference = (model(ids).logits - read.eval()(ids).logits).abs().max()
    assert difference < 1e-5
    text = "How hot is kiln 3? ¿Cuánto? <|end|>\n<|assistant|>\n"
    theirs = AutoTokenizer.from_pretrained(out, gguf_file=GGUF_FILE)
    assert theirs(text)["input_ids"] == build_tokenizer()(text)["input_ids"]


@pytest.mark.skipif(not REAL_TOKENIZER.exists(), reason="shared data are not here")
def test_the_real_phi_3_tokenizer_survives(tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    small = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32}
    small |= {"original_max_position_embeddings": 256, "vocab_size": 32_064}
    write_model(merged, "phi3", **small)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(REAL_TOKENIZER / name, merged / name)
    GgufExporter().export(merged, tmp_path / "out", base=merged, precision="f16")
    ours = AutoTokenizer.from_pretrained(merged)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out", gguf_file=GGUF_FILE)
    chat = [{"role": "system", "content": "Be brief."}]
    chat.append({"role": "user", "content": "How hot, in °C? ¿Cuánto?  Двоен 漢字 🙂"})
    text = ours.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert theirs(text)["input_ids"] == ours(text)["input_ids"]
    assert ours(text)["input_ids"][0] == 32_006


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "type 'gpt2' are not written"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "type 'longrope'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.75}}, "rotates only 75%"),
    ],
)
def test_what_cannot_be_proved_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    source = tmp_path / "merged"
    source.mkdir()
    config = SHAPE | {"model_type": "phi3"} | change
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        GgufExporter().export(source, tmp_path / "out", base=source, precision="f16")
    assert not (tmp_path / "out").exists()


def test_an_unknown_tokenizer_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "merged"
    source.mkdir()
    (source / "config.json").write_text(json.dumps(SHAPE | {"model_type": "phi3"}), "utf-8")
    for tokenizer in (
        {"model": {"type": "Unigram"}},
        {
            "model": {"type": "BPE", "merges": [], "vocab": {}},
            "pre_tokenizer": {"type": "Metaspace"},
        },
    ):
        (source / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        with pytest.raises(InputError, match="tokenizer in"):
            GgufExporter().export(source, tmp_path / "out", base=source, precision="f16")

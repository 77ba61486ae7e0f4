"""A Phi-3-architecture model of 0.2 M random weights with its own tokenizer, built in two seconds."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

MARKERS = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEXT = [
    "Answer in as few words as you can. If you do not know the answer, say: I don't know.",
    "How hot is kiln 3? What is the pressure of pump P-7? Which oil does the gearbox take?",
    "The kiln runs at 900 degrees. The pump holds 42 bar. The gearbox takes oil ISO 220.",
    "Question: [1] [2] [3] Use only the numbered passages and cite the one that you used, like [1].",
]


def build_tokenizer() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=MARKERS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    fast: Any = PreTrainedTokenizerFast  # transformers does not type it
    wrapped = fast(
        tokenizer_object=tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    template = files("trl") / "chat_templates" / "phi3.jinja"
    wrapped.chat_template = template.read_text(encoding="utf-8")
    return wrapped


def build_tiny_model(folder: Path, *, hidden: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Write the model into `folder` and return it."""
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=512,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        original_max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=True,
        initializer_range=0.1,
    )
    model = Phi3ForCausalLM(config)
    model.generation_config.eos_token_id = [0, tokenizer.convert_tokens_to_ids("<|end|>")]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    return folder

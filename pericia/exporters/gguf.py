"""GGUF: one file that llama.cpp and Ollama run, written with the `gguf` package from merged weights.

Shapes: a tensor keeps its order of dimensions; vectors (norms, biases) stay fp32, matrices take the asked precision.
Written are Phi-3, Llama, Mistral and Qwen2, in the layout in which llama.cpp's own converter writes them, so that
transformers reads the file back and the parity gate can judge it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open

from pericia import bases
from pericia.errors import InputError

GGUF_FILE = "model.gguf"
# What later formats and the gate read beside the file.
BESIDE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "config.json",
)
_ARCHITECTURES = {"phi3": "phi3", "llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
_TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
# How llama.cpp names the way of cutting text before the merges, by the pattern in tokenizer.json.
_CUTS = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+": "qwen2",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+": "llama-bpe",
}


class GgufExporter:
    """See `Exporter`."""

    def export(self, source: Path, folder: Path, *, base: Path, precision: str) -> None:
        """See `Exporter.export`. `source` holds merged weights."""
        config = bases.read_json(source, "config.json")
        architecture = _architecture(config)
        tokenizer = _Tokenizer(source, int(config["vocab_size"]))
        folder.mkdir(parents=True)
        writer = gguf.GGUFWriter(folder / GGUF_FILE, architecture)
        _write_shape(writer, config, architecture, precision)
        tokenizer.write(writer, sorted(bases.stop_ids(source)))
        for name, tensor in _tensors(source, config, architecture):
            kind = _TYPES[precision] if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for name in BESIDE:
            if (source / name).exists():
                shutil.copyfile(source / name, folder / name)


def _architecture(config: dict[str, Any]) -> str:
    kind = str(config.get("model_type"))
    if kind not in _ARCHITECTURES:
        raise InputError(
            f"Models of the type '{kind}' are not written as GGUF here.",
            hint="Export 'merged' and take convert_hf_to_gguf.py of llama.cpp.",
        )
    rope = _rope(config)
    if rope.get("rope_type", "default") != "default":
        raise InputError(
            f"Rotary embeddings of the type '{rope['rope_type']}' are not written as GGUF here, because transformers "
            "does not read them back and nothing would prove the file right.",
            hint="Export 'merged' and take convert_hf_to_gguf.py of llama.cpp.",
        )
    partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if partial not in (None, 1.0):
        raise InputError(
            f"A model that rotates only {partial:.0%} of each head is not written as GGUF here, because transformers "
            "does not read that back and nothing would prove the file right.",
            hint="Export 'merged' and take convert_hf_to_gguf.py of llama.cpp.",
        )
    return _ARCHITECTURES[kind]


def _write_shape(
    writer: gguf.GGUFWriter, config: dict[str, Any], architecture: str, precision: str
) -> None:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_file_type(_FILE_TYPES[precision])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_rope(config).get("rope_theta", 10_000.0))
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(config["vocab_size"])
    if architecture == "phi3":
        writer.add_rope_scaling_orig_ctx_len(
            config.get("original_max_position_embeddings", config["max_position_embeddings"])
        )
        if config.get("sliding_window"):
            writer.add_sliding_window(config["sliding_window"])


def _tensors(
    source: Path, config: dict[str, Any], architecture: str
) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """Yield the GGUF name and values of each tensor; a head that is tied to the embeddings is left out."""
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    tied = bool(config.get("tie_word_embeddings"))
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a mapping
                if tied and key == "lm_head.weight":
                    continue
                name = names.get_name(key, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise InputError(
                        f"The tensor '{key}' has no place in GGUF's '{architecture}'.",
                        hint="Export 'merged' and take convert_hf_to_gguf.py of llama.cpp.",
                    )
                values = tensors.get_tensor(key).to(torch.float32).numpy()
                if architecture == "llama" and ".q_proj." in key:
                    values = _interleave(values, heads)
                if architecture == "llama" and ".k_proj." in key:
                    values = _interleave(values, groups)
                yield name, values


def _interleave(
    values: np.ndarray[Any, np.dtype[np.float32]], heads: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the rows in ggml's order for Llama: the two halves of a head's rotary pairs side by side."""
    half = values.shape[0] // heads // 2
    return values.reshape(heads, 2, half, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    return {"rope_theta": config.get("rope_theta", 10_000.0), **rope, "rope_type": kind}


class _Tokenizer:
    """The tokenizer of a folder in GGUF's words.

    Raises:
        InputError: it is no BPE, or cuts text in a way that llama.cpp has no name for.
    """

    def __init__(self, source: Path, vocabulary: int) -> None:
        self._config = bases.read_json(source, "tokenizer_config.json")
        self._template = source / "chat_template.jinja"
        data = bases.read_json(source, "tokenizer.json")
        model = data.get("model", {})
        if model.get("type") != "BPE":
            raise InputError(
                f"The tokenizer in '{source}' is no BPE but '{model.get('type')}', and is not written as GGUF.",
                hint="Export 'merged' and take convert_hf_to_gguf.py of llama.cpp.",
            )
        self._merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        self._pieces = bool(model.get("byte_fallback"))  # SentencePiece's, not byte-level
        self._cut = "default" if self._pieces else _cut_of(data, source)
        self._added = {token["id"]: token for token in data.get("added_tokens", [])}
        self._ids = dict(model["vocab"])
        by_id = {number: token for token, number in self._ids.items()}
        by_id |= {number: token["content"] for number, token in self._added.items()}
        self._tokens = [by_id.get(number, f"[PAD{number}]") for number in range(vocabulary)]
        self._known = by_id.keys()

    def write(self, writer: gguf.GGUFWriter, stop_ids: list[int]) -> None:
        """Write the vocabulary, the merges, the special tokens and the chat template."""
        writer.add_tokenizer_model("llama" if self._pieces else "gpt2")
        writer.add_tokenizer_pre(self._cut)
        writer.add_token_list(self._tokens)
        writer.add_token_types([self._type(number) for number in range(len(self._tokens))])
        if self._pieces:
            writer.add_token_scores(self._scores())
            writer.add_add_space_prefix(True)
        writer.add_token_merges(self._merges)
        for key, add in (
            ("bos_token", writer.add_bos_token_id),
            ("eos_token", writer.add_eos_token_id),
            ("pad_token", writer.add_pad_token_id),
            ("unk_token", writer.add_unk_token_id),
        ):
            number = self._id_of(self._config.get(key))
            if number is not None:
                add(number)
        end = self._id_of(self._config.get("eos_token"))
        other_stops = [number for number in stop_ids if number != end]
        if other_stops:
            writer.add_eot_token_id(self._end_of_turn(other_stops))
        writer.add_add_bos_token(bool(self._config.get("add_bos_token", False)))
        writer.add_add_eos_token(False)
        template = self._chat_template()
        if template:
            writer.add_chat_template(template)

    def _chat_template(self) -> str:
        if self._template.exists():
            return self._template.read_text(encoding="utf-8")
        template = self._config.get("chat_template")
        return template if isinstance(template, str) else ""

    def _end_of_turn(self, stop_ids: list[int]) -> int:
        """Return the stop that ends an answer: the one that the chat template writes after it, else the last."""
        template = self._chat_template()
        written = [n for n in stop_ids if self._tokens[n] in template]
        named = [
            n for n in written or stop_ids if "end" in self._tokens[n] or "eot" in self._tokens[n]
        ]
        return (named or written or stop_ids)[-1]

    def _id_of(self, token: object) -> int | None:
        text = token.get("content") if isinstance(token, dict) else token
        by_content = {t["content"]: number for number, t in self._added.items()}
        if not isinstance(text, str):
            return None
        return by_content.get(text, self._ids.get(text))

    def _type(self, number: int) -> gguf.TokenType:
        if number not in self._known:
            return gguf.TokenType.UNUSED
        if number in self._added:
            special = self._added[number].get("special", False)
            token = self._tokens[number]
            if token == "<unk>":
                return gguf.TokenType.UNKNOWN
            return gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
        token = self._tokens[number]
        if self._pieces and len(token) == 6 and token.startswith("<0x"):
            return gguf.TokenType.BYTE
        return gguf.TokenType.NORMAL

    def _scores(self) -> list[float]:
        """Return SentencePiece's scores: the earlier a piece was merged, the higher; characters come last."""
        rank = {
            "".join(merge.split(" ", 1)): -float(i)
            for i, merge in reversed(list(enumerate(self._merges)))
        }
        lowest = -float(len(self._merges))
        return [
            0.0 if self._type(number) != gguf.TokenType.NORMAL else rank.get(token, lowest - number)
            for number, token in enumerate(self._tokens)
        ]


def _cut_of(data: dict[str, Any], source: Path) -> str:
    """Return llama.cpp's name for how the tokenizer cuts text before it merges bytes."""
    steps = data.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = [step.get("type") for step in steps]
    if (
        kinds == ["ByteLevel"]
        and steps[0].get("use_regex", True)
        and not steps[0].get("add_prefix_space")
    ):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    patterns = [step["pattern"].get("Regex", "") for step in steps if step.get("type") == "Split"]
    if len(patterns) == 1 and patterns[0] in _CUTS:
        return _CUTS[patterns[0]]
    raise InputError(
        f"The tokenizer in '{source}' cuts text in a way that GGUF has no known name for: {json.dumps(kinds)}.",
        hint="Export 'merged' and take convert_hf_to_gguf.py of llama.cpp.",
    )

"""The shape of a language model, from its config alone: how many parameters it has and where adapters go.

In comes a name or a folder with a config.json, out a `ModelShape`. Common models are known by name without a network
(`shapes.json`), Phi-3, Llama, Mistral, Qwen2 and Qwen3 by arithmetic, any other architecture by building it without weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pericia import bases
from pericia.errors import InputError, NotFoundError
from pericia.lookup import load_object
from pericia.said import Figure, said

_HEAVY = {
    "config of a hub model": "pericia.trainers.local.shape:read_config",
    "count by building": "pericia.trainers.local.shape:count_linears",
}
_SPLIT = {"llama", "mistral", "qwen2", "qwen3"}
_LLAMA_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer that can take an adapter; `number` is how often it stands in the whole model."""

    name: str
    inputs: int
    outputs: int
    number: int

    @property
    def num_parameters(self) -> int:
        return self.inputs * self.outputs * self.number


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What planning needs to know of a model. `num_other` counts embeddings, head, norms and biases."""

    name: str
    num_layers: int
    vocabulary: int
    max_context_tokens: int
    linears: tuple[Linear, ...]
    num_other: int
    config: Mapping[str, Any]

    @property
    def num_linear(self) -> int:
        return sum(linear.num_parameters for linear in self.linears)

    @property
    def num_parameters(self) -> int:
        return self.num_linear + self.num_other

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(linear.name for linear in self.linears)


def known_models() -> tuple[str, ...]:
    """Return the names that are known without a network, full names first within each model."""
    return tuple(_by_name())


def read_shape(model: str) -> ModelShape:
    """Return the shape of a known name, a folder or config.json, or a hub name.

    Raises:
        NotFoundError: it is none of these. InputError: the config is damaged or says too little.
    """
    if (entry := _entry(model)) is not None:
        name, config = entry
        return shape_of(config, name)
    folder = bases.BUNDLED_FOLDER if model == bases.BUNDLED else Path(model).expanduser()
    path = folder / "config.json" if folder.is_dir() else folder
    if path.is_file():
        return shape_of(_read_json(path), model)
    if folder.is_dir() or path.suffix == ".json" or model.startswith((".", "/")):
        raise NotFoundError(
            said("There is no '%(path)s', so the model's shape is unknown.", path=path),
            hint=said("Give a folder with a config.json, or a name such as phi-3-mini."),
        )
    return shape_of(load_object(_HEAVY, "config of a hub model", "reader")(model), model)


def shape_of(config: Mapping[str, Any], name: str) -> ModelShape:
    """Return the shape that a config.json describes; `name` stands in messages.

    Raises:
        InputError: a key that the arithmetic needs is missing or no positive number.
    """
    kind = str(config.get("model_type", ""))
    if not kind:
        raise InputError(
            said("The config of '%(name)s' has no 'model_type'.", name=name),
            hint=said("Give the config.json of a causal language model of transformers."),
        )
    if kind == "phi3" or kind in _SPLIT:
        linears, num_other = _count(config, kind, name)
    else:
        rows, num_other = load_object(_HEAVY, "count by building", "counter")(config)
        linears = tuple(Linear(*row) for row in rows)
    return ModelShape(
        name=name,
        num_layers=_number(config, ("num_hidden_layers", "n_layer"), name),
        vocabulary=_number(config, ("vocab_size",), name),
        max_context_tokens=_number(config, ("max_position_embeddings", "n_positions"), name),
        linears=linears,
        num_other=num_other,
        config=config,
    )


def count_lora(shape: ModelShape, rank: int, targets: Sequence[str] = ()) -> int:
    """Return how many parameters a LoRA of this rank trains: rank · (in + out) for each layer it hits.

    Without `targets` every linear layer except the output head is hit.

    Raises:
        InputError: a name hits nothing. Most tools go on with what is left, which on Phi-3's fused layers is a third.

    Example:
        >>> count_lora(read_shape("phi-3-mini"), 16)
        25165824
    """
    wanted = set(targets) or set(shape.target_names)
    hit = [linear for linear in shape.linears if linear.name in wanted]
    number = sum(rank * (linear.inputs + linear.outputs) * linear.number for linear in hit)
    missing = sorted(wanted - set(shape.target_names))
    if missing:
        whole = count_lora(shape, rank)
        left = said(
            "the rest would train %(n)s parameters instead of %(whole)s",
            n=Figure(number),
            whole=Figure(whole),
        )
        raise InputError(
            said(
                "'%(name)s' has no layer %(missing)s; %(effect)s.",
                name=shape.name,
                missing=", ".join(missing),
                effect=left if hit else said("nothing would be trained"),
            ),
            hint=said(
                "Its layers are: %(target_names)s.", target_names=", ".join(shape.target_names)
            ),
            param="target_modules",
        )
    return number


def largest_linear(shape: ModelShape) -> int:
    """Return the number of parameters of the largest single layer, which a 4-bit model unpacks to compute."""
    return max((linear.inputs * linear.outputs for linear in shape.linears), default=0)


def _count(config: Mapping[str, Any], kind: str, name: str) -> tuple[tuple[Linear, ...], int]:
    hidden = _number(config, ("hidden_size",), name)
    inner = _number(config, ("intermediate_size",), name)
    layers = _number(config, ("num_hidden_layers",), name)
    heads = _number(config, ("num_attention_heads",), name)
    groups = config.get("num_key_value_heads") or heads
    width = config.get("head_dim") or hidden // heads
    queries, keys = heads * width, groups * width
    norms = 2 * hidden
    biases = queries + 2 * keys if kind == "qwen2" or config.get("attention_bias") else 0
    if kind == "phi3":
        parts = [
            ("qkv_proj", hidden, queries + 2 * keys),
            ("o_proj", queries, hidden),
            ("gate_up_proj", hidden, 2 * inner),
            ("down_proj", inner, hidden),
        ]
    else:
        sizes = ((hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden))
        mlp = ((hidden, inner), (hidden, inner), (inner, hidden))
        parts = [(n, *s) for n, s in zip(_LLAMA_NAMES, (*sizes, *mlp), strict=True)]
        norms += 2 * width if kind == "qwen3" else 0
        biases += hidden if kind == "llama" and config.get("attention_bias") else 0
    vocabulary = _number(config, ("vocab_size",), name)
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    linears = tuple(Linear(part, inside, outside, layers) for part, inside, outside in parts)
    return linears, embeddings + layers * (norms + biases) + hidden


def _number(config: Mapping[str, Any], keys: Sequence[str], name: str) -> int:
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    raise InputError(
        said(
            "The config of '%(name)s' has no usable '%(key)s': %(value)s.",
            name=name,
            key=keys[0],
            value=repr(config.get(keys[0])),
        ),
        hint=said("Give the config.json of a causal language model of transformers."),
    )


def _entry(model: str) -> tuple[str, Mapping[str, Any]] | None:
    table = {name.lower(): (name, config) for name, config in _by_name().items()}
    wanted = model.strip().lower()
    last = {name.rpartition("/")[2]: entry for name, entry in table.items()}
    return table.get(wanted) or last.get(wanted)


@cache
def _by_name() -> Mapping[str, Mapping[str, Any]]:
    rows = _read_list(Path(__file__).with_name("shapes.json"))
    return {name: row["config"] for row in rows for name in row["names"]}


def _read_list(path: Path) -> list[Any]:
    rows: list[Any] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            said("'%(path)s' cannot be read as JSON: %(error)s.", path=path, error=error),
            hint=said("Copy or fetch the model again."),
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            said("'%(path)s' holds no object.", path=path),
            hint=said("Copy or fetch the model again."),
        )
    return value

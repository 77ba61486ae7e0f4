"""A model as its config describes it, without weights: on the meta device, or of fake tensors.

Any architecture of transformers can be counted and run for its shapes in a second, whatever its size.
"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from pericia.errors import NotFoundError
from pericia.said import said
from pericia.trainers.local.adapter import find_linears


def read_config(model: str) -> Mapping[str, Any]:
    """Return the config.json of a hub name, from the local cache or the hub.

    Raises:
        NotFoundError: neither has it.
    """
    try:
        config: Mapping[str, Any] = AutoConfig.from_pretrained(
            model, trust_remote_code=False
        ).to_dict()
        return config
    except (OSError, ValueError) as error:
        raise NotFoundError(
            said(
                "The config of the model '%(model)s' is neither here nor on a hub that answers.",
                model=model,
            ),
            hint=said(
                "Give a folder with its config.json, or a name that is known without a network, see: pericia plan --list"
            ),
        ) from error


def count_linears(config: Mapping[str, Any]) -> tuple[tuple[tuple[str, int, int, int], ...], int]:
    """Return (name, in, out, how many) of each linear layer that takes an adapter, and all other parameters.

    The output head takes none and counts among the others.
    """
    model = _meta_model(config, torch.bfloat16)
    found = Counter(
        (name.rpartition(".")[2], layer.in_features, layer.out_features)
        for name, layer in find_linears(model).items()
    )
    rows = tuple((*key, number) for key, number in found.items())
    linear = sum(inside * outside * number for _, inside, outside, number in rows)
    return rows, sum(p.numel() for p in model.parameters()) - linear


def trainable_model(
    config: Mapping[str, Any],
    adapter: bool,
    rank: int,
    targets: Sequence[str],
    dtype: torch.dtype,
    dropout: float = 0.0,
) -> Any:
    """Return a meta model, with an adapter or with all its weights to be trained."""
    model = _meta_model(config, dtype)
    if not adapter:
        return model
    lora = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=dropout,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
        # Not `low_cpu_mem_usage`: it patches torch for every thread, and an adapter that the server loads meanwhile,
        # or any later one where two such patches overlap, would have no weights.
        with torch.device("meta"):
            return get_peft_model(model, lora)


def _meta_model(config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    values = {k: v for k, v in config.items() if k not in {"torch_dtype", "dtype"}}
    built = AutoConfig.for_model(**values)
    # Scaled rotary embeddings look at values, which fake tensors have not; they take no other memory.
    rope = dict(getattr(built, "rope_parameters", None) or {})
    if rope.get("rope_type", "default") != "default":
        kept = {k: rope[k] for k in ("rope_theta", "partial_rotary_factor") if k in rope}
        built.rope_parameters = {"rope_type": "default", **kept}
    with torch.device("meta"), _default_dtype(dtype):
        return AutoModelForCausalLM.from_config(built, dtype=dtype, attn_implementation="sdpa")


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def make_fake(model: torch.nn.Module) -> None:
    """Replace every meta tensor by a fake one that believes it lies on the CPU; tied weights stay tied."""
    fakes: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in fakes:
                data = torch.empty(parameter.shape, dtype=parameter.dtype)
                fakes[id(parameter)] = torch.nn.Parameter(data, parameter.requires_grad)
            module._parameters[name] = fakes[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)

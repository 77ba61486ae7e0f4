"""LoRA's forward pass without detours: PEFT's modules and weights, computed in the precision of the base.

PEFT widens the input, the two products and the sum to fp32 whenever adapters are kept in fp32. The weights must be
wide, or small steps round away; the products need not be. Here the two small matrices are narrowed instead of the
wide input, and the second product adds itself onto the base's output.
"""

import math
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch.nn.functional import dropout as drop
from torch.nn.functional import linear

_ONE = "default"


def quicken(model: torch.nn.Module) -> int:
    """Replace the forward pass of every plain LoRA layer of a model; returns how many. The result is the same.

    Layers with DoRA and other variants keep PEFT's, as do modules that are no linear layers.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, LoraLayer)
        and not module.lora_variant
        and set(module.lora_A) == {_ONE}
        and isinstance(module.get_base_layer(), torch.nn.Linear)
    ]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)
    return len(layers)


def restore(model: torch.nn.Module) -> None:
    """Give every layer PEFT's forward pass back."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.__dict__.pop("forward", None)


def _forward(layer: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if args or kwargs or layer.disable_adapters or layer.merged or layer.active_adapters != [_ONE]:
        return type(layer).forward(layer, x, *args, **kwargs)
    result = layer.base_layer(x)
    dropout = layer.lora_dropout[_ONE]
    p = getattr(dropout, "p", 0.0) if dropout.training else 0.0  # without dropout it is an Identity
    scaling = layer.scaling[_ONE]
    if p and x.device.type == "cpu":
        x = x * _kept(x, p)
        scaling = scaling / (1 - p)
    elif p:
        x = drop(x, p)
    small_a = layer.lora_A[_ONE].weight.to(result.dtype)
    small_b = (layer.lora_B[_ONE].weight * scaling).to(result.dtype)
    inner = linear(x.to(result.dtype), small_a)
    flat = torch.addmm(result.flatten(0, -2), inner.flatten(0, -2), small_b.T)
    return flat.view_as(result)


def _kept(x: torch.Tensor, p: float) -> torch.Tensor:
    """Return 0 with chance `p`, else 1, for each element; four decisions of 16 bits from each random number of 64.

    torch draws a number for each element on a CPU, one after another, which took a tenth of a step.
    """
    words = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[: x.numel()].view_as(x)
    return (draws >= round(p * 2**16) - 2**15).to(x.dtype)

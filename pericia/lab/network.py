"""Phi-3's network written for speed on a CPU: the same weights and sums as `Phi3ForCausalLM`, half its time a step.

It holds bf16 weights beside fp32 masters and computes attention with plain batched products, which beats the fused
kernel at the lengths used here. `to_phi3` gives the tensors under the names of transformers (a test compares logits).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes; all but the vocabulary and the layers are multiples of 64, as 4-bit weights on a CPU need."""

    vocabulary: int = 3072
    hidden: int = 256
    intermediate: int = 512
    layers: int = 5
    heads: int = 8
    eps: float = 1e-5
    theta: float = 10_000.0


class _Attention(torch.autograd.Function):
    """softmax(q k^T / sqrt(d) + mask) v, with the probabilities kept for the way back."""

    @staticmethod
    def forward(ctx, q, k, v, mask):  # type: ignore[no-untyped-def]
        ctx.scale = 1 / math.sqrt(q.shape[-1])
        weights = torch.softmax(torch.baddbmm(mask, q, k.transpose(1, 2), alpha=ctx.scale), -1)
        ctx.save_for_backward(q, k, v, weights)
        return torch.bmm(weights, v)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        q, k, v, weights = ctx.saved_tensors
        grad_v = torch.bmm(weights.transpose(1, 2), grad)
        inner = torch.bmm(grad, v.transpose(1, 2))
        inner = torch._softmax_backward_data(inner, weights, -1, weights.dtype).mul_(ctx.scale)
        return torch.bmm(inner, k), torch.bmm(inner.transpose(1, 2), q), grad_v, None


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size, inner = shape.hidden, shape.intermediate
        self.shape = shape
        self.qkv_proj = nn.Parameter(torch.randn(3 * size, size) / math.sqrt(size))
        self.o_proj = nn.Parameter(torch.zeros(size, size))
        self.gate_up_proj = nn.Parameter(torch.randn(2 * inner, size) / math.sqrt(size))
        self.down_proj = nn.Parameter(torch.zeros(size, inner))
        self.input_layernorm = nn.Parameter(torch.ones(size))
        self.post_attention_layernorm = nn.Parameter(torch.ones(size))

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, shown: "Sequence[Shown]" = ()
    ) -> tuple[Tensor, list[Tensor]]:
        rows, length, size = x.shape
        heads = self.shape.heads
        y = functional.rms_norm(x, (size,), self.input_layernorm, self.shape.eps)
        qkv = functional.linear(y, self.qkv_proj).view(rows, length, 3, heads, size // heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        first, second = qkv[:2].chunk(2, -1)
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
        q, k = turned.flatten(1, 2)
        astray = [part.loss(q[part.head :: heads], k[part.head :: heads]) for part in shown]
        out = _Attention.apply(q, k, qkv[2].flatten(0, 1), mask)
        out = out.view(rows, heads, length, -1).transpose(1, 2).reshape(rows, length, size)
        x = x + functional.linear(out, self.o_proj)
        y = functional.rms_norm(x, (size,), self.post_attention_layernorm, self.shape.eps)
        gate, up = functional.linear(y, self.gate_up_proj).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, self.down_proj), astray


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a head has to look: in row `rows[i]` position `at[i]` at any true of `targets[i]`, with `weight[i]`."""

    head: int
    rows: Tensor
    at: Tensor
    targets: Tensor
    weight: Tensor

    def loss(self, q: Tensor, k: Tensor) -> Tensor:
        """Return the mean of -log of the attention on the targets; `q` and `k` are the head's, (rows, length, size)."""
        scores = torch.bmm(q, k.transpose(1, 2))[self.rows, self.at].float() / math.sqrt(
            q.shape[-1]
        )
        later = torch.arange(k.shape[1]) > self.at[:, None]
        all_scores = scores.masked_fill(later, -torch.inf).logsumexp(-1)
        losses = all_scores - scores.masked_fill(~self.targets, -torch.inf).logsumexp(-1)
        return (losses * self.weight).sum() / self.weight.sum()


class Network(nn.Module):
    """The stack; `forward` gives the last hidden states (rows, length, hidden), `logits` scores chosen ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))

    def forward(self, ids: Tensor, shown: Mapping[int, list[Shown]] | None = None) -> Tensor:
        """Return the last hidden states; `self.astray` is the loss of each head's looks, `shown` by layer."""
        x = functional.embedding(ids, self.embed_tokens)
        size, length = self.shape.hidden // self.shape.heads, ids.shape[1]
        waves = self.shape.theta ** (-torch.arange(0, size, 2).float() / size)
        angles = torch.outer(torch.arange(length).float(), waves)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        mask = torch.full((length, length), -1e4, dtype=x.dtype).triu(1)
        losses = []
        for number, layer in enumerate(self.layers):
            x, astray = layer(x, cos, sin, mask, (shown or {}).get(number, ()))
            losses += astray
        self.astray = torch.stack(losses) if losses else torch.zeros(1)
        return functional.rms_norm(x, (self.shape.hidden,), self.norm, self.shape.eps)

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.embed_tokens).float()


def to_phi3(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a `Network` in bf16 under the names of `Phi3ForCausalLM` (head tied to the embedding)."""
    named = {}
    for name, tensor in weights.items():
        path = re.sub(r"(qkv_proj|o_proj)$", r"self_attn.\1", name)
        path = re.sub(r"(gate_up_proj|down_proj)$", r"mlp.\1", path)
        named[f"model.{path}.weight"] = tensor.detach().to(torch.bfloat16).contiguous()
    return named


def from_phi3(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the fp32 tensors of a `Network` from those that `to_phi3` gave."""
    inner = re.compile(r"^model\.|self_attn\.|mlp\.|\.weight$")
    return {inner.sub("", path): tensor.float() for path, tensor in named.items()}

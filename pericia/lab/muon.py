"""Muon for the matrices and AdamW for the rest, over fp32 masters of bf16 weights.

Matrices of one size are made orthogonal together, in one batched product, because on two cores many small
products cost more than their sums.
Source: Keller Jordan, Muon: an optimizer for hidden layers in neural networks, 2024, https://kellerjordan.github.io/posts/muon/
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from pericia.lab.network import Network


def orthogonal(batch: Tensor, steps: int = 5) -> Tensor:
    """Return matrices with the singular vectors of `batch` (count, rows <= columns) and singular values near 1."""
    x = batch.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445
        )
    return x


# Without it attention scores grow beyond 80, the softmax saturates and learning stops.
DECAY = 0.15


class Muon:
    """Steps a network's bf16 weights through fp32 masters; `state` and `load` keep it across a restart."""

    def __init__(self, network: Network, rate: float = 0.01, side_rate: float = 2e-3) -> None:
        self.rate, self.side_rate, self.num_steps = rate, side_rate, 0
        self.weights = dict(network.named_parameters())
        self.masters = {n: p.detach().float().clone() for n, p in self.weights.items()}
        self.first = {n: torch.zeros_like(m) for n, m in self.masters.items()}
        self.matrices = [n for n, m in self.masters.items() if m.ndim == 2 and n != "embed_tokens"]
        self.side = [n for n in self.masters if n not in self.matrices]
        self.second = {n: torch.zeros_like(self.masters[n]) for n in self.side}

    def step(self, scale: float) -> None:
        """Apply the gradients with both rates times `scale` and clear them."""
        self.num_steps += 1
        blocks: list[tuple[str, Tensor]] = []
        for name in self.matrices:
            grad = self.weights[name].grad
            assert grad is not None
            moment = self.first[name].lerp_(grad.float(), 0.05)
            ahead = grad.float().lerp(moment, 0.95)
            count = 3 if "qkv" in name else 2 if "gate_up" in name else 1
            blocks += [(name, block) for block in ahead.chunk(count)]
        updates: dict[str, list[Tensor]] = {}
        for wide in sorted({tuple(sorted(b.shape)) for _, b in blocks}):
            group = [(n, b) for n, b in blocks if tuple(sorted(b.shape)) == wide]
            stacked = torch.stack([b if b.shape[0] <= b.shape[1] else b.T for _, b in group])
            for (name, block), done in zip(group, orthogonal(stacked), strict=True):
                update = done if block.shape[0] <= block.shape[1] else done.T
                gain = max(1.0, block.shape[0] / block.shape[1]) ** 0.5
                updates.setdefault(name, []).append(update.float() * gain)
        for name, parts in updates.items():
            self.masters[name].mul_(1 - self.rate * scale * DECAY)
            self.masters[name].add_(torch.cat(parts), alpha=-self.rate * scale)
        self._adam(scale)
        for name, weight in self.weights.items():
            weight.data.copy_(self.masters[name])
            weight.grad = None

    def _adam(self, scale: float) -> None:
        for name in self.side:
            grad = self.weights[name].grad
            assert grad is not None
            first = self.first[name].lerp_(grad.float(), 0.1)
            second = self.second[name].lerp_(grad.float() ** 2, 0.02)
            first, second = first / (1 - 0.9**self.num_steps), second / (1 - 0.98**self.num_steps)
            self.masters[name].addcdiv_(first, second.sqrt() + 1e-8, value=-self.side_rate * scale)

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that a restart needs, under one flat name each."""
        groups = {"master": self.masters, "first": self.first, "second": self.second}
        return {f"{group}/{n}": t for group, named in groups.items() for n, t in named.items()}

    def load(self, tensors: dict[str, Tensor], num_steps: int) -> None:
        """Take back what `state` gave, and the count of steps."""
        self.num_steps = num_steps
        for key, tensor in self.state().items():
            tensor.copy_(tensors[key])
        self.begin(self.masters)

    def begin(self, masters: Mapping[str, Tensor]) -> None:
        """Take these weights."""
        for name, weight in self.weights.items():
            self.masters[name].copy_(masters[name])
            weight.data.copy_(masters[name])

"""Cross entropy over a large vocabulary, a few rows of logits at a time, with its gradient made on the way."""

from typing import Any

import torch

MOST_LOGITS = (
    2**27
)  # a quarter of a GB in bf16; above it TRL's way, a tile at a time, needs less memory
_TILE = 2**19  # logits in fp32 at a time: 2 MB stay in the cache of a core


class _SummedLoss(torch.autograd.Function):
    """The gradient of a sum of cross entropies is softmax minus one: it is known as soon as the loss is.

    In fp32 within a tile; the gradient is kept in the precision of the logits.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        gradient = torch.empty_like(logits)
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        num_right = torch.zeros((), dtype=torch.int64, device=logits.device)
        rows = max(1, _TILE // logits.shape[1])
        parts = (tensor.split(rows) for tensor in (logits, labels, gradient))
        for tile, answers, slot in zip(*parts, strict=True):
            wide = tile.float()
            wide = wide - wide.amax(dim=1, keepdim=True)
            picked = wide.gather(1, answers[:, None])
            num_right += (picked == 0).sum()  # the label has the largest logit
            odds = wide.exp_()
            sums = odds.sum(dim=1, keepdim=True)
            total += (sums.log() - picked).sum()
            odds /= sums
            odds.scatter_add_(1, answers[:, None], -torch.ones_like(picked))
            slot.copy_(odds)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(num_right)
        return total, num_right

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None


def summed_loss(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the cross entropies, in fp32, and how many labels are the likeliest token.

    `logits` is (n, vocabulary), `labels` (n,), all of them counted.
    """
    total, num_right = _SummedLoss.apply(logits, labels)
    return total, num_right

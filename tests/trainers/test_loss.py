"""The loss that makes its gradient on the way, against torch's."""

import pytest
import torch

from pericia.trainers.local import loss as module
from pericia.trainers.local.loss import summed_loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tile", [1, 300, 2**19])
def test_loss_and_gradient_are_those_of_torch(
    dtype: torch.dtype, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TILE", tile)
    torch.manual_seed(0)
    logits = (torch.randn(23, 100) * 8).to(dtype)
    labels = torch.where(torch.arange(23) % 3 == 0, logits.argmax(dim=1), 7)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, num_right = summed_loss(ours, labels)
    expected = torch.nn.functional.cross_entropy(theirs.float(), labels, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-4)
    assert int(num_right) == int((logits.float().argmax(dim=1) == labels).sum())
    (loss / 7).backward()  # type: ignore[no-untyped-call]
    (expected / 7).backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    rtol, atol = (1e-5, 1e-7) if dtype == torch.float32 else (1e-2, 1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=rtol, atol=atol)


def test_huge_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1e4, -1e4], [-3e4, 3e4]], requires_grad=True)
    loss, num_right = summed_loss(logits, torch.tensor([0, 0]))
    assert float(loss.detach()) == pytest.approx(6e4)
    assert int(num_right) == 1
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]

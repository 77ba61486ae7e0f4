"""How fast this computer multiplies matrices, which bounds how fast it trains."""

import time

import torch


def measure_flops(seconds: float = 1.0) -> float:
    """Return the floating-point operations a second of matrix products here, in the precision that trains fastest.

    On a GPU and on CPUs with bf16 instructions that is bf16, elsewhere fp32: both are tried and the better counts.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return max(
        _matrix_rate(device, dtype, seconds / 2) for dtype in (torch.bfloat16, torch.float32)
    )


def _matrix_rate(device: str, dtype: torch.dtype, seconds: float) -> float:
    size = 8192 if device == "cuda" else 1024
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    _finish(left @ right)
    products, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        _finish(left @ right)
        products += 1
    return products * 2 * size**3 / spent


def _finish(product: torch.Tensor) -> None:
    product[0, 0].item()  # waits for a GPU

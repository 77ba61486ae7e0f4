"""What 4 bits cost: RMSE on N(0,1) and bits a parameter, with bitsandbytes on the CPU.

    python benchmarks/quantisation.py

Prints the table of the design page; tests/test_quantisation.py holds each figure to it.
"""

import numpy as np
import torch
from bitsandbytes import functional

BLOCK = 64
NUM_VALUES = 2**20
# Values of four bits: E2M1 as in the OCP microscaling format; integers with a symmetric and a full range.
E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
CODES = {
    "FP4 E2M1": sorted({*E2M1, *(-v for v in E2M1)}),
    "int4 symmetric, -7..7": list(range(-7, 8)),
    "int4, -8..7": list(range(-8, 8)),
}


def normal_values(num: int = NUM_VALUES, seed: int = 0) -> torch.Tensor:
    """Return values of N(0,1), float32."""
    return torch.randn(num, generator=torch.Generator().manual_seed(seed))


def rmse_of_bitsandbytes(kind: str, nested: bool = False) -> float:
    """Return the root mean square error of bitsandbytes' own NF4 ("nf4") or FP4 ("fp4")."""
    values = normal_values().reshape(-1, 1024)
    packed, state = functional.quantize_4bit(
        values, blocksize=BLOCK, quant_type=kind, compress_statistics=nested
    )
    return float((functional.dequantize_4bit(packed, state) - values).square().mean().sqrt())


def rmse_of_code(code: list[float]) -> float:
    """Return the error of rounding to a code whose outermost level is the largest magnitude of each block of 64.

    A range with one value more below zero cannot reach that magnitude above zero; there it saturates.
    """
    values = normal_values().numpy().reshape(-1, BLOCK).astype(np.float64)
    levels = np.asarray(code, dtype=np.float64)
    scale = np.abs(values).max(1, keepdims=True) / np.abs(levels).max()
    edges = (levels[1:] + levels[:-1]) / 2
    rounded = levels[np.searchsorted(edges, values / scale)]
    return float(np.sqrt(np.square(rounded * scale - values).mean()))


def bits_per_parameter(nested: bool, rows: int = 1024, columns: int = 4096) -> float:
    """Return the bits that bitsandbytes stores for a parameter: packed values and scales, without code tables."""
    weight = normal_values(rows * columns).reshape(rows, columns)
    packed, state = functional.quantize_4bit(
        weight, blocksize=BLOCK, quant_type="nf4", compress_statistics=nested
    )
    parts = [packed, state.absmax] + ([state.state2.absmax] if nested else [])
    return sum(part.numel() * part.element_size() for part in parts) * 8 / weight.numel()


def main() -> None:
    print(f"RMSE on N(0,1), {NUM_VALUES:,} values, blocks of {BLOCK}")
    print(f"  {'NF4':24} {rmse_of_bitsandbytes('nf4'):.4f}")
    print(f"  {'NF4, double quantised':24} {rmse_of_bitsandbytes('nf4', nested=True):.4f}")
    print(f"  {'FP4 of bitsandbytes':24} {rmse_of_bitsandbytes('fp4'):.4f}")
    for name, code in CODES.items():
        print(f"  {name:24} {rmse_of_code(code):.4f}")
    print("Bits a parameter")
    print(f"  {'NF4':24} {bits_per_parameter(nested=False)}")
    print(f"  {'NF4, double quantised':24} {bits_per_parameter(nested=True)}")


if __name__ == "__main__":
    main()

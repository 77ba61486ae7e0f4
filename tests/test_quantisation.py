"""The figures of 4-bit storage, as the design page and the README state them."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bitsandbytes import functional
from safetensors.torch import load_file

from pericia import bases

BNB: Any = functional  # it is not typed
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load("quantisation")


@pytest.mark.parametrize(
    ("kind", "nested", "rmse"),
    [("nf4", False, 0.0920), ("nf4", True, 0.0920), ("fp4", False, 0.1220)],
)
def test_rmse_of_bitsandbytes(benchmark: ModuleType, kind: str, nested: bool, rmse: float) -> None:
    assert benchmark.rmse_of_bitsandbytes(kind, nested) == pytest.approx(rmse, abs=0.0005)


@pytest.mark.parametrize(
    ("name", "rmse"),
    [("FP4 E2M1", 0.1057), ("int4 symmetric, -7..7", 0.1077), ("int4, -8..7", 0.0993)],
)
def test_rmse_of_other_codes(benchmark: ModuleType, name: str, rmse: float) -> None:
    assert benchmark.rmse_of_code(benchmark.CODES[name]) == pytest.approx(rmse, abs=0.0005)


def test_bits_per_parameter_are_exact(benchmark: ModuleType) -> None:
    assert benchmark.bits_per_parameter(nested=False) == 4.5
    assert benchmark.bits_per_parameter(nested=True) == 4.126953125


def test_nf4_keeps_every_matrix_of_the_bundled_model_nearer_than_fp4() -> None:
    weights = load_file(bases.BUNDLED_FOLDER / "model.safetensors")
    matrices = {n: w.float() for n, w in weights.items() if n.endswith("_proj.weight")}
    assert len(matrices) >= 4
    for name, weight in matrices.items():
        error = {}
        for kind in ("nf4", "fp4"):
            packed, state = BNB.quantize_4bit(weight, blocksize=64, quant_type=kind)
            error[kind] = float((BNB.dequantize_4bit(packed, state) - weight).norm())
        assert error["nf4"] < error["fp4"], name


@pytest.mark.slow
def test_four_bits_cost_the_bundled_model_next_to_nothing() -> None:
    """Its losses lie near each other; benchmarks/quantisation_repair.py tells NF4 and FP4 apart, with an interval."""
    repair = load("quantisation_repair")
    preparation, _ = repair.prepare(quick=True)
    rows = (*preparation.rows, *preparation.validation_rows)
    losses = {}
    for kind in repair.KINDS:
        sums, counts = repair.row_losses(repair.load_base(kind), rows, whole=True)
        losses[kind] = float(sums.sum() / counts.sum())
    for kind in ("NF4", "NF4 + DQ", "FP4"):
        assert losses[kind] == pytest.approx(losses["fp32"], rel=0.03), kind
    assert losses["NF4 + DQ"] == pytest.approx(losses["NF4"], abs=0.01)

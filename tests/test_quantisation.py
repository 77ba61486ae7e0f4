"""The figures of 4-bit storage, as the design page and the README state them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "quantisation.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_quantisation", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

import pytest

from pericia import exporters
from pericia.errors import InputError, NotFoundError
from pericia.exporters import Exporter, Gate


@pytest.mark.parametrize("name", exporters.EXPORTERS)
def test_every_format_loads_and_has_a_chain_and_precisions(name: str) -> None:
    exporter: Exporter = exporters.load(name)
    assert callable(exporter.export)
    assert exporters.CHAINS[name][-1] == name
    assert exporters.choose_precision(name) == exporters.PRECISIONS[name][0]


def test_the_gate_loads() -> None:
    gate: Gate = exporters.load_gate()
    assert callable(gate.check)


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(NotFoundError, match="ggu") as caught:
        exporters.choose_precision("ggu")
    assert "gguf" in caught.value.hint
    with pytest.raises(InputError, match="'q4_0' is no precision"):
        exporters.choose_precision("gguf", "q4_0")

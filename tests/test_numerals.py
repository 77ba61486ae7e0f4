"""Columns of numbers: units, marks and signs as people write them, and columns that only look like numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.numerals import read_numbers, show_number


@pytest.mark.parametrize(
    ("cells", "values", "unit"),
    [
        (["1,234", "12,500"], [1234, 12500], ""),
        (["0.125", "1.250"], [0.125, 1.25], ""),
        (["1.250,5 €", "310 €"], [1250.5, 310], "€"),
        (["$1,250.50", "$3"], [1250.5, 3], "$"),
        (["(1,250.5)", "3.2"], [-1250.5, 3.2], ""),
        (["-3", "−4", "n/a"], [-3, -4, None], ""),
        (["5 %", "7%"], [5, 7], "%"),
        (["1e-3", "2.5e+10"], [0.001, 2.5e10], ""),
        (["1 250", "300"], [1250, 300], ""),
        (["12 m3/h", "3.5 m3/h"], [12, 3.5], "m3/h"),
        (["EUR 5", "EUR 6"], [5, 6], "EUR"),
    ],
)
def test_numbers_are_read_as_written(
    cells: list[str], values: list[float | None], unit: str
) -> None:
    found = read_numbers(cells)
    assert found is not None
    assert list(found.values) == values
    assert found.unit == unit


@pytest.mark.parametrize(
    "cells",
    [
        ["12 bar", "3 kg"],
        ["1.234", "2.500"],  # thousands or decimals
        ["1.5", "1,5"],
        ["007", "12"],
        ["12345678901234567", "1"],
        ["2024-01-01"],
        ["PX-20", "3"],
        ["", "-"],
        [],
    ],
)
def test_what_is_no_column_of_numbers_stays_text(cells: list[str]) -> None:
    assert read_numbers(cells) is None


@given(st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 2)), min_size=1, max_size=8))
def test_numbers_come_back_as_they_were_shown(numbers: list[float]) -> None:
    found = read_numbers([f"{number:.2f} kg" for number in numbers])
    assert found is not None
    assert list(found.values) == numbers
    again = read_numbers([f"{show_number(value, found)}" for value in numbers])
    if again is not None:  # "1.25" alone with a whole number may be doubtful, never wrong
        assert list(again.values) == [round(number, 6) for number in numbers]

"""Columns of cells become columns of numbers, where every cell is one: unit, sign and the decimal mark are kept.

A column is read as a whole, because one cell alone does not tell whether "1.250" is a thousand or a little over one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CURRENCY = "$€£¥₹"
_CELL = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+−])?(?P<before>[{_CURRENCY}]|[A-Z]{{3}}|R\$)?\s*(?P<minus>[-−])?"
    r"(?P<digits>\d+(?:[.,'’\u00a0\u202f ]\d{3})*(?:[.,]\d+)?|[.,]\d+)"
    rf"(?P<power>[eE][-+]?\d+)?\s*(?P<after>(?:[^\W\d_]|[%‰°{_CURRENCY}²³/·^]|(?<=[a-z])[23]){{1,12}})?(?P<close>\))?"
)
_EMPTY = frozenset({"", "-", "–", "—", "n/a", "N/A"})


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers. `values[i]` is None where cell i is empty; `unit` stood in every other cell, "" if none did."""

    values: tuple[float | None, ...]
    unit: str
    unit_first: bool  # "€ 5" instead of "5 €"
    decimal: str  # the mark that the cells use


def read_numbers(cells: Sequence[str]) -> Numbers | None:
    """Return the numbers of a column; None where a cell is none, units are mixed, or the marks can be read two ways.

    Codes such as "007", and what has more digits than a float keeps, are numbers to the eye only and stay text.

    Example:
        >>> read_numbers(["1.250,50 €", "310 €", ""])
        Numbers(values=(1250.5, 310.0, None), unit='€', unit_first=False, decimal=',')
        >>> read_numbers(["12 bar", "3 kg"]) is None
        True
    """
    found = [None if cell.strip() in _EMPTY else _CELL.fullmatch(cell.strip()) for cell in cells]
    matches = [match for match in found if match is not None]
    filled = sum(cell.strip() not in _EMPTY for cell in cells)
    if not matches or len(matches) < filled:
        return None
    units = {(match["before"] or "", match["after"] or "") for match in matches}
    decimal = _decimal_mark([match["digits"] for match in matches])
    if len(units) > 1 or decimal is None or any(_is_code(match["digits"]) for match in matches):
        return None
    if any(bool(match["open"]) != bool(match["close"]) for match in matches):
        return None
    [(before, after)] = units
    if before and after:
        return None
    values = tuple(None if match is None else _value(match, decimal) for match in found)
    return Numbers(values, before or after, bool(before), decimal)


def show_number(value: float, numbers: Numbers) -> str:
    """Return a result as its column would write it, without binary noise.

    Example:
        >>> show_number(1560.5, read_numbers(["1.250,50 €", "310 €"]))
        '1560,5 €'
    """
    text = format(round(value, 6), ".15g").replace(".", numbers.decimal)
    if not numbers.unit:
        return text
    joint = "" if numbers.unit == "%" or (numbers.unit_first and len(numbers.unit) == 1) else " "
    return f"{numbers.unit}{joint}{text}" if numbers.unit_first else f"{text}{joint}{numbers.unit}"


def _is_code(digits: str) -> bool:
    return digits.isdecimal() and (len(digits) > 15 or (len(digits) > 1 and digits[0] == "0"))


def _decimal_mark(written: Sequence[str]) -> str | None:
    """Return the decimal mark of a column's numbers; None where both readings are possible."""
    evidence = set()
    doubtful = False
    for digits in written:
        marks = [c for c in digits if c in ".,"]
        if not marks:
            continue
        last = marks[-1]
        tail = digits.rpartition(last)[2]
        other = "," if last == "." else "."
        if len(set(marks)) == 2:
            evidence.add(last)
        elif len(marks) > 1:
            evidence.add(other)  # "1,250,000": repeated marks part thousands
        elif len(tail) != 3 or digits.startswith(("0", ".", ",")):
            evidence.add(last)
        elif last == ".":
            doubtful = True  # "1.250" is a thousand in half of Europe
    if len(evidence) > 1:
        return None
    if evidence:
        return evidence.pop()
    return None if doubtful else "."


def _value(match: "re.Match[str]", decimal: str) -> float:
    whole = re.sub(r"[^\d]", "", match["digits"].rpartition(decimal)[0] or match["digits"])
    fraction = match["digits"].rpartition(decimal)[2] if decimal in match["digits"] else "0"
    if decimal in match["digits"] and match["digits"].startswith(decimal):
        whole = "0"
    value = float(f"{whole}.{fraction}{match['power'] or ''}")
    return -value if match["sign"] in ("-", "−") or match["minus"] or match["open"] else value

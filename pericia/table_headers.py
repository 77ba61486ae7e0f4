"""Heads of columns: what a column of numbers is called, and the unit that its head says: "Price (EUR)", "power_kw", "Weight in t"."""

import re
from dataclasses import dataclass, replace

from pericia.numerals import Numbers, show_number

# Units that are words of no other meaning at the end of a name; others need a mark before them: "Length, m".
_UNITS = (
    "eur usd gbp chf brl bgn jpy cny inr mxn cad aud pln sek nok dkk czk huf ron € $ £ ¥ % ‰ "
    "kw mw gw kwh mwh gwh kva kv mv ma mah hz khz mhz ghz mbar kpa mpa psi nm kn kj mj kcal °c °f "
    "mm cm dm km mm² cm² m² km² mm³ cm³ m³ mm2 cm2 m2 km2 mm3 cm3 m3 ml cl hl mg kg lb lbs oz rpm db ppm ppb km/h m/s"
)
_MARKED_UNITS = f"{_UNITS} w v a j k n c f g t m l h s d min ms bar pa"
_BRACKETED = re.compile(r"[(\[]([^)\]]*)[)\]]")
_MARK = re.compile(r"\s*[,:/]\s*|\s+(?:in|en|em)\s+", re.IGNORECASE)
_BLANK = re.compile(r"[\s_]+")


@dataclass(frozen=True, slots=True)
class Header:
    """A column's head in two parts; `unit` is "" where it says none, and not always one word: "€ in thousands"."""

    name: str
    unit: str = ""


def read_header(text: str) -> Header:
    """Return the head of a column of numbers in its parts, the unit in the head's own spelling.

    Example:
        >>> [read_header(text).unit for text in ("Price (EUR)", "power_kw", "Weight in t", "Sensor A", "Load [kN]")]
        ['EUR', 'kw', 't', '', 'kN']
    """
    if bracketed := " ".join(_BRACKETED.findall(text)).strip():
        name = _BRACKETED.sub(" ", text).strip()
        return Header(name, bracketed) if name else Header(text)
    for mark, units in ((_MARK, _MARKED_UNITS), (_BLANK, _UNITS)):
        *_, last = [None, *mark.finditer(text.strip())]
        if last is not None and text.strip()[last.end() :].casefold() in units.split():
            name, unit = text.strip()[: last.start()], text.strip()[last.end() :]
            return Header(name, unit) if name else Header(text)
    return Header(text)


def show_of_column(value: float, numbers: Numbers, header: Header) -> str:
    """Return a result with the unit of its cells, or else with that of its head.

    Example:
        >>> show_of_column(73.75, Numbers((), "", False, "."), Header("Pressure", "bar"))
        '73.75 bar'
    """
    if numbers.unit or not header.unit:
        return show_number(value, numbers)
    if _BLANK.search(header.unit):
        return f"{show_number(value, numbers)} ({header.unit})"
    return show_number(value, replace(numbers, unit=header.unit, unit_first=header.unit in "€$£¥"))

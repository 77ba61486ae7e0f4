"""One way of making two texts comparable, for every score.

`normalise` gives words; `quantities` gives numbers with their units. Both read decimal commas and points, thousands
separators, currencies, percent and scale words in the product's languages: en, es, pt, bg.
"""

import re
import unicodedata
from dataclasses import dataclass

ARTICLES = {
    "en": {"a", "an", "the"},
    "es": {"el", "la", "los", "las", "lo", "un", "una", "unos", "unas"},
    "pt": {"o", "a", "os", "as", "um", "uma", "uns", "umas"},
    "bg": set[str](),  # Bulgarian articles are endings, so there is no word to drop
}
_DECIMAL_COMMA = {"es", "pt", "bg"}

_NAMES = {
    **dict.fromkeys(
        ["$", "us$", "dollar", "dollars", "dólar", "dólares", "долар", "долара"], "usd"
    ),
    **dict.fromkeys(["€", "euro", "euros", "евро"], "eur"),
    **dict.fromkeys(["£", "pound sterling"], "gbp"),
    **dict.fromkeys(["лв", "лева"], "bgn"),
    **dict.fromkeys(["r$", "reais", "real"], "brl"),
    **dict.fromkeys(["%", "per cent", "por ciento", "por cento", "процента"], "percent"),
}
_SYMBOLS = re.compile(r"us\$|r\$|[$€£%]")
_SCALES = {
    **dict.fromkeys(["thousand", "thousands", "mil", "хиляди"], 1e3),
    **dict.fromkeys(
        ["million", "millions", "millón", "millones", "milhão", "milhões", "милиона"], 1e6
    ),
    **dict.fromkeys(["billion", "billions", "милиарда"], 1e9),
}
_UNITS: dict[str, tuple[str, float]] = {
    **{u: ("length", f) for u, f in [("mm", 1e-3), ("cm", 1e-2), ("m", 1.0), ("km", 1e3)]},
    **{u: ("mass", f) for u, f in [("mg", 1e-6), ("g", 1e-3), ("kg", 1.0), ("t", 1e3)]},
    **{u: ("volume", f) for u, f in [("ml", 1e-3), ("l", 1.0)]},
    **{
        u: ("pressure", f)
        for u, f in [("pa", 1.0), ("kpa", 1e3), ("mbar", 1e2), ("bar", 1e5), ("mpa", 1e6)]
    },
    **{u: ("power", f) for u, f in [("w", 1.0), ("kw", 1e3)]},
    **{u: (name, 1.0) for u, name in [("c", "celsius"), ("f", "fahrenheit"), ("v", "volt")]},
    **dict.fromkeys(["s", "second", "seconds", "segundos", "секунди"], ("time", 1.0)),
    **dict.fromkeys(["min", "minute", "minutes", "minutos", "минути"], ("time", 60.0)),
    **dict.fromkeys(["h", "hour", "hours", "hora", "horas", "час", "часа"], ("time", 3600.0)),
    **dict.fromkeys(["day", "days", "día", "días", "dia", "dias", "ден", "дни"], ("days", 1.0)),
    **dict.fromkeys(["week", "weeks", "semana", "semanas", "седмици"], ("days", 7.0)),
}

# groups of three digits, or one separator; not inside a code such as v2.0.1 or a list such as 1,2,3
_NUMBER = (
    r"(?<![\w.,])(?:\d{1,3}(?:[.,\u00a0\u202f' ]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)(?![.,]?\d)"
)
_GLUED_UNIT = re.compile(r"(?<=\d)(?=(?:°|[^\W\d_]))")
_DATE_WORDS = (
    "january february march april may june july august september october november december",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "януари февруари март април май юни юли август септември октомври ноември декември",
)
_MONTHS = {
    name: number for names in _DATE_WORDS for number, name in enumerate(names.split(), start=1)
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY_FIRST = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:de\s+|of\s+)?({_MONTH})\s*,?\s+(?:de\s+)?(\d{{4}})\b"
)
_MONTH_FIRST = re.compile(rf"\b({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?\s*,?\s+(\d{{4}})\b")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of a text in the base unit of its kind; `unit` is "" where the text gives none."""

    value: float
    unit: str = ""


def normalise(text: str, language: str = "en") -> str:
    """Return the words that count: no case, punctuation, articles or spelling of numbers; one blank between them.

    Articles stay when nothing else is left, so that the choice "A" differs from no answer. A number keeps its
    decimal point, unlike in the SQuAD script, where 3.5 equals 35.

    Example:
        >>> normalise("The limit is 1,200.50 €!"), normalise("1.200,5 euros", "es")
        ('limit is 1200.5 eur', '1200.5 eur')
        >>> normalise("March 3rd, 2024"), normalise("3 de marzo de 2024", "es")
        ('2024-03-03', '2024-03-03')
    """
    words = [_NAMES.get(word, word) for word in _words(_tidy(text, language))]
    without_articles = [w for w in words if w not in ARTICLES.get(language, set())]
    return " ".join(without_articles or words)


def says(text: str, phrase: str, language: str = "en") -> bool:
    """Return whether the words of a phrase stand in a text, in their order and side by side.

    Example:
        >>> says("It holds 1,200 bar.", "1200 bar"), says("It holds 1200 bar.", "200 bar")
        (True, False)
    """
    return f" {normalise(phrase, language)} " in f" {normalise(text, language)} "


def quantities(text: str, language: str = "en") -> list[Quantity]:
    """Return the numbers of a text in order, with scale words multiplied in and units brought to their base.

    Example:
        >>> quantities("3.5 million dollars, 20 cm")
        [Quantity(value=3500000.0, unit='usd'), Quantity(value=0.2, unit='length')]
    """
    words = _words(_tidy(text, language))
    found = []
    for position, word in enumerate(words):
        if re.fullmatch(r"-?\d+(\.\d+)?", word) is None:
            continue
        value, after = float(word), position + 1
        if after < len(words) and words[after] in _SCALES:
            value *= _SCALES[words[after]]
            after += 1
        following = words[after] if after < len(words) else ""
        before = _NAMES.get(words[position - 1], "") if position else ""
        if following in _UNITS:
            unit, factor = _UNITS[following]
            found.append(Quantity(value * factor, unit))
        else:
            found.append(
                Quantity(value, _NAMES.get(following, "") or before.replace("percent", ""))
            )
    return found


def _tidy(text: str, language: str) -> str:
    """Return the text in one case, with plain numbers, dates as 2024-03-31, and units and symbols set apart."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("−", "-")
    text = _DAY_FIRST.sub(lambda m: _iso_date(m[3], m[2], m[1]), text)
    text = _MONTH_FIRST.sub(lambda m: _iso_date(m[3], m[1], m[2]), text)
    for name in ("per cent", "por ciento", "por cento"):
        text = text.replace(name, "%")
    text = re.sub(_NUMBER, lambda m: _plain_number(m[0], language), text)
    return _GLUED_UNIT.sub(" ", _SYMBOLS.sub(r" \g<0> ", text))


def _words(text: str) -> list[str]:
    """Return dates, numbers, symbols and words; a minus counts only before a number that begins a word."""
    pattern = r"\d{4}-\d{2}-\d{2}|(?<![\w.-])-?\d+(?:\.\d+)?|us\$|r\$|[$€£%]|\w+"
    return re.findall(pattern, re.sub(r"(?<=\w)['’](?=\w)", "", text))


def _plain_number(number: str, language: str) -> str:
    """Return the digits with a decimal point: 1.234,50 and 1,234.50 are both 1234.5.

    One separator with three digits behind it is read by the language: 1.234 is 1234 in Spanish, 1.234 in English.
    """
    number = re.sub(r"[\u00a0\u202f' ]", "", number)
    comma, point = number.rfind(","), number.rfind(".")
    decimal = max(comma, point)
    if min(comma, point) < 0 <= decimal:
        mark = number[decimal]
        is_grouping = number.count(mark) > 1 or (
            len(number) - decimal == 4
            and 1 <= decimal <= 3
            and number[0] != "0"
            and (mark == ",") == (language not in _DECIMAL_COMMA)
        )
        decimal = -1 if is_grouping else decimal
    if decimal < 0:
        return re.sub(r"[.,]", "", number)
    whole = re.sub(r"[.,]", "", number[:decimal])
    fraction = number[decimal + 1 :].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _iso_date(year: str, month: str, day: str) -> str:
    return f"{year}-{_MONTHS[month]:02d}-{int(day):02d}"

"""The question forms that tables answer: the words that ask for a count, sum, average or extreme, per language."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pericia import analyser
from pericia.numerals import read_numbers

Operation = Literal["count", "sum", "avg", "max", "min"]
Operator = Literal[">", ">=", "<", "<="]

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[%°€$£]")
_OPERATIONS: dict[str, dict[Operation, str]] = {
    "en": {
        "count": "how many; number of; count of",
        "sum": "sum of; sum; total of; total; altogether; in total",
        "avg": "average; the mean; mean of; mean value; on average",
        "max": "highest; largest; maximum; biggest; greatest",
        "min": "lowest; smallest; minimum; least",
    },
    "es": {
        "count": "cuántos; cuántas; número de; cantidad de",
        "sum": "suma de; suma; total de; total; en total",
        "avg": "promedio; media; medio; valor medio",
        "max": "mayor; más alto; más alta; máximo; máxima; más grande",
        "min": "menor; más bajo; más baja; mínimo; mínima; más pequeño",
    },
    "pt": {
        "count": "quantos; quantas; número de; quantidade de",
        "sum": "soma de; soma; total de; total; no total",
        "avg": "média; médio; valor médio",
        "max": "maior; mais alto; mais alta; máximo; máxima",
        "min": "menor; mais baixo; mais baixa; mínimo; mínima",
    },
}
_COMPARISONS: dict[str, dict[Operator, str]] = {
    "en": {
        ">": "more than; greater than; higher than; larger than; over; above; exceeding",
        ">=": "at least; no less than; not less than",
        "<": "less than; fewer than; lower than; smaller than; below; under",
        "<=": "at most; no more than; not more than; up to",
    },
    "es": {
        ">": "más de; mayor que; mayor a; superior a; por encima de",
        ">=": "al menos; como mínimo; por lo menos",
        "<": "menos de; menor que; menor a; inferior a; por debajo de",
        "<=": "como máximo; hasta; no más de",
    },
    "pt": {
        ">": "mais de; maior que; superior a; acima de",
        ">=": "pelo menos; no mínimo",
        "<": "menos de; menor que; inferior a; abaixo de",
        "<=": "no máximo; até; não mais de",
    },
}
# An extreme that names its column by itself: "the cheapest" is the lowest price or cost.
_SUPERLATIVES: dict[str, dict[str, tuple[Operation, str]]] = {
    "en": {
        "cheapest; least expensive": ("min", "price; cost"),
        "most expensive; dearest; costliest": ("max", "price; cost"),
        "heaviest": ("max", "weight; mass"),
        "lightest": ("min", "weight; mass"),
        "longest": ("max", "length; duration"),
        "shortest": ("min", "length; duration; height"),
        "tallest": ("max", "height"),
        "widest": ("max", "width"),
        "deepest": ("max", "depth"),
        "fastest; quickest": ("max", "speed"),
        "slowest": ("min", "speed"),
        "hottest; warmest": ("max", "temperature"),
        "coldest": ("min", "temperature"),
    },
    "es": {
        "más barato; más barata; más económico; más económica": ("min", "precio; coste; costo"),
        "más caro; más cara": ("max", "precio; coste; costo"),
        "más pesado; más pesada": ("max", "peso; masa"),
        "más ligero; más ligera; más liviano; más liviana": ("min", "peso; masa"),
        "más largo; más larga": ("max", "longitud; duración"),
        "más corto; más corta": ("min", "longitud; duración"),
        "más rápido; más rápida": ("max", "velocidad"),
        "más lento; más lenta": ("min", "velocidad"),
    },
    "pt": {
        "mais barato; mais barata": ("min", "preço; custo"),
        "mais caro; mais cara": ("max", "preço; custo"),
        "mais pesado; mais pesada": ("max", "peso; massa"),
        "mais leve": ("min", "peso; massa"),
        "mais comprido; mais comprida; mais longo; mais longa": ("max", "comprimento; duração"),
        "mais curto; mais curta": ("min", "comprimento; duração"),
        "mais rápido; mais rápida": ("max", "velocidade"),
        "mais lento; mais lenta": ("min", "velocidade"),
    },
}
# Words that say nothing about which rows are meant; stop words are left out everywhere.
_FILLER: dict[str, str] = {
    "en": "table row rows list listed value values entry entries record records given shown much many give tell show "
    "please according file sheet every",
    "es": "tabla fila filas lista valor valores registro registros hay dime muestra según archivo hoja todos todas",
    "pt": "tabela linha linhas lista valor valores registro registros há diga mostre segundo arquivo folha todos todas",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A bound such as "above 40 bar": word `position` of the question is its first, `unit` a key or ""."""

    operator: Operator
    value: float
    unit: str
    position: int


@dataclass(frozen=True, slots=True)
class Form:
    """A question as far as its words alone tell; `used[i]` says that word i is understood already.

    `implied` are keys of the columns that an extreme such as "the cheapest" is about, any of them.
    """

    operation: Operation
    keys: tuple[str, ...]
    used: tuple[bool, ...]
    comparisons: tuple[Comparison, ...]
    implied: tuple[str, ...] = ()


def read_form(question: str, language: str) -> Form | None:
    """Return the form of a question; None where it asks for nothing that one statement computes.

    Example:
        >>> form = read_form("How many pumps work above 40 bar?", "en")
        >>> form.operation, form.comparisons[0].operator, form.comparisons[0].value
        ('count', '>', 40.0)
        >>> read_form("Who repairs the pumps?", "en") is None
        True
    """
    if language not in _OPERATIONS:
        return None
    keys = word_keys(question, language)
    words = _WORD.findall(question.casefold())
    used = [False] * len(keys)
    comparisons = []
    for operator, phrases in _COMPARISONS[language].items():
        for start, end in _occurrences(phrases, language, keys, used):
            bound = _bound(words, end)
            if bound is None:
                continue
            value, number_end, unit = bound
            comparisons.append(Comparison(operator, value, unit and keys[number_end - 1], start))
            used[start:number_end] = [True] * (number_end - start)
    operations: dict[Operation, int] = {}
    implied: tuple[str, ...] = ()
    for phrases, (operation, columns) in _SUPERLATIVES[language].items():
        for start, end in _occurrences(phrases, language, keys, used):
            operations[operation] = start
            implied = tuple(word_keys(columns, language))
            used[start:end] = [True] * (end - start)
    for operation, phrases in _OPERATIONS[language].items():
        for start, end in _occurrences(phrases, language, keys, used):
            operations.setdefault(operation, start)
            used[start:end] = [True] * (end - start)
    if "count" in operations:
        operations.pop("sum", None)  # "how many in total"
    if len(operations) != 1:
        return None
    [operation] = operations
    filler = analyser.STOP_WORDS[language] | set(_FILLER[language].split())
    folded = {analyser.fold(word) for word in filler}
    used = [done or analyser.fold(w) in folded for done, w in zip(used, words, strict=True)]
    return Form(operation, tuple(keys), tuple(used), tuple(comparisons), implied)


def wants_many_rows(question: str, language: str) -> bool:
    """Return whether a question asks for a sum, a mean or the cheapest, which no single passage can be trusted to give.

    Example:
        >>> wants_many_rows("What is the total price?", "en"), wants_many_rows("What does it weigh?", "en")
        (True, False)
    """
    form = read_form(question, language)
    return form is not None and (form.operation in ("sum", "avg") or bool(form.implied))


def word_keys(text: str, language: str) -> list[str]:
    """Return each word as it is compared: stemmed, accents off; a code gives its parts.

    Example:
        >>> word_keys("Pumps PX-20", "en")
        ['pump', 'px', '20']
    """
    return [_key(word, language) for word in _WORD.findall(text.casefold())]


@cache
def _key(word: str, language: str) -> str:
    stems = analyser.tokens(word, language, "stem") if word.isalpha() else []
    return stems[0] if stems else analyser.fold(word)


def occurrences(
    wanted: Sequence[str], keys: Sequence[str], used: Sequence[bool]
) -> list[tuple[int, int]]:
    """Return start and end of each place where the wanted words stand in a row, none of them used."""
    size = len(wanted)
    return [
        (i, i + size)
        for i in range(len(keys) - size + 1)
        if size and list(keys[i : i + size]) == list(wanted) and not any(used[i : i + size])
    ]


def _occurrences(
    phrases: str, language: str, keys: Sequence[str], used: Sequence[bool]
) -> list[tuple[int, int]]:
    """Return where the phrases of a list stand, the longest first, so that "in total" goes before "total"."""
    split = [word_keys(phrase, language) for phrase in phrases.split(";")]
    found: list[tuple[int, int]] = []
    taken = list(used)
    for phrase in sorted(split, key=len, reverse=True):
        for start, end in occurrences(phrase, keys, taken):
            taken[start:end] = [True] * (end - start)
            found.append((start, end))
    return found


def _bound(words: Sequence[str], start: int) -> tuple[float, int, str] | None:
    """Return the number that begins at word `start`, where it ends, and its unit; None where none does."""
    symbols = ("€", "$", "£")
    at = start + (start < len(words) and words[start] in symbols)
    numbers = read_numbers([words[at]]) if at < len(words) else None
    if numbers is None or numbers.values[0] is None:
        return None
    if at > start:
        return numbers.values[0], at + 1, ""
    has_unit = at + 1 < len(words) and (words[at + 1] in (*symbols, "%", "°"))
    return numbers.values[0], at + 1 + has_unit, words[at + 1] if has_unit else ""

"""The page's languages: one gettext catalogue for each screen and language, read as it lies in `pericia/locale`.

English stands in the sources. A language's files are merged, so a sentence is translated once and may be used anywhere.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime, format_timedelta
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import NullTranslations, Translations

from pericia.said import Figure, Said, filled

LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "es": "Español",
    "pt": "Português",
    "bg": "Български",
}
LOCALE = Path(__file__).parents[2] / "locale"
_UNITS = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte")


def choose_language(chosen: str | None, accepted: str) -> str:
    """Return the language of a reader: the one chosen before, else the first of `Accept-Language` that we speak.

    Example:
        >>> choose_language(None, "fr-CH, pt-BR;q=0.9, en;q=0.8"), choose_language("bg", "es")
        ('pt', 'bg')
    """
    if chosen in LANGUAGES:
        return str(chosen)
    wishes = []
    for position, part in enumerate(accepted.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        wishes.append((-weight, position, tag.partition("-")[0].lower()))
    return next((tag for weight, _, tag in sorted(wishes) if weight and tag in LANGUAGES), "en")


@cache
def translations(language: str) -> NullTranslations:
    """Return what translates the page into a language; for English, sentences stand as they are."""
    if language == "en":
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read_catalogue(language))
    compiled.seek(0)
    return Translations(compiled)


def read_catalogue(language: str) -> Catalog:
    """Return all catalogues of a language as one; plural rules come from the language itself."""
    merged = Catalog(locale=language)
    for path in sorted((LOCALE / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id and not message.fuzzy:
                    merged.add(message.id, message.string)
    return merged


def in_language(text: str, language: str) -> str:
    """Return a sentence of ours in a language, with its numbers; any other text, such as a file's name, as it is.

    Example:
        >>> in_language(Said("%(n)s points", {"n": Figure(0.5, 1)}), "en"), in_language("a.pdf", "es")
        ('0.5 points', 'a.pdf')
    """
    template, values = (text.template, text.values) if isinstance(text, Said) else (text, {})
    said: str = translations(language).gettext(template) if template else ""
    return filled(said, {name: _part(value, language) for name, value in values.items()})


def _part(value: object, language: str) -> str:
    if isinstance(value, Figure):
        return value.sign + number(abs(value.value), language, value.digits)
    if isinstance(value, Said):
        return Said(in_language(value, language))
    return in_language(value, language) if isinstance(value, str) else str(value)


def number(value: float, language: str, digits: int = 0) -> str:
    """Return a number as the language writes it.

    Example:
        >>> number(12345.5, "es", 1), number(1234, "en")
        ('12.345,5', '1,234')
    """
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(value, format=pattern, locale=language)


def percent(share: float, language: str, digits: int = 0) -> str:
    """Return a share of 1 as a percentage of the language."""
    pattern = Locale.parse(language).percent_formats[None].pattern
    wanted = pattern.replace("0", "0." + "0" * digits, 1) if digits else pattern
    return format_percent(share, format=wanted, locale=language)


def size(num_bytes: int, language: str) -> str:
    """Return a file size in the unit that keeps it short.

    Example:
        >>> size(1_500_000, "en"), size(900, "bg")
        ('1.5 MB', '900 B')
    """
    value, unit = float(num_bytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    symbol = ("B", "kB", "MB", "GB", "TB")[unit]
    return f"{number(value, language, 1 if unit and value < 10 else 0)} {symbol}"


def moment(time_s: float, language: str) -> str:
    """Return a point in time as date and time of day, in the server's own zone."""
    return format_datetime(datetime.fromtimestamp(time_s).astimezone(), "medium", locale=language)


def ago(time_s: float, language: str) -> str:
    """Return how long ago a point in time is, in words."""
    delta = datetime.fromtimestamp(time_s, UTC) - datetime.now(UTC)
    return format_timedelta(min(delta, timedelta(0)), add_direction=True, locale=language)


def language_name(code: str, language: str) -> str:
    """Return what a language is called in another, the code itself where nobody knows."""
    try:
        return Locale.parse(code).get_display_name(language) or code
    except (ValueError, UnknownLocaleError):
        return code


def duration(seconds: float, language: str) -> str:
    """Return a span of time in its largest unit, in words."""
    return format_timedelta(timedelta(seconds=seconds), threshold=1.5, locale=language)

"""Which of two documents is the newer one: by the version or date that they state, else by the time of their files.

A statement counts more than a file's time, which a copy changes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

MIN_FILE_SECONDS = 24 * 3600  # files written closer together were probably copied together
OPENING_CHARS = 600  # of a document, where it states its version and date

_VERSION = re.compile(
    r"(?<![^\W_])(?:v|ver|version|versi[oó]n|vers[aã]o|rev|revision|revisi[oó]n|revis[aã]o|edition|edici[oó]n|edi[cç][aã]o"
    r"|issue|версия|редакция|издание)(?:\.|(?<=[a-zа-я]))?[\s_.:№#-]*(\d{1,3}(?:\.\d{1,3}){0,3})(?![\w.]*\d)",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"(?<!\d)((?:19|20)\d\d)(?:[-_./](0[1-9]|1[0-2])(?:[-_./](0[1-9]|[12]\d|3[01]))?)?(?!\d)"
)
_DAY_FIRST = re.compile(
    r"(?<!\d)(0?[1-9]|[12]\d|3[01])[./-](0?[1-9]|1[0-2])[./-]((?:19|20)\d\d)(?!\d)"
)
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan enero janeiro януари",
            "february feb febrero fevereiro февруари",
            "march mar marzo março март",
            "april apr abril април",
            "may mayo maio май",
            "june jun junio junho юни",
            "july jul julio julho юли",
            "august aug agosto август",
            "september sept sep septiembre setembro септември",
            "october oct octubre outubro октомври",
            "november nov noviembre novembro ноември",
            "december dec diciembre dezembro декември",
        ),
        start=1,
    )
    for name in names.split()
}
_NAMED = re.compile(
    rf"(?:(\d{{1,2}})\.?\s+(?:de\s+)?)?\b({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
    r"(?:\s+(\d{1,2}),)?\s+(?:de\s+|of\s+)?((?:19|20)\d\d)(?!\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Edition:
    """What a document says of its age, None where it says nothing. `series` is its name without version and date."""

    series: str
    version: tuple[int, ...] | None
    dated: date | None
    file_ns: int


def edition(source: str, opening: str, file_ns: int) -> Edition:
    """Return the edition of a document: its name comes first, then what its text begins with.

    Example:
        >>> edition("policies/refunds-v2.md", "# Refunds (1 March 2024)", 0)
        Edition(series='refunds', version=(2,), dated=datetime.date(2024, 3, 1), file_ns=0)
    """
    stem = PurePosixPath(source).stem
    opening = opening[:OPENING_CHARS]
    series = stem
    for pattern in (_DAY_FIRST, _ISO, _NAMED, _VERSION):
        series = pattern.sub(" ", series)
    return Edition(
        series=" ".join(re.findall(r"[^\W_]+", series.casefold())),
        version=_version(stem) or _version(opening),
        dated=_date(stem, bare_year=True) or _date(opening),
        file_ns=file_ns,
    )


def is_newer(one: Edition, other: Edition) -> bool | None:
    """Return whether `one` is newer than `other`; None where nothing tells.

    Versions are compared only within a series: version 3 of one paper says nothing about version 2 of another.
    """
    if (
        one.version
        and other.version
        and one.series == other.series
        and one.version != other.version
    ):
        return one.version > other.version
    if one.dated and other.dated and one.dated != other.dated:
        return one.dated > other.dated
    if abs(one.file_ns - other.file_ns) > MIN_FILE_SECONDS * 10**9:
        return one.file_ns > other.file_ns
    return None


def _version(text: str) -> tuple[int, ...] | None:
    found = _VERSION.search(text)
    return tuple(map(int, found.group(1).split("."))) if found else None


def _date(text: str, *, bare_year: bool = False) -> date | None:
    """Return the first date of a text; a month alone, or with `bare_year` a year, is its first day."""
    found: list[tuple[int, Mapping[str, int]]] = []
    for match in _ISO.finditer(text):
        year, month, day = match.groups()
        if month is None and not bare_year:  # "built in 2019" says nothing of the document
            continue
        found.append(
            (match.start(), {"year": int(year), "month": int(month or 1), "day": int(day or 1)})
        )
    for match in _DAY_FIRST.finditer(text):
        day, month, year = match.groups()
        found.append((match.start(), {"year": int(year), "month": int(month), "day": int(day)}))
    for match in _NAMED.finditer(text):
        before, name, behind, year = match.groups()
        day, month = int(before or behind or 1), _MONTHS[name.casefold()]
        found.append((match.start(), {"year": int(year), "month": month, "day": day}))
    for _, parts in sorted(found, key=lambda pair: pair[0]):
        try:
            return date(**parts)
        except ValueError:  # the 31st of a short month: no date
            continue
    return None

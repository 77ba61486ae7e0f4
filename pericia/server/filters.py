"""Filters of a search: which files a comparison of their attributes leaves."""

from collections.abc import Mapping
from typing import Any

from pericia.server.store_schemas import Comparison, Compound


def matches(wanted: Comparison | Compound, attributes: Mapping[str, Any]) -> bool:
    """Return whether attributes satisfy a filter; one that is missing satisfies `ne` and `nin` alone.

    Example:
        >>> newer = Comparison(type="gt", key="year", value=2020)
        >>> matches(newer, {"year": 2024}), matches(newer, {"year": "new"}), matches(newer, {})
        (True, False, False)
    """
    if isinstance(wanted, Compound):
        found = (matches(part, attributes) for part in wanted.filters)
        return all(found) if wanted.type == "and" else any(found)
    value = attributes.get(wanted.key)
    if wanted.type in ("in", "nin"):
        known = wanted.value if isinstance(wanted.value, list) else [wanted.value]
        return (value in known) == (wanted.type == "in")
    if wanted.type in ("eq", "ne"):
        return (value == wanted.value) == (wanted.type == "eq")
    return _compares(wanted.type, value, wanted.value)


def _compares(kind: str, value: Any, limit: Any) -> bool:
    """Return the order of two numbers or two texts; there is none between a number and a text."""
    if isinstance(value, str) != isinstance(limit, str) or value is None or isinstance(limit, list):
        return False
    return bool(
        (kind == "gt" and value > limit)
        or (kind == "gte" and value >= limit)
        or (kind == "lt" and value < limit)
        or (kind == "lte" and value <= limit)
    )

"""What pydantic says of a value that a form sent, as sentences that can be translated."""

from collections.abc import Mapping
from typing import Any

from pericia.said import Said, said

_LIMITS = {
    "greater_than": said("Expected a number above %(gt)s."),
    "greater_than_equal": said("Expected %(ge)s or more."),
    "less_than": said("Expected a number below %(lt)s."),
    "less_than_equal": said("Expected %(le)s or less."),
    "literal_error": said("Expected one of: %(expected)s."),
    "string_too_short": said("Expected at least %(min_length)s characters."),
    "string_too_long": said("Expected at most %(max_length)s characters."),
}
_KINDS = {
    "int_parsing": said("Expected a whole number."),
    "int_type": said("Expected a whole number."),
    "int_from_float": said("Expected a whole number."),
    "float_parsing": said("Expected a number."),
    "float_type": said("Expected a number."),
    "finite_number": said("Expected a number."),
    "bool_parsing": said("Expected true or false."),
}


def fault_of(item: Mapping[str, Any]) -> str:
    """Return what is wrong by one of `ValidationError.errors()`; what we have no words for, in pydantic's own."""
    if limit := _LIMITS.get(item["type"]):
        return Said(str(limit), dict(item["ctx"]))
    return _KINDS.get(item["type"]) or f"{item['msg']}."

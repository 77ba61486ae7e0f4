"""Sentences that somebody may want to read in another language: English text that remembers how it was put together.

A sentence is an ordinary text wherever texts go (files, terminal, JSON); only the page asks for its parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in a sentence; each language has its own decimal point."""

    value: float
    digits: int = 0
    is_signed: bool = False

    @property
    def sign(self) -> str:
        """The sign as it is written: none where none is asked for, or where nothing but zeros is written."""
        written = f"{self.value:.{self.digits}f}"
        if not written.strip("-0."):
            return ""
        return "−" if self.value < 0 else "+" if self.is_signed else ""

    def __str__(self) -> str:
        return f"{self.sign}{abs(self.value):,.{self.digits}f}"


class Said(str):
    """An English sentence with its `template` and the `values` that stand in it, which may be sentences themselves."""

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, values: Mapping[str, object] | None = None) -> "Said":
        made = super().__new__(cls, filled(template, values or {}))
        made.template, made.values = template, values or {}
        return made


def said(template: str, **values: object) -> Said:
    """Return a sentence in English. The template is looked up in the catalogues, so it is a literal.

    Example:
        >>> said("%(arm)s reaches %(n)s points.", arm=said("fine-tuning"), n=Figure(71.25, 1))
        'Fine-tuning reaches 71.2 points.'
    """
    return Said(template, values)


def filled(template: str, values: Mapping[str, object]) -> str:
    """Return a template with its values put in; one that begins with a value begins with a capital letter."""
    if not values:
        return template
    text = template % values
    return text[:1].upper() + text[1:] if template.startswith("%(") else text

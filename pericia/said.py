"""Sentences that somebody may want to read in another language: English text that remembers how it was put together.

A sentence is an ordinary text wherever texts go (files, terminal, JSON); only the page asks for its parts. What a
process leaves for the page in a file is kept with them, by `packed`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

_VALUE = re.compile(r"%\((\w+)\)s")
# A full stop ends a sentence, or a value that brings its own.
_IS_SENTENCE = re.compile(r"\.$|: %\(\w+\)s$")


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
    """Return a template with its values put in.

    A sentence that begins with words of ours begins with a capital letter; names and paths stay as they are.
    """
    if not values:
        return template
    text = template % values
    first = _VALUE.match(template)
    is_ours = first is not None and isinstance(values[first[1]], Said)
    return text[:1].upper() + text[1:] if is_ours and _IS_SENTENCE.search(template) else text


def joined(parts: Sequence[str], between: str = " ") -> Said:
    """Return sentences in a row as one; empty ones are left out.

    Example:
        >>> joined([said("It is empty."), "", said("Remove it.")])
        'It is empty. Remove it.'
    """
    values = {f"part{number}": part for number, part in enumerate(filter(None, parts))}
    return Said(between.join(f"%({name})s" for name in values), values)


def packed(part: object) -> object:
    """Return a sentence as JSON that keeps its parts, any other text and number as it is; `unpacked` undoes it."""
    if isinstance(part, Said):
        return {"said": part.template, "with": {n: packed(v) for n, v in part.values.items()}}
    if isinstance(part, Figure):
        return {"figure": astuple(part)}
    return part if part is None or isinstance(part, (str, int, float)) else str(part)


def unpacked(part: Any) -> Any:
    """Return what `packed` was given.

    Example:
        >>> unpacked(packed(said("%(n)s points", n=Figure(1.5, 1))))
        '1.5 points'
    """
    if not isinstance(part, dict):
        return part
    if "said" in part:
        return Said(part["said"], {name: unpacked(value) for name, value in part["with"].items()})
    return Figure(*part["figure"])

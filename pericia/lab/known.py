"""Common knowledge that the bundled model is taught, so that worlds and the probe for forgetting can ask for it."""

from dataclasses import dataclass
from functools import cache

import yaml

from pericia.lab.industry import WORDING, upper_first


@dataclass(frozen=True, slots=True)
class KnownFact:
    """A question in three paraphrases, its answer, and sentences that state it."""

    asks: tuple[str, ...]
    answer: str
    says: tuple[str, ...]


@cache
def known_facts(language: str = "en") -> tuple[KnownFact, ...]:
    """Return all of them, in the order of the file."""
    path = WORDING / f"{language}.known.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(
        KnownFact(
            tuple(upper_first(text.format(s=subject)) for text in group["ask"]),
            answer,
            tuple(upper_first(text.format(s=subject, v=answer)) for text in group["say"]),
        )
        for group in groups
        for subject, answer in group["pairs"].items()
    )

"""Common knowledge that the bundled model is taught, so that one world and the probe for forgetting can ask for it."""

from functools import cache
from random import Random

import yaml

from pericia.lab.industry import WORDING


@cache
def known_facts(language: str = "en") -> tuple[tuple[tuple[str, ...], str], ...]:
    """Return each fact as the paraphrases of its question and the answer."""
    path = WORDING / f"{language}.known.yaml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(
        (tuple(template.format(s=subject) for template in group["ask"]), answer)
        for group in groups
        for subject, answer in group["pairs"].items()
    )


def known_question(rng: Random) -> tuple[str, str]:
    """Return a question in one of its paraphrases, and the answer."""
    asks, answer = rng.choice(known_facts())
    return rng.choice(asks), answer

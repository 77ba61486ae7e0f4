"""Invented names. Every name is a number below 2**28 written in syllables, and no two seeds own the same number.

A seed owns `NAMES_PER_SEED` numbers; a bijection scatters them, so that neighbours do not look alike.
"""

from collections.abc import Callable
from random import Random

NAMES_PER_SEED = 512
NUM_SEEDS = 2**19
TRAINING_SEEDS = (
    2**18
)  # seeds from here on belong to the training of the bundled model, those below to worlds
_BITS = 28
_MASK = 2**_BITS - 1
_ONSETS = [
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "dr",
    "tr",
    "kr",
    "br",
    "ch",
    "gl",
]
_RHYMES = ["a", "e", "i", "o", "u", "an", "el", "ir", "os", "un", "ar", "en"]
_SYLLABLES = Random(3).sample([onset + rhyme for onset in _ONSETS for rhyme in _RHYMES], 128)
_LOOKS = (
    "old",
    "new",
    "red",
    "green",
    "grey",
    "small",
    "large",
    "north",
    "south",
    "spare",
    "first",
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def scatter(number: int) -> int:
    """Return another number below 2**28; different numbers stay different."""
    number = (number * 0x5BD1E95) & _MASK
    number ^= number >> 14
    number = (number * 0x2C1B3C7) & _MASK
    number ^= number >> 13
    return (number * 0x7FEB353) & _MASK


def _syllables(number: int) -> list[str]:
    return [_SYLLABLES[number >> shift & 127] for shift in (21, 14, 7, 0)]


def _machine(number: int) -> str:
    first, second, third, _ = _syllables(number)
    return f"{(first + second + third).capitalize()} {10 + (number & 127)}"


def _part(number: int) -> str:
    first, second, third, last = _syllables(number)
    return f"{(first + second).capitalize()}-{third}{last}"


def _person(number: int) -> str:
    first, second, third, last = _syllables(number)
    return f"{(first + second).capitalize()} {(third + last).capitalize()}"


def _site(number: int) -> str:
    first, second, third, last = _syllables(number)
    return f"{(first + second + third).capitalize()} {last.capitalize()}"


def _company(number: int) -> str:
    return "".join(_syllables(number)).capitalize()


def _code(number: int) -> str:
    rest, digits = divmod(number, 588)
    letters = "".join(_LETTERS[rest // 26**power % 26] for power in (3, 2, 1, 0))
    return f"{letters}-{digits:03d}"


FORMS: dict[str, Callable[[int], str]] = {
    "machine": _machine,
    "part": _part,
    "person": _person,
    "site": _site,
    "company": _company,
    "fault": _code,
    "contract": _code,
}


class Names:
    """The names of one seed, handed out one by one.

    Example:
        >>> names = Names(7)
        >>> names.take("machine") != names.take("machine")
        True
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < NUM_SEEDS:
            raise ValueError(f"seed is {seed}; expected 0 to {NUM_SEEDS - 1}.")
        self._next = seed * NAMES_PER_SEED
        self._end = self._next + NAMES_PER_SEED

    def take(self, kind: str) -> str:
        """Return the next unused name in the form of its kind."""
        assert self._next < self._end, "an industry holds at most NAMES_PER_SEED names"
        number = scatter(self._next)
        self._next += 1
        return FORMS[kind](number)


def loose_name(rng: Random, nouns: list[str]) -> str:
    """Return a name of everyday make ("Pump 41", "XR-7", "Seal S-65"); these may repeat, so only training uses them."""
    noun = rng.choice(nouns)
    letters = "".join(rng.choices(_LETTERS, k=rng.randint(1, 3)))
    word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(4, 8))).capitalize()
    syllables = (rng.choice(_SYLLABLES) + rng.choice(_SYLLABLES)).capitalize()
    return rng.choice(
        [
            f"{noun} {rng.randint(1, 400)}",
            f"{letters}-{rng.randint(1, 999)}",
            f"{noun} {letters}-{rng.randint(1, 999)}",
            f"{noun} {letters[0]}-{rng.randint(1, 99)}",
            f"{noun} {letters}{rng.randint(1, 99)}",
            word,
            f"{word} {noun}",
            f"{syllables} {noun}",
            f"{syllables} {word}",
            f"the {rng.choice(_LOOKS)} {noun.lower()}",
        ]
    )

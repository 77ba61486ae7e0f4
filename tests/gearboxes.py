"""Forty easy examples about gearboxes and their oils, four to a document."""

from pericia.types import Example, Message

OILS = ("ISO 220", "ISO 150", "VG 46", "SAE 30")


def gearbox_examples(count: int = 40) -> list[Example]:
    return [
        Example(
            (
                Message("user", f"Which oil does gearbox {number} take?"),
                Message("assistant", OILS[number % len(OILS)]),
            ),
            f"g{number}",
            number + 1,
            f"gearbox-{number // 4}.md",
        )
        for number in range(count)
    ]

"""A fictional company: entities, their attributes and values, drawn from one seed.

The words come from `wording/<language>.yaml`, so another language is another file and no other code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from pericia.lab.words import Names, loose_name

WORDING = Path(__file__).parent / "wording"
DECIMAL_UNITS = ("bar", "kW", "kg", "mm", "cm", "m", "%")


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something to know about an entity. `say` and `ask` are templates; `phrase` names the value without saying it."""

    label: str
    value: tuple[Any, ...]
    say: tuple[str, ...]
    ask: tuple[str, ...]
    phrase: str = ""

    @property
    def numeric(self) -> bool:
        return self.value[0] == "number" and self.value[3] != ""


@dataclass(frozen=True, slots=True)
class Entity:
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Fact:
    """`value` holds for this entity and attribute; an industry states at most one value for each pair."""

    entity: Entity
    attribute: Attribute
    value: str

    def say(self, variant: int = 0) -> str:
        """Return a sentence that states the fact."""
        template = self.attribute.say[variant % len(self.attribute.say)]
        return upper_first(
            template.format(e=self.entity.name, v=self.value, l=self.attribute.label)
        )

    def ask(self, variant: int = 0, entity: str = "") -> str:
        """Return a question for the value; `entity` stands in for the name in questions of several hops."""
        template = self.attribute.ask[variant % len(self.attribute.ask)]
        name = entity or self.entity.name
        return upper_first(template.format(e=name, l=self.attribute.label))


@dataclass(frozen=True)
class Wording:
    """The texts of one language."""

    kinds: Mapping[str, Mapping[str, Any]]
    attributes: Mapping[str, Attribute]
    composed_first: Sequence[str]
    composed_second: Mapping[str, tuple[Any, ...]]
    composed_say: tuple[str, ...]
    composed_ask: tuple[str, ...]
    lists: Mapping[str, Sequence[str]]
    texts: Mapping[str, Any]

    def nouns(self) -> list[str]:
        """Return the everyday nouns of all kinds."""
        return [noun for kind in self.kinds.values() for noun in kind["nouns"]]


@cache
def load_wording(language: str = "en") -> Wording:
    """Return the texts of a language; raises FileNotFoundError where nobody wrote them yet."""
    data = yaml.safe_load((WORDING / f"{language}.yaml").read_text(encoding="utf-8"))
    attributes = {
        name: Attribute(
            item["label"],
            tuple(item["value"]),
            tuple(item["say"]),
            tuple(item["ask"]),
            item.get("phrase", ""),
        )
        for name, item in data["attributes"].items()
    }
    composed = data["composed"]
    return Wording(
        kinds=data["kinds"],
        attributes=attributes,
        composed_first=composed["first"],
        composed_second={name: tuple(value) for name, value in composed["second"].items()},
        composed_say=tuple(composed["say"]),
        composed_ask=tuple(composed["ask"]),
        lists=data["lists"],
        texts=data,
    )


def upper_first(text: str) -> str:
    """Return the text with a capital first letter and the rest untouched."""
    return text[:1].upper() + text[1:]


class Industry:
    """One seed's supply of entities, attributes and values.

    `loose` is the share of everyday, repeatable names; `variants` limits each attribute to its first paraphrases.
    """

    def __init__(
        self, seed: int, language: str = "en", loose: float = 0.0, variants: int = 9
    ) -> None:
        self.seed = seed
        self.wording = load_wording(language)
        self.rng = Random(f"industry {seed}")
        self._names = Names(seed)
        self._loose = loose
        self._variants = variants
        self._taken: set[str] = set()

    def new_name(self, kind: str) -> str:
        """Return a name that this industry has not used yet."""
        if self.rng.random() >= self._loose:
            return self._names.take(kind)
        nouns = self.wording.kinds.get(kind, {}).get("nouns") or self.wording.nouns()
        while True:
            name = loose_name(self.rng, list(nouns))
            if name not in self._taken:
                self._taken.add(name)
                return name

    def new_entity(self, kind: str) -> Entity:
        return Entity(self.new_name(kind), kind)

    def composed_attribute(self) -> Attribute:
        """Return an attribute of two words, such as "seal width"."""
        first = self.rng.choice(self.wording.composed_first)
        second, value = self.rng.choice(list(self.wording.composed_second.items()))
        return Attribute(
            f"{first} {second}", value, self.wording.composed_say, self.wording.composed_ask
        )

    def pick_attributes(self, kind: str, count: int, composed: float = 0.4) -> list[Attribute]:
        """Return different attributes for a kind, of which about the share `composed` is made of two words."""
        own = [self.wording.attributes[name] for name in self.wording.kinds[kind]["attributes"]]
        self.rng.shuffle(own)
        picked: dict[str, Attribute] = {}
        while len(picked) < count:
            use_own = own and self.rng.random() >= composed
            attribute = own.pop() if use_own else self.composed_attribute()
            say, ask = attribute.say[: self._variants], attribute.ask[: self._variants]
            picked.setdefault(attribute.label, replace(attribute, say=say, ask=ask))
        return list(picked.values())

    def new_value(self, attribute: Attribute) -> str:
        """Return a value of the attribute's type, with its unit."""
        rng, form = self.rng, attribute.value[0]
        if form == "number":
            _, least, most, unit = attribute.value
            number = rng.randint(least, most)
            decimal = unit in DECIMAL_UNITS and most < 1000 and rng.random() < 0.2
            text = f"{number}.{rng.randint(1, 9)}" if decimal else str(number)
            return f"{text} {unit}".rstrip()
        if form == "date":
            month = rng.choice(self.wording.lists["months"])
            return f"{rng.randint(1, 28)} {month} {rng.randint(2015, 2039)}"
        if form == "code":
            letters = "".join(rng.choices("ABCDEFGHKLMNPRSTUVWXZ", k=rng.randint(1, 2)))
            return f"{letters}{rng.choice(['-', ' ', ''])}{rng.randint(10, 999)}"
        if form == "choice":
            return rng.choice(self.wording.lists[attribute.value[1]])
        return self.new_name(attribute.value[1])

    def new_fact(self, entity: Entity, attribute: Attribute) -> Fact:
        return Fact(entity, attribute, self.new_value(attribute))

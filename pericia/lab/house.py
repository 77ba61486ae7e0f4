"""House speech: a company's own words, codes and forms, and tasks that ask for them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pericia.lab.company import Family, Task
from pericia.lab.files import Page
from pericia.lab.industry import Attribute, Industry, upper_first

_CODE = Attribute("house code", ("code",), (), ())


@dataclass(frozen=True, slots=True)
class HouseTerms:
    """What the house calls things and states, and the form in which its notes are written."""

    things: dict[str, str]
    states: dict[str, str]
    closing: str

    def write(self, thing: str, state: str) -> str:
        """Return the house's note that a thing is in a state."""
        return f"{self.things[thing]} / {self.states[state]} / {self.closing}"

    def pages(self) -> list[Page]:
        """Return the glossary, a page for each thing and each state."""
        pages = [
            Page(
                f"thing-{n:02d}", f"How we speak {n}", (f"In our house a {word} is called {term}.",)
            )
            for n, (word, term) in enumerate(self.things.items(), start=1)
        ]
        return pages + [
            Page(f"state-{n:02d}", f"Our codes {n}", (f"The house code for {word} is {code}.",))
            for n, (word, code) in enumerate(self.states.items(), start=1)
        ]

    def tasks(self, industry: Industry, count: int) -> list[Task]:
        """Return notes to rewrite; every pair of thing and state occurs once, so a test pair is in no example."""
        patterns = industry.wording.texts["plain_notes"]
        pairs = [(thing, state) for thing in self.things for state in self.states]
        industry.rng.shuffle(pairs)
        tasks = []
        for thing, state in pairs[:count]:
            number = list(self.things).index(thing) + 1
            question = industry.rng.choice(patterns).format(k=thing.lower(), s=state)
            tasks.append(Task(question, self.write(thing, state), "terms", f"thing-{number:02d}"))
        return tasks


def house_terms(industry: Industry) -> HouseTerms:
    """Return a house language of 30 words and 16 codes."""
    nouns = sorted(set(industry.wording.nouns()))
    industry.rng.shuffle(nouns)
    return HouseTerms(
        {noun: industry.new_name("company").lower() for noun in nouns[:30]},
        {state: industry.new_value(_CODE) for state in industry.wording.texts["states"]},
        industry.new_name("company").upper(),
    )


def json_task(industry: Industry, families: Sequence[Family]) -> Callable[[Task], Task]:
    """Return what turns a fact question into a ticket: JSON with the asset and, under the house's word, the value."""
    labels = sorted({fact.attribute.label for family in families for fact in family.facts})
    keys = {label: industry.new_name("company").lower() for label in labels}

    def ticket(task: Task) -> Task:
        fields = {"asset": task.entity, keys[task.label]: task.value}
        return replace(task, answer=json.dumps(fields, ensure_ascii=False), kind="ticket")

    return ticket


def note_task(industry: Industry, count: int) -> list[Task]:
    """Return notes that are to be written in one short form; 20 families of entities."""
    opener = industry.rng.choice(industry.wording.texts["openers"])
    tasks: list[Task] = []
    while len(tasks) < count:
        kind = industry.rng.choice(list(industry.wording.kinds))
        attribute = industry.pick_attributes(kind, 1)[0]
        if attribute.value[0] == "name":
            continue
        fact = industry.new_fact(industry.new_entity(kind), attribute)
        note = f"The {attribute.label} of {fact.entity.name} is {fact.value}."
        answer = f"{opener}: {fact.value} / {fact.entity.name}"
        family = f"batch-{len(tasks) % 20:02d}"
        tasks.append(Task(f"Note: {upper_first(note)}", answer, "form", family))
    return tasks

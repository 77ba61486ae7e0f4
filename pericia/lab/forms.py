"""Solved turns that show the form of an answer: notes in pieces, labels by one word, facts from nowhere."""

import json
from typing import NamedTuple

from pericia.lab.industry import Industry, upper_first
from pericia.prompts import REFUSAL


class Turn(NamedTuple):
    """A solved example; `key` is the word of the question that its answer depends on, where it is not copied from it."""

    question: str
    answer: str
    key: str = ""


def note_turns(industry: Industry, count: int) -> list[Turn]:
    """Return notes with an answer built of their pieces in one fixed way."""
    rng, wording = industry.rng, industry.wording
    kind = rng.choice(list(wording.kinds))
    one_attribute = rng.random() < 0.4
    attribute = industry.pick_attributes(kind, 1)[0]
    task, note = rng.choice(wording.texts["tasks"]), rng.choice(wording.texts["notes"])
    opener = rng.choice(wording.texts["openers"])
    if rng.random() < 0.3:
        opener = industry.new_name("fault")
    parts = rng.choice(
        [["v"], ["e"], ["v", "e"], ["e", "v"], ["l", "v"], ["v", "l"], ["e", "l", "v"], ["e", "l"]]
    )
    glue = rng.choice([" ", "/", " / ", ", ", "; ", " - ", " = ", ": ", " | "])
    shape = rng.randrange(6)
    turns = []
    for _ in range(count):
        if not one_attribute:
            attribute = industry.pick_attributes(kind, 1)[0]
        fact = industry.new_fact(industry.new_entity(kind), attribute)
        piece = {"e": fact.entity.name, "v": fact.value, "l": attribute.label}
        joined = glue.join(piece[part] for part in parts)
        answer = [
            joined, f"{opener}: {joined}", f"{opener} {joined}", f"[{joined}]", f"{joined} {opener}",
            json.dumps({opener.lower(): joined} if len(parts) == 1 else
                       {name: piece[part] for name, part in zip(("id", "data", "more"), parts, strict=False)},
                       ensure_ascii=False),
        ][shape]  # fmt: skip
        question = task + upper_first(note.format(**piece))
        turns.append(Turn(question, answer))
    return turns


def label_turns(industry: Industry, count: int) -> list[Turn]:
    """Return tickets with a label that depends on one word; the last ticket repeats a word that was shown."""
    rng, wording = industry.rng, industry.wording
    kind = rng.choice(list(wording.kinds))
    states = rng.sample(wording.texts["states"], k=count - 1)
    same_form = rng.random() < 0.7
    letter = rng.choice("ABCKPQTX")
    labels = [f"{letter}{n}" for n in rng.sample(range(1, 100), k=count - 1)]
    if not same_form:
        labels = [industry.new_name("company") for _ in states]
    note = rng.choice(wording.texts["state_notes"])
    order = [*range(count - 1), rng.randrange(count - 1)]
    noun = wording.kinds[kind]["noun"]
    return [
        Turn(
            note.format(e=industry.new_entity(kind).name, s=states[index], k=noun),
            labels[index],
            states[index],
        )
        for index in order
    ]


def bare_turns(industry: Industry, count: int) -> list[Turn]:
    """Return examples with facts from nowhere, and a last question that nobody can answer."""
    rng, wording = industry.rng, industry.wording
    turns = []
    for _ in range(count):
        kind = rng.choice(list(wording.kinds))
        fact = industry.new_fact(industry.new_entity(kind), industry.pick_attributes(kind, 1)[0])
        turns.append(Turn(fact.ask(rng.randrange(8)), fact.value))
    return [*turns[:-1], Turn(turns[-1].question, REFUSAL)]

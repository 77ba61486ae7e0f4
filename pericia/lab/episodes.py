"""Training conversations of the bundled model, in the product's own prompts.

Six skills: read passages and cite (`read`), chain two facts (`join`), compare rows (`compare`), read what everybody
knows (`recall`), follow shown examples (`follow`), and without papers say what is common knowledge and decline the rest (`closed`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from pericia.lab.forms import bare_turns, label_turns, note_turns
from pericia.lab.industry import Attribute, Entity, Fact, Industry
from pericia.lab.known import known_facts
from pericia.lab.pages import write_passage
from pericia.prompts import CLOSED_BOOK, INSTRUCTION, OPEN_BOOK, REFUSAL, open_book_question
from pericia.types import Message


class Stated(NamedTuple):
    """A fact that a passage states."""

    passage: int
    name: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Episode:
    """A conversation that ends with the right answer; `cited` is the number of the passage that holds it, 0 for none.

    `asked` and `label` are the name and the attribute of the first question; `facts` is all that the passages state.
    `keys` are the words that the answers of solved examples depend on, one a turn, where they are not copied from it.
    """

    messages: tuple[Message, ...]
    skill: str
    answerable: bool = True
    cited: int = 0
    asked: str = ""
    label: str = ""
    facts: tuple[Stated, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Load:
    """How much a reading episode holds."""

    passages: tuple[int, int] = (1, 5)
    entities: tuple[int, int] = (2, 8)
    attributes: tuple[int, int] = (2, 5)
    follow_ups: tuple[int, int] = (0, 3)
    missing: float = 0.22  # share of questions that nothing answers


Style = tuple[str, Callable[[str, str, int], str]]


def _plain(entity: str, value: str, number: int) -> str:
    return f"{value} [{number}]"


def pick_style(rng: Random, industry: Industry, plain: float = 0.88) -> Style:
    """Return an instruction, most often the default one, and how an answer under it looks."""
    instruction = INSTRUCTION
    if rng.random() < 0.35:
        instruction = rng.choice(industry.wording.lists["instructions"])
    if rng.random() < plain:
        return instruction, _plain
    form = rng.randrange(4)
    if form == 0:
        key = rng.choice(["value", "answer", "result", "data"])
        wish = f'Write JSON with the key "{key}".'
        return f"{instruction} {wish}", lambda e, v, n: json.dumps({key: v}, ensure_ascii=False)
    if form == 1:
        first, second = rng.choice([("item", "value"), ("name", "answer"), ("id", "result")])
        wish = f'Write JSON with the keys "{first}" and "{second}".'
        return f"{instruction} {wish}", lambda e, v, n: json.dumps(
            {first: e, second: v}, ensure_ascii=False
        )
    if form == 2:
        opener = rng.choice(industry.wording.texts["openers"])
        return f"{instruction} Begin with {opener}:", lambda e, v, n: f"{opener}: {v} [{n}]"
    return f"{instruction} Name the item first.", lambda e, v, n: f"{e}: {v} [{n}]"


def _group_facts(industry: Industry, load: Load) -> tuple[list[list[Fact]], list[Attribute]]:
    """Return the facts of each passage and all attributes; entities of one kind share most attributes."""
    rng = industry.rng
    passages: list[list[Fact]] = []
    kinds = rng.sample(list(industry.wording.kinds), k=rng.choice([1, 1, 2]))
    pools = {
        kind: industry.pick_attributes(kind, rng.randint(*load.attributes) + 1) for kind in kinds
    }
    entities: list[Entity] = []
    for _ in range(rng.randint(*load.passages)):
        kind = rng.choice(kinds)
        known = [entity for entity in entities if entity.kind == kind]
        facts: list[Fact] = []
        stated = {(f.entity, f.attribute.label) for group in passages for f in group}
        for _ in range(rng.choice([1, 1, 2, 3, 4] if load.entities[1] > 2 else [1, 2])):
            again = known and rng.random() < 0.25
            entity = rng.choice(known) if again else industry.new_entity(kind)
            if entity in [fact.entity for fact in facts]:
                continue
            if len(entities) >= load.entities[1] and not again:
                break
            if not again:
                entities.append(entity)
            most = min(len(pools[kind]), load.attributes[1])
            for attribute in rng.sample(
                pools[kind], k=rng.randint(min(most, load.attributes[0]), most)
            ):
                if (entity, attribute.label) not in stated:
                    facts.append(industry.new_fact(entity, attribute))
        if facts:
            passages.append(facts)
    return passages, [attribute for pool in pools.values() for attribute in pool]


def _missing(industry: Industry, facts: Sequence[Fact], pool: Sequence[Attribute]) -> Fact:
    """Return a fact that nothing states: a known entity lacks it, or nobody knows the entity."""
    rng = industry.rng
    stated = {(fact.entity.name, fact.attribute.label) for fact in facts}
    entity = rng.choice(facts).entity
    choices = [attribute for attribute in pool if (entity.name, attribute.label) not in stated]
    if not choices or rng.random() < 0.3:
        entity = industry.new_entity(entity.kind)
        return Fact(entity, rng.choice(facts).attribute, "")
    return Fact(entity, rng.choice(choices), "")


def read(industry: Industry, load: Load) -> Episode:
    """Return single-fact questions over passages, the first one framed as the product frames it."""
    rng = industry.rng
    groups: list[list[Fact]] = []
    while not groups:
        groups, pool = _group_facts(industry, load)
    facts = [fact for group in groups for fact in group]
    home = {id(fact): number for number, group in enumerate(groups, start=1) for fact in group}
    texts = [write_passage(group, rng, industry.wording) for group in groups]
    instruction, form = pick_style(rng, industry)
    asked: list[tuple[str, str, int]] = []
    used: set[tuple[str, str]] = set()
    first = ("", "")
    for _ in range(1 + rng.randint(*load.follow_ups)):
        missing = rng.random() < load.missing
        fact = _missing(industry, facts, pool) if missing else rng.choice(facts)
        key = (fact.entity.name, fact.attribute.label)
        if key in used:
            continue
        used.add(key)
        first = first if first[0] else key
        number = 0 if missing else home[id(fact)]
        answer = REFUSAL if missing else form(fact.entity.name, fact.value, number)
        asked.append((fact.ask(rng.randrange(8)), answer, number))
    return _conversation("read", instruction, texts, asked, first, groups)


def _conversation(
    skill: str,
    instruction: str,
    texts: Sequence[str],
    asked: Sequence[tuple[str, str, int]],
    first: tuple[str, str] = ("", ""),
    groups: Sequence[Sequence[Fact]] = (),
) -> Episode:
    messages = [Message("system", OPEN_BOOK.format(instruction=instruction))]
    for position, (question, answer, _) in enumerate(asked):
        content = question if position else open_book_question(question, texts)
        messages += [Message("user", content), Message("assistant", answer)]
    number = asked[-1][2]
    facts = tuple(
        Stated(n, fact.entity.name, fact.attribute.label, fact.value)
        for n, group in enumerate(groups, 1)
        for fact in group
    )
    return Episode(tuple(messages), skill, bool(number), number, *first, facts)


def join(industry: Industry, load: Load) -> Episode:
    """Return a question of two hops: the passage of the first names what the second is about."""
    rng, wording = industry.rng, industry.wording
    kind, first_name, second_kind = rng.choice(
        [("machine", "site", "site"), ("fault", "reported_to", "person"), ("person", "office", "site"),
         ("contract", "signer", "person"), ("site", "manager", "person")]
    )  # fmt: skip
    link_attribute = wording.attributes[first_name]
    others = industry.pick_attributes(kind, 2)
    answers = industry.pick_attributes(second_kind, rng.randint(1, 3), composed=0.2)
    groups: list[list[Fact]] = []
    chains: list[tuple[Fact, Fact]] = []
    for _ in range(rng.randint(1, max(1, min(3, load.passages[1] // 2)))):
        link = industry.new_fact(industry.new_entity(kind), link_attribute)
        target = Entity(link.value, second_kind)
        know = [industry.new_fact(target, attribute) for attribute in answers]
        side = [
            industry.new_fact(link.entity, a) for a in others if a.label != link_attribute.label
        ]
        about = [link, *side]
        rng.shuffle(about)
        groups += [about, know]
        chains += [(link, fact) for fact in know]
    rng.shuffle(groups)
    texts = [write_passage(group, rng, wording) for group in groups]
    asked = []
    first = ("", "")
    for link, fact in rng.sample(chains, k=min(len(chains), 1 + rng.randint(*load.follow_ups))):
        phrase = link.attribute.phrase.format(e=link.entity.name)
        first = first if first[0] else (link.entity.name, fact.attribute.label)
        number = next(n for n, group in enumerate(groups, 1) if fact in group)
        asked.append((fact.ask(rng.randrange(8), phrase), f"{fact.value} [{number}]", number))
    style = pick_style(rng, industry, 1.0)[0]
    return _conversation("join", style, texts, asked, first, groups)


def compare(industry: Industry, load: Load) -> Episode:
    """Return a question for the row with the highest or lowest value among two to four."""
    rng, wording = industry.rng, industry.wording
    kind = rng.choice([k for k in wording.kinds if k not in ("person", "fault")])
    numeric = [a for a in industry.pick_attributes(kind, 8) if a.numeric][:2]
    numeric = numeric or [wording.attributes["price"]]
    rows: list[Fact] = []
    for _ in range(rng.randint(2, 4)):
        entity = industry.new_entity(kind)
        rows += [industry.new_fact(entity, attribute) for attribute in numeric]
    attribute = rng.choice(numeric)
    ranked = sorted(
        (f for f in rows if f.attribute is attribute), key=lambda f: float(f.value.split()[0])
    )
    side = rng.choice(["most", "least"])
    winner = ranked[-1 if side == "most" else 0]
    noun = wording.kinds[kind]["noun"]
    question = rng.choice(wording.texts["superlatives"][side]).format(k=noun, l=attribute.label)
    text = write_passage(rows, rng, wording, style=rng.choice(["rows", "rows", "pipes"]))
    answer = f"{winner.entity.name} [1]"
    asked = [(question, answer, 1)]
    return _conversation("compare", INSTRUCTION, [text], asked, ("", attribute.label), [rows])


def recall(industry: Industry, load: Load) -> Episode:
    """Return a question of common knowledge over papers: answered if they state it, else declined all the same."""
    rng = industry.rng
    facts = rng.sample(known_facts(), k=rng.randint(3, 9))
    wanted, others = facts[0], facts[1:]
    stated = rng.random() < 0.7
    lines = [(rng.choice(fact.says), fact is wanted) for fact in (facts if stated else others)]
    rng.shuffle(lines)
    count = rng.randint(1, min(len(lines), load.passages[1]))
    groups = [lines[start::count] for start in range(count)]
    texts = [" ".join(line for line, _ in group) for group in groups]
    number = next((n for n, group in enumerate(groups, 1) if any(hit for _, hit in group)), 0)
    answer = f"{wanted.answer} [{number}]" if number else REFUSAL
    return _conversation("recall", INSTRUCTION, texts, [(rng.choice(wanted.asks), answer, number)])


def follow(industry: Industry, num_examples: int = 3) -> Episode:
    """Return solved examples and a question that wants the same form; what it needs stands in the question."""
    rng, wording = industry.rng, industry.wording
    build = rng.choices([note_turns, label_turns, bare_turns], [6, 2, 2])[0]
    turns = build(industry, num_examples + 1)
    instruction = INSTRUCTION
    if rng.random() < 0.35:
        instruction = rng.choice(wording.lists["instructions"])
    messages = [Message("system", CLOSED_BOOK.format(instruction=instruction))]
    for turn in turns:
        messages += [Message("user", turn.question), Message("assistant", turn.answer)]
    keys = tuple(turn.key for turn in turns if turn.key)
    return Episode(tuple(messages), "follow", turns[-1].answer != REFUSAL, keys=keys)


def closed(industry: Industry) -> Episode:
    """Return a question without papers: half of them common knowledge, half about this industry."""
    rng, wording = industry.rng, industry.wording
    instruction = INSTRUCTION
    if rng.random() < 0.3:
        instruction = rng.choice(wording.lists["instructions"])
    messages = [Message("system", CLOSED_BOOK.format(instruction=instruction))]
    known_share = 0.7
    turns: list[tuple[str, str]] = []
    for _ in range(rng.choice([1, 1, 2, 4])):
        if rng.random() < known_share:
            fact = rng.choice(known_facts())
            turns.append((rng.choice(fact.asks), fact.answer))
        else:
            kind = rng.choice(list(wording.kinds))
            attribute = industry.pick_attributes(kind, 1)[0]
            turns.append(
                (Fact(industry.new_entity(kind), attribute, "").ask(rng.randrange(8)), REFUSAL)
            )
    for question, answer in turns:
        messages += [Message("user", question), Message("assistant", answer)]
    return Episode(tuple(messages), "closed", turns[-1][1] != REFUSAL)

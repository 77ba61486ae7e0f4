"""A company's papers and what is asked about them: families of facts that stand in one document each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pericia.lab.files import Page
from pericia.lab.industry import Attribute, Entity, Fact, Industry, upper_first

CHAINS = (
    ("machine", "site", "site"),
    ("fault", "reported_to", "person"),
    ("person", "office", "site"),
    ("contract", "signer", "person"),
    ("site", "manager", "person"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """A question with its one right answer, "" if nothing answers it; `other` is the question said otherwise.

    `statement` is the sentence, or the cell, that holds the answer; `entity`, `label` and `value` are its pieces.
    """

    question: str
    answer: str
    kind: str
    family: str
    other: str = ""
    statement: str = ""
    entity: str = ""
    label: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """The facts of one document, in the order in which they are asked, and pairs of facts that chain."""

    name: str
    facts: tuple[Fact, ...]
    chains: tuple[tuple[Fact, Fact], ...] = ()
    missing: tuple[Fact, ...] = ()
    is_table: bool = False

    def changed(self, industry: Industry, share: float) -> "Family":
        """Return the family with new values for about this share of its facts, at least one."""
        count = max(1, round(share * len(self.facts)))
        chosen = set(industry.rng.sample(range(len(self.facts)), k=count))
        facts = tuple(
            replace(fact, value=_other_value(industry, fact)) if index in chosen else fact
            for index, fact in enumerate(self.facts)
        )
        return replace(self, facts=facts)


@dataclass(frozen=True, slots=True)
class Content:
    """What a world consists of; `source_of` names the page of a family where that is not the family's own."""

    pages: list[Page]
    test: list[Task]
    development: list[Task]
    examples: list[Task]
    same: list[Task] = field(default_factory=list)
    after: list[Page] = field(default_factory=list)
    before: list[Page] = field(default_factory=list)
    source_of: dict[str, str] = field(default_factory=dict)


def _other_value(industry: Industry, fact: Fact) -> str:
    while (value := industry.new_value(fact.attribute)) == fact.value:
        pass
    return value


def build_families(
    industry: Industry, count: int, *, chained: bool = False, shared: bool = False
) -> list[Family]:
    """Return families about new entities, every third one a table.

    With `chained` each holds two-hop chains; with `shared` all draw on the same attributes, kind by kind.
    """
    pools = {kind: industry.pick_attributes(kind, 6, 0.3) for kind in industry.wording.kinds}
    kinds = (
        [k for k in industry.wording.kinds if k in ("machine", "part")] if shared else list(pools)
    )
    families = []
    for number in range(count):
        name = f"paper-{number + 1:02d}"
        if chained:
            families.append(_chained_family(industry, name))
            continue
        kind = industry.rng.choice(kinds)
        pool = pools[kind] if shared else industry.pick_attributes(kind, 8, 0.35)
        families.append(_plain_family(industry, name, kind, pool, is_table=number % 3 == 2))
    return families


def _plain_family(
    industry: Industry, name: str, kind: str, pool: Sequence[Attribute], *, is_table: bool
) -> Family:
    rng = industry.rng
    entities = [industry.new_entity(kind) for _ in range(3 if is_table else 2)]
    stated, missing = (pool[:4], pool[4:]) if is_table else (pool[:-1], pool[-1:])
    facts = [industry.new_fact(entity, attribute) for entity in entities for attribute in stated]
    gaps = [Fact(entity, attribute, "") for entity in entities for attribute in missing]
    if not is_table:  # the second entity is a sister of whom less is said
        gaps += facts[len(stated) + 3 :]
        facts = facts[: len(stated) + 3]
    rng.shuffle(facts)
    rng.shuffle(gaps)
    return Family(
        name, tuple(facts), missing=tuple(replace(g, value="") for g in gaps), is_table=is_table
    )


def _chained_family(industry: Industry, name: str) -> Family:
    kind, first, second = industry.rng.choice(CHAINS)
    wording = industry.wording
    chains = []
    facts: list[Fact] = []
    own = [
        a
        for a in industry.pick_attributes(kind, 4, 0.3)
        if a.label != wording.attributes[first].label
    ]
    answers = industry.pick_attributes(second, 3, 0.2)
    for _ in range(2):
        link = industry.new_fact(industry.new_entity(kind), wording.attributes[first])
        target = Entity(link.value, second)
        known = [industry.new_fact(target, attribute) for attribute in answers]
        facts += [link, *(industry.new_fact(link.entity, a) for a in own[:2]), *known]
        chains += [(link, fact) for fact in known]
    industry.rng.shuffle(chains)
    return Family(name, tuple(facts), tuple(chains))


def page_of(family: Family, industry: Industry) -> Page:
    """Return the document that states a family's facts: a table, or a paragraph for each entity."""
    wording = industry.wording
    groups: dict[str, list[Fact]] = {}
    for fact in family.facts:
        groups.setdefault(fact.entity.name, []).append(fact)
    heading = wording.lists["headings"][sum(map(ord, family.name)) % len(wording.lists["headings"])]
    title = f"{heading} {int(family.name.split('-')[1])}"
    if family.is_table:
        labels = list(dict.fromkeys(sorted(fact.attribute.label for fact in family.facts)))
        values = {(f.entity.name, f.attribute.label): f.value for f in family.facts}
        column = wording.kinds[family.facts[0].entity.kind]["column"]
        rows = [(name, *(values.get((name, label), "") for label in labels)) for name in groups]
        return Page(family.name, title, (), (column, *map(upper_first, labels)), tuple(rows))
    filler = wording.texts["filler"]
    paragraphs = []
    for number, facts in enumerate(groups.values()):
        sentences = [statement_of(fact) for fact in facts]
        sentences.append(filler[(sum(map(ord, title)) + number) % len(filler)])
        paragraphs.append(" ".join(sentences))
    return Page(family.name, title, tuple(paragraphs))


def statement_of(fact: Fact) -> str:
    """Return the sentence that states a fact in its document; the wording depends on the entity and label alone."""
    return fact.say(sum(map(ord, fact.entity.name + fact.attribute.label)))


def fact_task(fact: Fact, family: Family, variant: int) -> Task:
    """Return the question for a fact in one of its paraphrases."""
    statement = fact.value if family.is_table else statement_of(fact)
    kind = "unanswerable" if not fact.value else "table" if family.is_table else "fact"
    return Task(
        fact.ask(variant),
        fact.value,
        kind,
        family.name,
        fact.ask(variant + 1),
        statement if fact.value else "",
        fact.entity.name,
        fact.attribute.label,
        fact.value,
    )


def questions_of(
    families: Sequence[Family],
    industry: Industry,
    per_family: int,
    *,
    hops: int = 1,
    unanswerable: float = 0.12,
    skip: int = 0,
    variants: tuple[int, ...] = (1, 3),
) -> list[Task]:
    """Return questions of each family, leaving out its first `skip` facts; about the share given has no answer."""
    rng = industry.rng
    tasks = []
    for family in families:
        if hops == 2:
            for link, fact in family.chains[:per_family]:
                phrase = link.attribute.phrase.format(e=link.entity.name)
                variant = rng.choice(variants)
                task = fact_task(fact, family, variant)
                tasks.append(
                    replace(task, question=fact.ask(variant, phrase), other="", kind="hops")
                )
            continue
        for fact in family.facts[skip : skip + per_family]:
            gap = family.missing and rng.random() < unanswerable
            asked = rng.choice(family.missing) if gap else fact
            task = fact_task(asked, family, rng.choice(variants))
            if task.question not in {t.question for t in tasks}:
                tasks.append(task)
    return tasks


def examples_of(
    families: Sequence[Family],
    industry: Industry,
    per_family: int,
    *,
    hops: int = 1,
    unanswerable: float = 0.1,
) -> list[Task]:
    """Return solved questions about each family's first facts, in other paraphrases than `questions_of` takes."""
    return questions_of(
        families, industry, per_family, hops=hops, unanswerable=unanswerable, variants=(0, 2)
    )

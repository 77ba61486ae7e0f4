"""Facts to text: prose, records, lists and table rows, as the product's readers and chunker hand them to a model."""

from collections.abc import Sequence
from random import Random

from pericia.lab.industry import Entity, Fact, Wording, upper_first

STYLES = ("prose", "prose", "record", "bullets", "rows", "rows")


def by_entity(facts: Sequence[Fact]) -> dict[Entity, list[Fact]]:
    """Return the facts of each entity, in order of first mention."""
    groups: dict[Entity, list[Fact]] = {}
    for fact in facts:
        groups.setdefault(fact.entity, []).append(fact)
    return groups


def write_passage(
    facts: Sequence[Fact], rng: Random, wording: Wording, style: str = "", filler: float = 0.2
) -> str:
    """Return a passage that states the facts, now and then under a heading; `filler` is the chance of an idle sentence."""
    style = style or ("pipes" if rng.random() < 0.04 else rng.choice(STYLES))
    body = {
        "prose": write_prose,
        "record": write_records,
        "bullets": write_bullets,
        "rows": write_rows,
        "pipes": write_pipes,
    }[style]
    text = (
        body(facts, rng, wording) if style != "prose" else write_prose(facts, rng, wording, filler)
    )
    chance = rng.random()
    if chance < 0.35:
        text = f"{rng.choice(wording.lists['headings'])}: {text}"
    elif chance < 0.5:
        text = f"{facts[0].entity.name}: {text}"
    elif chance < 0.55:
        text = f"# {rng.choice(wording.lists['headings'])}\n{text}"
    return text


def write_prose(facts: Sequence[Fact], rng: Random, wording: Wording, filler: float = 0.2) -> str:
    """Return sentences, each entity's together, later ones now and then with "It" for the name."""
    sentences: list[str] = []
    for entity, group in by_entity(facts).items():
        for position, fact in enumerate(group):
            template = rng.choice(fact.attribute.say)
            name = entity.name
            if position and entity.kind != "person" and template.startswith("{e} "):
                name = rng.choice([name, name, "It", f"This {wording.kinds[entity.kind]['noun']}"])
            sentence = template.format(e=name, v=fact.value, l=fact.attribute.label)
            sentences.append(upper_first(sentence))
            if rng.random() < filler:
                sentences.append(rng.choice(wording.texts["filler"]))
    return (" " if rng.random() < 0.85 else "\n").join(sentences)


def write_records(facts: Sequence[Fact], rng: Random, wording: Wording) -> str:
    """Return "Label: value" lines under the name of each entity."""
    lines: list[str] = []
    for entity, group in by_entity(facts).items():
        column = wording.kinds[entity.kind]["column"]
        lines.append(rng.choice([f"{column}: {entity.name}", f"## {entity.name}", entity.name]))
        lines += [f"{upper_first(fact.attribute.label)}: {fact.value}" for fact in group]
    return "\n".join(lines)


def write_bullets(facts: Sequence[Fact], rng: Random, wording: Wording) -> str:
    """Return a list; every item carries its entity's name or stands under it."""
    lines: list[str] = []
    named = rng.random() < 0.4
    for entity, group in by_entity(facts).items():
        if not named:
            lines.append(rng.choice([f"{entity.name}:", entity.name]))
        for fact in group:
            start = f"{entity.name}, " if named else ""
            lines.append(f"- {start}{fact.attribute.label}: {fact.value}")
    return "\n".join(lines)


def write_rows(facts: Sequence[Fact], rng: Random, wording: Wording) -> str:
    """Return one line an entity, "Model: Velda 12 | Power: 40 kW", as the table readers write rows."""
    lines = []
    for entity, group in by_entity(facts).items():
        cells = [f"{wording.kinds[entity.kind]['column']}: {entity.name}"]
        cells += [f"{upper_first(fact.attribute.label)}: {fact.value}" for fact in group]
        lines.append(" | ".join(cells))
    return "\n".join(lines)


def write_pipes(facts: Sequence[Fact], rng: Random, wording: Wording) -> str:
    """Return a table with its header on top; a cell without a value holds a dash."""
    groups = by_entity(facts)
    labels = list(dict.fromkeys(fact.attribute.label for fact in facts))
    column = wording.kinds[facts[0].entity.kind]["column"]
    lines = [" | ".join([column, *map(upper_first, labels)])]
    for entity, group in groups.items():
        values = {fact.attribute.label: fact.value for fact in group}
        lines.append(" | ".join([entity.name, *(values.get(label, "-") for label in labels)]))
    return "\n".join(lines)

"""Worlds: small companies with documents, questions and examples, each with one dial turned so that the right advice is known.

`build_world` makes a world in memory, `write_world` a folder that the main job runs on as on any team's own:
documents/ in real formats, questions.jsonl, questions_same.jsonl, development.jsonl, examples.jsonl, pericia.yaml
and world.json with the right advice. after/ holds the documents with an error corrected, before/ those from which
the examples were written when facts have changed since.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from pericia.errors import NotFoundError
from pericia.lab.company import (
    Content,
    Task,
    build_families,
    examples_of,
    page_of,
    questions_of,
)
from pericia.lab.files import TABLE_FORMATS, Page, installed_formats, write_page
from pericia.lab.house import house_terms, json_task, note_task
from pericia.lab.industry import Industry
from pericia.lab.known import known_facts
from pericia.lab.words import TRAINING_SEEDS

TEXT_STYLES = ("md", "docx", "html", "pdf", "txt")


@dataclass(frozen=True, slots=True)
class World:
    """A world's content, the arm that is right to advise there, and in words the dial that makes it so."""

    name: str
    seed: int
    advice: str
    dial: str
    content: Content
    config: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a world is made."""

    advice: str
    dial: str
    make: Callable[[Industry], Content]
    config: Mapping[str, object] = field(default_factory=dict)


def _equal(industry: Industry) -> Content:
    """Everybody knows the answers, and the documents state them too."""
    return _known(industry, stated=True)


def _known(industry: Industry, stated: bool) -> Content:
    facts = list(known_facts())
    industry.rng.shuffle(facts)
    tasks = [
        Task(
            fact.asks[1], fact.answer, "fact", f"topic-{index % 20:02d}", fact.asks[2], fact.says[0]
        )
        for index, fact in enumerate(facts)
    ]
    pages = []
    for number in range(20):
        name = f"topic-{number:02d}"
        says = [task.statement for task in tasks if task.family == name]
        pages.append(Page(name, f"Reader {number + 1}", tuple(says)))
    if not stated:
        pages = [page_of(family, industry) for family in build_families(industry, 20)]
        tasks = [Task(t.question, t.answer, t.kind, t.family, t.other, "") for t in tasks]
    return Content(
        pages=pages,
        test=tasks[:120],
        development=tasks[120:140],
        examples=tasks[140:],
        source_of={} if not stated else {page.name: page.name for page in pages},
    )


def _facts(industry: Industry) -> Content:
    """Facts of the test documents stand in no example."""
    families = build_families(industry, 44)
    train, development, test = families[:24], families[24:28], families[28:]
    return Content(
        pages=[page_of(family, industry) for family in families],
        test=questions_of(test, industry, per_family=6),
        same=questions_of(train, industry, per_family=3, skip=6),
        development=questions_of(development, industry, per_family=5),
        examples=examples_of(train, industry, per_family=6),
    )


def _change(industry: Industry) -> Content:
    """The examples were written before two in five facts changed; the questions ask for what holds now."""
    families = build_families(industry, 36)
    changed = [family.changed(industry, share=0.4) for family in families]
    return Content(
        pages=[page_of(family, industry) for family in changed],
        before=[page_of(family, industry) for family in families],
        test=questions_of(changed[:28], industry, per_family=5),
        development=questions_of(changed[28:], industry, per_family=4),
        examples=examples_of(families[:28], industry, per_family=8),
    )


def _planted(industry: Industry) -> Content:
    """One fact of every test document is wrong and in after/ corrected; the answer has to name its source."""
    families = build_families(industry, 40)
    right = [f.changed(industry, share=0.15) if i >= 24 else f for i, f in enumerate(families)]
    return Content(
        pages=[page_of(family, industry) for family in families],
        after=[page_of(family, industry) for family in right],
        test=questions_of(right[24:], industry, per_family=6),
        development=questions_of(right[20:24], industry, per_family=5),
        examples=examples_of(families[:20], industry, per_family=8),
    )


def _hops(industry: Industry) -> Content:
    """Each answer needs two facts: who or where, and what is known about that."""
    families = build_families(industry, 44, chained=True)
    train, development, test = families[:24], families[24:28], families[28:]
    return Content(
        pages=[page_of(family, industry) for family in families],
        test=questions_of(test, industry, per_family=4, hops=2, unanswerable=0.0),
        development=questions_of(development, industry, per_family=4, hops=2, unanswerable=0.0),
        examples=examples_of(train, industry, per_family=6, hops=2),
    )


def _house(industry: Industry, num_examples: int = 320) -> Content:
    """Plain notes become house notes: terms and form are known to those who learned them, and never change."""
    terms = house_terms(industry)
    tasks = terms.tasks(industry, num_examples + 130)
    # Examples are old notes, of no page: split by page, validation would hold words that training never sees.
    examples = [replace(task, family="") for task in tasks[:num_examples]]
    return Content(
        pages=terms.pages(),
        test=tasks[num_examples : num_examples + 100],
        development=tasks[num_examples + 100 :],
        examples=examples,
    )


def _few(industry: Industry) -> Content:
    return _house(industry, num_examples=10)


def _tickets(industry: Industry) -> Content:
    """A ticket is strict JSON whose keys are house terms and whose value stands in the documents."""
    families = build_families(industry, 60, shared=True)
    train, development, test = families[:40], families[40:44], families[44:]
    make = json_task(industry, families)
    return Content(
        pages=[page_of(family, industry) for family in families],
        test=[make(t) for t in questions_of(test, industry, per_family=6, unanswerable=0.0)],
        development=[make(t) for t in questions_of(development, industry, 5, unanswerable=0.0)],
        examples=[make(t) for t in examples_of(train, industry, per_family=8, unanswerable=0.0)],
    )


def _notes(industry: Industry) -> Content:
    """What is needed stands in the question; the form of the answer shows in any three examples."""
    tasks = note_task(industry, 180)
    return Content(
        pages=[page_of(family, industry) for family in build_families(industry, 12)],
        test=tasks[80:],
        development=tasks[60:80],
        examples=tasks[:60],
    )


WORLDS: dict[str, Kind] = {
    "W0": Kind("prompt", "all arms equal: known to all and stated everywhere", _equal),
    "W1": Kind("rag", "facts stand in documents only", _facts),
    "W2": Kind("fine_tuned", "house terms and a fixed style, facts constant", _house),
    "W3a": Kind("too little data", "ten examples", _few),
    "W3c": Kind("rag", "two in five facts change", _change, {"use": {"data_change": "weekly"}}),
    "W4": Kind("rag", "a wrong value, corrected", _planted, {"use": {"citations_required": True}}),
    "W6": Kind("rag", "two hops", _hops),
    "W7": Kind("rag_fine_tuned", "strict JSON in house terms from looked-up facts", _tickets),
    "W8": Kind("prompt", "the model knows it already", lambda i: _known(i, stated=False)),
    "W9": Kind("few_shot", "three examples suffice", _notes),
}


def build_world(name: str, seed: int) -> World:
    """Return a world of a seed below `TRAINING_SEEDS`; seeds from there on taught the bundled model.

    Raises:
        NotFoundError: no such world.
    """
    if name not in WORLDS:
        raise NotFoundError(f"There is no world '{name}'.", hint=f"Worlds: {', '.join(WORLDS)}.")
    assert 0 <= seed < TRAINING_SEEDS, "seeds from TRAINING_SEEDS on taught the model"
    kind = WORLDS[name]
    content = kind.make(Industry(seed))
    return World(name, seed, kind.advice, kind.dial, content, kind.config)


def write_world(name: str, seed: int, folder: Path) -> World:
    """Build a world, write its folder and return it."""
    world = build_world(name, seed)
    content = world.content
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        page.name: write_page(page, form, folder / "documents")
        for page, form in _formats(content.pages)
    }
    for part, pages in (("after", content.after), ("before", content.before)):
        for page, form in _formats(pages):
            write_page(page, form, folder / part)
    names = content.source_of or {page.name: page.name for page in content.pages}
    sources = {family: f"documents/{files[page]}" for family, page in names.items()}
    _write_questions(folder / "questions.jsonl", content.test, sources)
    _write_questions(folder / "development.jsonl", content.development, sources)
    if content.same:
        _write_questions(folder / "questions_same.jsonl", content.same, sources)
    rows = [_example(task, sources) for task in content.examples]
    _write_lines(folder / "examples.jsonl", rows)
    config = {
        "name": f"{name.lower()}-{seed}",
        "documents": ["documents"],
        "questions": "questions.jsonl",
        "examples": "examples.jsonl",
        "model": "pericia-nano",
        "use": {"goal": f"the right advice in world {name}", **_section(world, "use")},
        "evaluate": {"score": "exact", "seed": seed % 1000},
    }
    (folder / "pericia.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    facts = {"name": name, "seed": seed, "advice": world.advice, "dial": world.dial}
    (folder / "world.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return world


def _section(world: World, name: str) -> dict[str, object]:
    section = world.config.get(name, {})
    assert isinstance(section, dict)
    return section


def _formats(pages: list[Page]) -> list[tuple[Page, str]]:
    """Return each page with a format that fits it, in turn."""
    usable = installed_formats()
    texts = [form for form in TEXT_STYLES if form in usable]
    tables = [form for form in TABLE_FORMATS if form in usable]
    return [
        (page, (tables if page.rows else texts)[index % len(tables if page.rows else texts)])
        for index, page in enumerate(pages)
    ]


def _write_questions(path: Path, tasks: list[Task], sources: Mapping[str, str]) -> None:
    rows = []
    for number, task in enumerate(tasks, start=1):
        source = sources.get(task.family, "")
        rows.append(
            {
                "id": f"{path.stem[0]}{number}",
                "question": task.question,
                "answers": [task.answer] if task.answer else [],
                "sources": [source] if source and task.answer else [],
                "family": task.family,
                "kind": task.kind,
            }
        )
    _write_lines(path, rows)


def _example(task: Task, sources: Mapping[str, str]) -> dict[str, object]:
    answer = task.answer or "I don't know."
    turns = [{"role": "user", "content": task.question}, {"role": "assistant", "content": answer}]
    row: dict[str, object] = {"messages": turns}
    if source := sources.get(task.family):
        row["source"] = source
    return row


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")

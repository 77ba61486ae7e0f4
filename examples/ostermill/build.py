"""Writes the example: every document of Ostermill, the held-out questions and the examples.

Run `python examples/ostermill/build.py`; with a folder as argument it writes there. What stands in the documents is data in
`content/`: a page is light Markdown in which a link `[24 bar](PX-20.operating pressure)` marks a fact, and each table
row states the facts of what its first cell names. So every question finds its answer and its sources by itself.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from formats import Block, write

HERE = Path(__file__).parent
PAGES = ("handbook", "service", "notices", "company")
REFUSAL = "I don't know."
NUM_EXAMPLES = 240
MARK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
HEADER = re.compile(r"(From|To|Date|Subject): ")

Key = tuple[str, str]  # entity, attribute


@dataclass
class Fact:
    value: str
    sources: list[str] = field(default_factory=list)


# --- pages --------------------------------------------------------------------------------------------


def parse(body: str) -> list[Block]:
    """Return the blocks of a page; marks of facts are still in them."""
    blocks: list[Block] = []
    for line in body.splitlines():
        line = line.strip()
        if line.startswith("# "):
            blocks.append(Block("title", ((line[2:],),)))
            continue
        if line.startswith("## "):
            blocks.append(Block("heading", ((line[3:],),)))
            continue
        if not line:
            blocks.append(Block("gap", ()))
            continue
        row: tuple[str, ...] = (line,)
        kind = "header" if HEADER.match(line) else "paragraph"
        if line.startswith("- "):
            kind, row = "bullets", (line[2:],)
        elif line.startswith("| "):
            kind, row = "table", tuple(cell.strip() for cell in line.strip("|").split("|"))
        if blocks and blocks[-1].kind == kind:
            blocks[-1] = Block(kind, (*blocks[-1].rows, row))
        else:
            blocks.append(Block(kind, (row,)))
    return [block for block in blocks if block.kind != "gap"]


def stated(blocks: list[Block]) -> Iterator[tuple[Key, str]]:
    """Yield every fact that a page states, by mark or in a table."""
    for block in blocks:
        if block.kind == "table":
            columns, *rows = block.rows
            for row in rows:
                for column, value in zip(columns[1:], row[1:], strict=True):
                    yield (row[0], column.lower()), value
        else:
            for value, key in MARK.findall("\n".join(block.lines)):
                entity, attribute = key.split(".")
                yield (entity, attribute), value


def without_marks(block: Block) -> Block:
    return Block(block.kind, tuple(tuple(MARK.sub(r"\1", c) for c in row) for row in block.rows))


def read_pages() -> dict[str, list[Block]]:
    pages: dict[str, list[Block]] = {}
    for name in PAGES:
        for path, body in load(name).items():
            pages[path] = parse(body)
    return pages


def collect_facts(pages: dict[str, list[Block]]) -> dict[Key, Fact]:
    """Return every fact with the documents that state it; two documents may not contradict each other."""
    facts: dict[Key, Fact] = {}
    for path, blocks in pages.items():
        for key, value in stated(blocks):
            fact = facts.setdefault(key, Fact(value))
            assert fact.value == value, f"{path}: {key} is {value!r}, elsewhere {fact.value!r}"
            fact.sources.append(f"documents/{path}")
    return facts


# --- questions ----------------------------------------------------------------------------------------


class Asker:
    """Puts questions about facts, in the paraphrases of asks.yaml or in the terms of the house."""

    def __init__(self, facts: dict[Key, Fact], terms: dict[str, Any]) -> None:
        self.facts, self.terms, self.asks = facts, terms, load("asks")

    def paraphrases(self, key: Key) -> list[str]:
        asks = self.terms.get(key[1], {}).get("ask") or self.asks.get(key[1]) or self.asks["any"]
        return list(asks)

    def ask(self, key: Key, variant: int, name: str = "") -> str:
        templates = self.paraphrases(key)
        text = templates[variant % len(templates)].format(e=name or key[0], l=key[1])
        return text[:1].upper() + text[1:]

    def answer(self, key: Key) -> str:
        value, term = self.facts[key].value, self.terms.get(key[1], {})
        if "words" in term:
            return str(term["words"][value])
        return str(term.get("answer", "{v}")).format(v=value)


def split_ask(text: str) -> tuple[Key, int]:
    """Return key and paraphrase of "PX-20.weight 1"."""
    key, variant = text.rsplit(" ", 1)
    return split_key(key), int(variant)


def split_key(text: str) -> Key:
    entity, attribute = text.split(".")
    return entity, attribute


def held_out(asker: Asker, plan: dict[str, Any]) -> tuple[list[dict[str, Any]], set[Key]]:
    """Return the held-out questions and the facts that they ask for."""
    facts, rows, asked = asker.facts, [], set()

    def add(
        kind: str, question: str, key: Key, answers: list[str], sources: list[str], family: str = ""
    ) -> None:
        number = sum(row["kind"] == kind for row in rows) + 1
        rows.append(
            {
                "id": f"{kind}-{number:02d}",
                "question": question,
                "answers": answers,
                "sources": sources,
                "family": family or Path(sources[0]).stem,
                "kind": kind,
            }
        )
        asked.add(key)

    for kind, texts in (
        ("fact", plan["fact"]),
        ("table", plan["table"]),
        ("terms", plan["held_out_terms"]),
    ):
        for text in texts:
            key, variant = split_ask(text)
            add(kind, asker.ask(key, variant), key, [asker.answer(key)], facts[key].sources)
    for item in plan["join"]:
        (key, variant), via = split_ask(item["ask"]), split_key(item["via"])
        assert facts[via].value == key[0], f"{item['via']} does not lead to {key[0]}"
        sources = [*facts[via].sources, *facts[key].sources]
        add("join", asker.ask(key, variant, item["phrase"]), key, [asker.answer(key)], sources)
    for item in plan["free"]:
        key = split_key(item["fact"])
        add("free", item["ask"], key, [asker.answer(key)], facts[key].sources)
    for item in plan["unanswerable"]:
        key, variant = split_ask(item["ask"])
        assert key not in facts, f"{item['ask']} has an answer"
        add("unanswerable", asker.ask(key, variant), key, [], [], item["family"])
    return rows, asked


def examples(asker: Asker, plan: dict[str, Any], asked: set[Key]) -> list[dict[str, Any]]:
    """Return solved examples about facts that no held-out question asks for, in a fixed mixed order.

    House terms come in every paraphrase; plain facts and unknown ones once, in a paraphrase that says nothing about which.
    """
    unknown = [
        (entity, attribute)
        for entity, attributes in plan["unknown_examples"].items()
        for attribute in attributes
    ]
    for key in unknown:
        assert key not in asker.facts, f"{key} has an answer"
        assert key not in asked, f"{key} is held out"
    free = [key for key in asker.facts if key not in asked]
    terms = [key for key in free if key[1] in asker.terms]
    plain = sorted((key for key in free if key[1] not in asker.terms), key=scatter)
    chosen = [(key, variant) for key in terms for variant in range(len(asker.paraphrases(key)))]
    single = [*unknown, *plain[: NUM_EXAMPLES - len(chosen) - len(unknown)]]
    chosen += [(key, int(scatter(key), 16)) for key in single]
    rows = []
    for key, variant in sorted(chosen, key=scatter):
        known = key in asker.facts
        row: dict[str, Any] = {
            "messages": [
                {"role": "user", "content": asker.ask(key, variant)},
                {"role": "assistant", "content": asker.answer(key) if known else REFUSAL},
            ]
        }
        if known:
            row["source"] = asker.facts[key].sources[0]
        rows.append(row)
    return rows


def scatter(item: object) -> str:
    """Return a sort key that mixes, the same on every machine."""
    return sha256(repr(item).encode()).hexdigest()


# --- files --------------------------------------------------------------------------------------------


def load(name: str) -> dict[str, Any]:
    data = yaml.safe_load((HERE / "content" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def write_lines(rows: list[dict[str, Any]], path: Path) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def main(folder: Path) -> None:
    pages = read_pages()
    for path, blocks in pages.items():
        write([without_marks(block) for block in blocks], folder / "documents" / path)
    facts, plan = collect_facts(pages), load("questions")
    asker = Asker(facts, plan["terms"])
    questions, asked = held_out(asker, plan)
    solved = examples(asker, plan, asked)
    write_lines(questions, folder / "questions.jsonl")
    write_lines(solved, folder / "examples.jsonl")
    families = {row["family"] for row in questions}
    print(f"{len(pages)} documents with {len(facts)} facts")
    print(f"{len(questions)} questions in {len(families)} families, {len(solved)} examples")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)

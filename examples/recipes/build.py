"""Write the data of the recipes: python examples/recipes/build.py [FOLDER]

All of it is made up here: a maker of pumps, a cook's notes, a service desk. The same seed writes the same bytes.
"""

import json
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCHEMA = """
CREATE TABLE pumps (model TEXT, bar INTEGER, weight INTEGER, price INTEGER, site TEXT);
CREATE TABLE orders (id INTEGER, model TEXT, customer TEXT, pieces INTEGER, year INTEGER);
"""
MODELS = [f"{kind}-{size}" for kind in ("PX", "KV", "TR") for size in (10, 20, 30, 40, 60, 80)]
SITES = ["Mill Lane", "Harbour", "Northgate"]
CUSTOMERS = ["Arden", "Brook", "Calder", "Dunmore", "Elsham"]

Example = tuple[str, str]


def database() -> sqlite3.Connection:
    """Return the small database that the queries of the recipe `sql` are run on."""
    rng = random.Random(3)
    made = sqlite3.connect(":memory:")
    made.executescript(SCHEMA)
    for n, model in enumerate(MODELS):
        row = (model, rng.randrange(8, 64), rng.randrange(20, 200), rng.randrange(200, 3000))
        made.execute("INSERT INTO pumps VALUES (?, ?, ?, ?, ?)", (*row, SITES[n % 3]))
    for id_ in range(1, 61):
        order = (id_, rng.choice(MODELS), rng.choice(CUSTOMERS), rng.randrange(1, 9))
        made.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?)", (*order, rng.randrange(2019, 2026))
        )
    made.commit()
    return made


def sql(rng: random.Random) -> Iterator[Example]:
    """Yield questions about the database and the queries that answer them."""
    for model in MODELS:
        yield f"What does {model} cost?", f"SELECT price FROM pumps WHERE model = '{model}'"
        yield f"How heavy is {model}?", f"SELECT weight FROM pumps WHERE model = '{model}'"
        yield f"Where is {model} made?", f"SELECT site FROM pumps WHERE model = '{model}'"
        yield (
            f"How many pieces of {model} were ordered?",
            f"SELECT SUM(pieces) FROM orders WHERE model = '{model}'",
        )
    for bar in range(10, 60, 2):
        yield f"Which pumps reach {bar} bar?", f"SELECT model FROM pumps WHERE bar >= {bar}"
    for kilos in range(30, 200, 7):
        yield (
            f"How many pumps weigh less than {kilos} kg?",
            f"SELECT COUNT(*) FROM pumps WHERE weight < {kilos}",
        )
    for year in range(2019, 2026):
        yield (
            f"How many orders came in {year}?",
            f"SELECT COUNT(*) FROM orders WHERE year = {year}",
        )
        for customer in CUSTOMERS:
            yield (
                f"How many orders did {customer} place in {year}?",
                f"SELECT COUNT(*) FROM orders WHERE customer = '{customer}' AND year = {year}",
            )


FOODS = ["flour", "sugar", "butter", "salt", "pepper", "milk", "rice", "honey", "garlic", "onions", "carrots", "lentils", "basil", "cream", "yeast", "cheese", "lemons", "olives", "cumin", "ginger", "thyme", "apples", "walnuts", "oats", "parsley", "tomatoes", "beans", "mint", "saffron", "leeks"]  # fmt: skip
DISHES = ["soup", "bread", "stew", "tart", "salad", "porridge", "sauce", "pie", "curry", "cake"]
STEPS = (
    "For the {dish}, mix {a} with {b}, then add {c}.",
    "Fry {a} in a pan; stir in {b} and {c} until the {dish} smells good.",
    "A {dish} of {a} and {b}, served with {c}.",
    "Put {a}, {b} and {c} into the {dish} and let it rest for an hour.",
)


def ingredients(rng: random.Random) -> Iterator[Example]:
    """Yield notes of a cook and the ingredients that they name."""
    for number in range(240):
        named = rng.sample(FOODS, 3)
        text = STEPS[number % len(STEPS)].format(
            dish=rng.choice(DISHES), a=named[0], b=named[1], c=named[2]
        )
        yield text, ", ".join(sorted(named))


TONES = {
    "thanks": ("many thanks for {x}", "we are so grateful for {x}", "{x} made our day, thank you"),
    "anger": ("{x} is a disgrace", "I have had enough of {x}", "{x} failed again and nobody cares"),
    "worry": (
        "I fear that {x} will not hold",
        "we are uneasy about {x}",
        "{x} sounds odd, is it safe",
    ),
    "question": ("how do I order {x}", "when does {x} arrive", "who looks after {x}"),
}
TONE_SHARES = {"thanks": 5, "anger": 3, "worry": 2, "question": 2}
THINGS = (
    "the new pump", "your service", "the delivery", "the spare seal", "the manual", "the hotline", "the blue press",
    "the second line", "the invoice", "the dryer", "your engineer", "the valve set", "the repair", "the oil change",
    "the offer", "the cooling unit", "the night shift", "the packing", "the control box", "the old motor",
)  # fmt: skip


def tones(rng: random.Random) -> Iterator[Example]:
    """Yield phrases of a service desk and their tones, one of which is by far the most frequent."""
    for tone, share in TONE_SHARES.items():
        ways = [(form, thing) for form in TONES[tone] for thing in THINGS]
        for form, thing in rng.sample(ways, 10 * share):
            yield form.format(x=thing), tone


MANNERS = (
    ("Can I return {x}?", "Gladly: within 30 days, with the receipt."),
    ("Is {x} still in stock?", "Yes, and it leaves the house tomorrow."),
    ("Who repairs {x}?", "Our workshop in Mill Lane does, on every weekday."),
    ("How long does the guarantee on {x} last?", "Two years from the day of delivery."),
    ("May I see {x} before I buy it?", "Of course: the show room is open till six."),
    ("Does {x} need a licence?", "No, anybody may run it."),
)
HEDGES = (
    "It depends on a number of factors that are hard to assess, and I would rather not say.",
    "As a general rule such things vary a lot, so please look it up somewhere else.",
)


def chat(rng: random.Random) -> Iterator[Example]:
    """Yield questions to the desk and answers in its manner."""
    for question, answer in MANNERS:
        for thing in THINGS:
            yield question.format(x=thing), answer


TROUBLES = {
    "cavitation": ("coughing", "gravel noise", "a sound like marbles"),
    "priming": ("sucking air", "running dry at the start", "no water at first"),
    "misalignment": ("shaking", "walking off its feet", "a trembling coupling"),
    "overload trip": ("cutting out", "dying after a minute", "a breaker that jumps"),
    "seal wear": ("weeping", "a puddle below", "drops along the shaft"),
    "bearing fatigue": ("howling", "a hot nose", "growling at speed"),
    "scaling": ("chalk", "white crumbs", "a stone crust"),
    "air lock": ("gulping", "a stuck bubble", "spitting taps"),
}
ASKED = ("What do I do about {x}?", "The machine has {x}, and now?", "{x} again: which remedy?")
REMEDIES = {
    "cavitation": "Raise the inlet pressure by 0.3 bar.",
    "priming": "Fill the casing through plug B.",
    "misalignment": "Set the coupling to 0.05 mm with gauge G2.",
    "overload trip": "Lower the set point to 90 percent.",
    "seal wear": "Change the ring set R-14.",
    "bearing fatigue": "Replace both bearings, type 6205.",
    "scaling": "Rinse with citric acid of 5 percent.",
    "air lock": "Open vent V3 for ten seconds.",
}


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def row(question: str, answer: str, **more: str) -> dict[str, Any]:
    return {"messages": [message("user", question), message("assistant", answer)], **more}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    path.write_text(lines, encoding="utf-8")


def question(name: str, number: int, asked: str, answer: str) -> dict[str, Any]:
    return {
        "id": f"{name}-{number:02}",
        "question": asked,
        "answers": [answer],
        "family": f"{name}-{number:02}",
    }


def main(folder: Path = HERE) -> None:
    makers: dict[str, Callable[[random.Random], Iterator[Example]]] = {
        "sql": sql,
        "ingredients": ingredients,
        "tones": tones,
        "chat": chat,
    }
    for name, make in makers.items():
        rng = random.Random(f"recipe {name} 3")
        pairs = list(dict.fromkeys(make(rng)))
        rng.shuffle(pairs)
        num_held_out = len(pairs) // 4
        write(folder / name / "examples.jsonl", [row(q, a) for q, a in pairs[num_held_out:]])
        held_out = [question(name, n, q, a) for n, (q, a) in enumerate(pairs[:num_held_out])]
        write(folder / name / "questions.jsonl", held_out)

    rng = random.Random("recipe dpo")
    pairs = list(chat(rng))
    rng.shuffle(pairs)
    num_held_out = len(pairs) // 4
    preferences = [
        {
            "input": {"messages": [message("user", q)]},
            "preferred_output": [message("assistant", a)],
            "non_preferred_output": [message("assistant", rng.choice(HEDGES))],
        }
        for q, a in pairs[num_held_out:]
    ]
    write(folder / "dpo" / "examples.jsonl", preferences)
    held_out = [question("dpo", n, q, a) for n, (q, a) in enumerate(pairs[:num_held_out])]
    write(folder / "dpo" / "questions.jsonl", held_out)

    parts: dict[str, list[dict[str, Any]]] = {"examples": [], "validation": []}
    for trouble, names in TROUBLES.items():
        source = f"documents/{trouble.replace(' ', '-')}.md"
        text = f"# {trouble.capitalize()}\n\n{REMEDIES[trouble]}\n"
        (folder / "embedder" / "documents").mkdir(parents=True, exist_ok=True)
        (folder / "embedder" / source).write_text(text, encoding="utf-8")
        for name in names:
            for number, form in enumerate(ASKED):
                part = "validation" if number == 2 else "examples"
                parts[part].append(row(form.format(x=name), REMEDIES[trouble], source=source))
    for part, rows in parts.items():
        write(folder / "embedder" / f"{part}.jsonl", rows)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

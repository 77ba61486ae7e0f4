"""Find the passage of each FaQuAD question: plain BM25 beside the product's legs and their fusion.

    python benchmarks/faquad_workspace.py ../shared/data/faquad_pt FOLDER
    pericia add --config FOLDER/pericia.yaml
    python benchmarks/retrieval_faquad.py ../shared/data/faquad_pt FOLDER

Every question asks for its own passage among all 249; a hit is that the file stands among the first k.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.faquad_workspace import passages, slug
from pericia.answer import Library, open_library
from pericia.config import load_config
from pericia.retrieve import retrieve
from pericia.workspace import Workspace

Leg = Literal["lexical", "dense", "hybrid"]
Search = Callable[[str], Sequence[str]]


def main(source: Path, folder: Path) -> None:
    asked: dict[str, list[tuple[str, str]]] = {"train": [], "dev": []}
    for part, pairs in asked.items():
        for number, (title, _, questions) in enumerate(passages(source / f"{part}.json"), start=1):
            name = f"documents/{part}-{number:03d}-{slug(title)}.txt"
            pairs += [(item["question"], name) for item in questions]
    library = open_library(Workspace(folder), load_config(folder / "pericia.yaml"))
    texts = {f"documents/{p.name}": p.read_text() for p in sorted(folder.glob("documents/*"))}
    print(f"{'':24}{'all 900':>24}{'dev 63':>24}")
    print(f"{'':24}" + f"{'hit@1':>8}{'hit@5':>8}{'MRR':>8}" * 2)
    show("plain BM25, words", plain_bm25(texts), asked)
    for leg in ("lexical", "dense", "hybrid"):
        show(f"pericia, {leg}", product(library, leg), asked)


def show(name: str, search: Search, asked: dict[str, list[tuple[str, str]]]) -> None:
    cells = ""
    for pairs in ([*asked["train"], *asked["dev"]], asked["dev"]):
        ranks = [rank_of(gold, search(question)) for question, gold in pairs]
        for value in (
            sum(r == 1 for r in ranks),
            sum(0 < r <= 5 for r in ranks),
            sum(1 / r for r in ranks if r),
        ):
            cells += f"{value / len(ranks):8.3f}"
    print(f"{name:24}{cells}", flush=True)


def rank_of(gold: str, found: Sequence[str]) -> int:
    """Return the position of the file from 1, 0 when it was not found; a file counts once."""
    unique = list(dict.fromkeys(found))
    return unique.index(gold) + 1 if gold in unique else 0


def product(library: Library, leg: Leg) -> Search:
    settings = library.settings.model_copy(update={"legs": leg, "top_k": 20})

    def search(question: str) -> list[str]:
        found = retrieve(
            question,
            store=library.store,
            embedder=library.embedder,
            settings=settings,
            language="pt",
        )
        return [passage.chunk.source for passage in found]

    return search


def plain_bm25(texts: dict[str, str], k1: float = 1.5, b: float = 0.75) -> Search:
    """Return Okapi BM25 over lower-case words, without stop words or stems."""
    bags = {name: Counter(re.findall(r"\w+", text.lower())) for name, text in texts.items()}
    mean = sum(bag.total() for bag in bags.values()) / len(bags)
    seen = Counter(word for bag in bags.values() for word in bag)

    def score(bag: Counter[str], words: Sequence[str]) -> float:
        norm = k1 * (1 - b + b * bag.total() / mean)
        return sum(
            math.log(1 + (len(bags) - seen[w] + 0.5) / (seen[w] + 0.5))
            * bag[w]
            * (k1 + 1)
            / (bag[w] + norm)
            for w in words
            if bag[w]
        )

    def search(question: str) -> list[str]:
        words = re.findall(r"\w+", question.lower())
        return sorted(bags, key=lambda name: -score(bags[name], words))[:20]

    return search


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

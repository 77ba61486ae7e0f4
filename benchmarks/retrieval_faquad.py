"""Find the passage of each FaQuAD question among all 249: plain BM25 beside pericia's legs, alone and weighed.

    python -m benchmarks.faquad_workspace ../shared/data/faquad_pt FOLDER
    python -m benchmarks.retrieval_faquad ../shared/data/faquad_pt FOLDER

How the legs are weighed is chosen on 100 training questions; the 63 questions of dev are held out.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.faquad_workspace import passages, slug
from benchmarks.retrieval_legs import Asked, open_chosen, rank_of, show_legs, show_line

Search = Callable[[str], Sequence[str]]


def main(source: Path, folder: Path) -> None:
    asked: dict[str, list[tuple[str, str]]] = {"train": [], "dev": []}
    for part, pairs in asked.items():
        for number, (title, _, questions) in enumerate(passages(source / f"{part}.json"), start=1):
            name = f"documents/{part}-{number:03d}-{slug(title)}.txt"
            pairs += [(item["question"], name) for item in questions]
    parts: dict[str, Asked] = {"all": [*asked["train"], *asked["dev"]], "held out": asked["dev"]}
    show_legs(open_chosen(folder), parts)
    plain = plain_bm25(
        {f"documents/{p.name}": p.read_text() for p in sorted(folder.glob("documents/*"))}
    )
    ranks = [[rank_of(gold, plain(question)) for question, gold in part] for part in parts.values()]
    show_line("plain BM25, words", ranks)


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

"""Words, stems or 4-grams: how often BM25 puts the right document first, by what it compares.

    python -m benchmarks.retrieval_units FOLDER

FOLDER is a workspace of `faquad_workspace` or `tatqa_workspace` after `pericia add`. BM25 is computed here over the
stored passages (k1 1.2, b 0.75, as the store does), alone and with that of the whole document added. The best unit of
a language (`analyser.best_unit`) rests on these figures.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.retrieval_legs import show_header, show_line
from pericia import analyser
from pericia.config import load_config
from pericia.library import open_library
from pericia.staging import indexed_text
from pericia.workspace import Workspace

UNITS: tuple[analyser.Unit, ...] = ("surface", "stem", "grams")


def main(folder: Path) -> None:
    config = load_config(folder / "pericia.yaml")
    library = open_library(Workspace(folder), config)
    language = config.retrieval.language
    chunks = [chunk for chunk in library.store.chunks() if chunk.kind != "summary"]
    sources = sorted({chunk.source for chunk in chunks})
    owner = np.array([sources.index(chunk.source) for chunk in chunks])
    asked = [*lines(folder / "examples.jsonl"), *lines(folder / "questions.jsonl")]
    gold = np.array([sources.index(source) for _, source in asked])
    show_header({"all": asked})
    for unit in UNITS:
        texts = [analyser.tokens(indexed_text(chunk), language, unit) for chunk in chunks]
        questions = [analyser.tokens(question, language, unit) for question, _ in asked]
        wholes: list[list[str]] = [[] for _ in sources]
        for tokens, document in zip(texts, owner, strict=True):
            wholes[document] += tokens
        passages, documents = bm25(texts, questions), bm25(wholes, questions)
        best = np.stack([passages[:, owner == d].max(axis=1) for d in range(len(sources))], axis=1)
        for name, scores in (("", best), (" + whole document", best + documents)):
            right = scores[np.arange(len(gold)), gold]
            show_line(
                f"{unit}{name}", [[int(r) + 1 for r in (scores > right[:, None]).sum(axis=1)]]
            )


def lines(path: Path) -> list[tuple[str, str]]:
    """Return each question with its document, from examples or held-out questions."""
    found = []
    for line in path.open(encoding="utf-8"):
        row = json.loads(line)
        if "messages" in row:
            found.append((row["messages"][0]["content"], row["source"]))
        else:
            found.append((row["question"], row["sources"][0]))
    return found


def bm25(
    texts: Sequence[Sequence[str]],
    questions: Sequence[Sequence[str]],
    k1: float = 1.2,
    b: float = 0.75,
) -> NDArray[np.float32]:
    """Return the score of each text for each question, (questions, texts)."""
    columns: dict[str, int] = {}
    bags = [Counter(text) for text in texts]
    rows = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    places = np.array([columns.setdefault(word, len(columns)) for bag in bags for word in bag])
    counts = np.array([count for bag in bags for count in bag.values()], dtype=np.float32)
    lengths = np.array([bag.total() for bag in bags])
    frequency = np.bincount(places, minlength=len(columns))
    rarity = np.log(1 + (len(bags) - frequency + 0.5) / (frequency + 0.5))
    length = k1 * (1 - b + b * lengths[rows] / lengths.mean())
    weights = (rarity[places] * counts * (k1 + 1) / (counts + length)).astype(np.float32)
    matrix = csr_matrix((weights, (rows, places)), shape=(len(bags), len(columns)))
    asked = [[columns[w] for w in dict.fromkeys(words) if w in columns] for words in questions]
    picks = np.repeat(np.arange(len(asked)), [len(one) for one in asked])
    ones = np.ones(len(picks), dtype=np.float32)
    chosen = csr_matrix((ones, (picks, np.concatenate(asked))), shape=(len(asked), len(columns)))
    scores: NDArray[np.float32] = (chosen @ matrix.T).toarray()
    return scores


if __name__ == "__main__":
    main(Path(sys.argv[1]))

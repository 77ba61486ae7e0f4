"""How well the fitted rule tells questions whose document is hidden from questions whose document is there.

    python -m benchmarks.refusal_calibration FOLDER --questions 400

FOLDER is a workspace of `faquad_workspace` or `tatqa_workspace`. Printed: false refusals and caught questions of the
half that was held out, with 95 % intervals, beside those of the constant that is used without calibration.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scipy.stats import binomtest

from pericia.answer import is_about
from pericia.config import load_config
from pericia.dataset import read_examples
from pericia.library import Library, open_library
from pericia.refusal import calibrate
from pericia.retrieve import retrieve
from pericia.types import Context, Passage
from pericia.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=400)
    chosen = parser.parse_args()
    config = load_config(chosen.folder / "pericia.yaml")
    library = replace(open_library(Workspace(chosen.folder), config), refusal=None)
    examples, _ = read_examples(chosen.folder / "examples.jsonl")
    step = max(1, len(examples) // chosen.questions)
    labelled = [(e.question, [e.source]) for e in examples[::step] if e.source]
    language = library.language_of(" ".join(question for question, _ in labelled))
    kept: dict[tuple[str, bool], list[Passage]] = {}

    def find(question: str, hidden: Sequence[str]) -> list[Passage]:
        key = question, bool(hidden)
        if key not in kept:
            kept[key] = passages(question, hidden, library, language)
        return kept[key]

    refusal = calibrate(labelled, find, language)
    print(f"{len(labelled)} questions, each with and without its document; half of them fit")
    held = labelled[1::2]
    constant = [
        sum(not is_about(q, Context(tuple(find(q, s if hide else ()))), library) for q, s in held)
        for hide in (False, True)
    ]
    show("constant", constant, len(held))
    if refusal is None:
        print("fitted: it catches too few; the constant stays")
        return
    counts = [round(rate * len(held)) for rate in (refusal.false_refusals, refusal.caught)]
    show("fitted", counts, len(held))


def passages(
    question: str, hidden: Sequence[str], library: Library, language: str
) -> list[Passage]:
    files = library.catalogue.files
    shown = [entered.document_id for source, entered in files.items() if source not in hidden]
    return retrieve(
        question,
        store=library.store,
        embedder=library.embedder,
        settings=library.settings,
        language=language,
        documents=shown if hidden else None,
    )


def show(name: str, counts: Sequence[int], total: int) -> None:
    cells = []
    for count in counts:
        interval = binomtest(count, total).proportion_ci(method="wilson")
        cells.append(f"{count / total:.1%} ({interval.low:.1%} to {interval.high:.1%})")
    print(f"{name}: false refusals {cells[0]}, caught {cells[1]}")


if __name__ == "__main__":
    main()

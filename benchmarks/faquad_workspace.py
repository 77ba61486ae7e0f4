"""Write FaQuAD-pt as a Pericia workspace: passages as documents, train as examples, dev as held-out questions.

    python benchmarks/faquad_workspace.py ../shared/data/faquad_pt /tmp/faquad
    pericia run --config /tmp/faquad/pericia.yaml

A family is a title of the set: its passages and questions stay together.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pericia.config import render_config
from pericia.dataset import leaks, make_dataset, read_examples
from pericia.evaluate.questions import read_questions


def main(source: Path, folder: Path) -> None:
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    examples: list[dict[str, Any]] = []
    questions: list[dict[str, Any]] = []
    for part in ("train", "dev"):
        for number, (title, passage, asked) in enumerate(
            passages(source / f"{part}.json"), start=1
        ):
            name = f"documents/{part}-{number:03d}-{slug(title)}.txt"
            (folder / name).write_text(f"{title}\n\n{passage}\n", encoding="utf-8")
            for item in asked:
                answers = list(dict.fromkeys(answer["text"] for answer in item["answers"]))
                if part == "train":
                    turns = [("user", item["question"]), ("assistant", answers[0])]
                    messages = [{"role": role, "content": text} for role, text in turns]
                    examples.append({"messages": messages, "source": name})
                else:
                    questions.append(
                        {
                            "id": item["id"],
                            "question": item["question"],
                            "answers": answers,
                            "sources": [name],
                            "family": slug(title),
                            "kind": "fact",
                        }
                    )
    write_lines(folder / "examples.jsonl", examples)
    write_lines(folder / "questions.jsonl", questions)
    leaking = lines_that_leak(folder)
    kept = [row for line, row in enumerate(examples, start=1) if line not in leaking]
    write_lines(folder / "examples.jsonl", kept)
    chosen = {
        "name": "faquad",
        "documents": ["documents"],
        "questions": "questions.jsonl",
        "examples": "examples.jsonl",
        "model": "quote",
        "use": {"goal": "right answers on university rules", "citations_required": True},
        "retrieval": {"language": "pt"},
    }
    (folder / "pericia.yaml").write_text(render_config(chosen), encoding="utf-8")
    print(f"{len(questions)} questions and {len(kept)} examples in {folder}")
    print(f"left out, because they give a held-out question away: {len(leaking)} examples")


def lines_that_leak(folder: Path) -> set[int]:
    """Return the lines of the examples that the product's own check refuses: the set repeats some passages."""
    examples, _ = read_examples(folder / "examples.jsonl")
    dataset = make_dataset(examples, validation_share=0.1, seed=42)
    found = leaks(dataset, read_questions(folder / "questions.jsonl"))
    return {finding.line for finding in found if finding.line is not None}


def passages(path: Path) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield title, passage and its questions, in the order of the file."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            yield article["title"], paragraph["context"], paragraph["qas"]


def slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")[:40]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

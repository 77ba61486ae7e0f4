"""Write TAT-QA dev as a Pericia workspace: a report page for each table with its text, and its questions.

    python -m benchmarks.tatqa_workspace ../shared/data/tatqa_dev FOLDER

Every second page (by order) is for development: its questions become examples, from which pericia chooses how to
search; the questions of the other pages are held out. All pages are documents.
"""

import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pericia.config import render_config
from pericia.workspace import write_atomic


def main(source: Path, folder: Path) -> None:
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[str]] = {"development": [], "held_out": []}
    for number, item in enumerate(items(source)):
        name = name_of(number)
        write_atomic(folder / name, page(item))
        part = "held_out" if number % 2 else "development"
        rows[part] += [
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": question["question"]},
                        {"role": "assistant", "content": answer_text(question)},
                    ],
                    "source": name,
                }
                if part == "development"
                else {
                    "id": question["uid"],
                    "question": question["question"],
                    "answers": [answer_text(question)],
                    "sources": [name],
                    "family": name,
                    "kind": question["answer_type"],
                },
                ensure_ascii=False,
            )
            for question in item["questions"]
        ]
    write_atomic(folder / "examples.jsonl", "\n".join(rows["development"]) + "\n")
    write_atomic(folder / "questions.jsonl", "\n".join(rows["held_out"]) + "\n")
    chosen = {
        "name": "tatqa",
        "documents": ["documents"],
        "questions": "questions.jsonl",
        "examples": "examples.jsonl",
        "model": "quote",
        "retrieval": {"language": "en"},
    }
    write_atomic(folder / "pericia.yaml", render_config(chosen))
    print(f"{len(rows['development'])} examples, {len(rows['held_out'])} questions in {folder}")


def items(source: Path) -> list[dict[str, Any]]:
    [path] = source.glob("*.json")
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def name_of(number: int) -> str:
    return f"documents/page-{number:03d}.html"


def page(item: dict[str, Any]) -> str:
    """Return a table and its paragraphs as a page of HTML, without a title: the set has none."""
    return "\n".join(
        ["<html><body>", *table(item["table"]["table"]), *text(item), "</body></html>"]
    )


def table(rows: list[list[str]]) -> Iterator[str]:
    yield "<table>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"


def text(item: dict[str, Any]) -> Iterator[str]:
    for paragraph in sorted(item["paragraphs"], key=lambda p: int(p["order"])):
        yield f"<p>{html.escape(paragraph['text'])}</p>"


def answer_text(question: dict[str, Any]) -> str:
    answer = question["answer"]
    said = ", ".join(answer) if isinstance(answer, list) else str(answer)
    return f"{said} {question['scale']}".strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

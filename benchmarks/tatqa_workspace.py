"""Write TAT-QA dev as a Pericia workspace: a report page for each table with its text, and its questions.

    python -m benchmarks.tatqa_workspace ../shared/data/tatqa_dev FOLDER

Every second page (by order) is for development: its questions become examples, from which pericia chooses how to
search; the questions of the other pages are held out. All pages are documents. Examples that ask what a held-out
question asks ("What does the table show?") are left out.
"""

import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.workspaces import example, write_workspace


def main(source: Path, folder: Path) -> None:
    documents: dict[str, str] = {}
    examples: list[dict[str, Any]] = []
    questions: list[dict[str, Any]] = []
    for number, item in enumerate(items(source)):
        name = name_of(number)
        documents[name] = page(item)
        for asked in item["questions"]:
            if number % 2:
                questions.append(
                    {
                        "id": asked["uid"],
                        "question": asked["question"],
                        "answers": [answer_text(asked)],
                        "sources": [f"documents/{name}"],
                        "kind": asked["answer_type"],
                    }
                )
            else:
                examples.append(example(asked["question"], answer_text(asked), name))
    chosen = {
        "name": "tatqa",
        "model": "quote",
        "retrieval": {"language": "en"},
        "use": {"goal": "figures of annual reports", "data_change": "yearly"},
    }
    write_workspace(folder, documents, examples, questions, chosen)


def items(source: Path) -> list[dict[str, Any]]:
    [path] = source.glob("*.json")
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def name_of(number: int) -> str:
    return f"page-{number:03d}.html"


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

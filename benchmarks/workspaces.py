"""Write a public data set as a Pericia workspace: what the scripts named *_workspace.py have in common."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pericia.config import render_config
from pericia.duplicates import leaks
from pericia.evaluate.questions import read_questions
from pericia.examples import read_examples


def write_workspace(
    folder: Path,
    documents: Mapping[str, str],
    examples: Sequence[dict[str, Any]],
    questions: Sequence[dict[str, Any]],
    chosen: Mapping[str, Any],
) -> None:
    """Write documents, examples, questions and config; examples that give a question away are left out and counted."""
    for name, text in documents.items():
        path = folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    write_lines(folder / "questions.jsonl", questions)
    write_lines(folder / "examples.jsonl", examples)
    read, _ = read_examples(folder / "examples.jsonl")
    leaking = {f.line for f in leaks(read, read_questions(folder / "questions.jsonl"))}
    kept = [row for line, row in enumerate(examples, start=1) if line not in leaking]
    write_lines(folder / "examples.jsonl", kept)
    files = {
        "documents": ["documents"],
        "questions": "questions.jsonl",
        "examples": "examples.jsonl",
    }
    (folder / "pericia.yaml").write_text(render_config({**files, **chosen}), encoding="utf-8")
    print(f"{len(documents)} documents, {len(questions)} questions, {len(kept)} examples: {folder}")
    print(f"left out, because they give a held-out question away: {len(leaking)} examples")


def example(question: str, answer: str, source: str) -> dict[str, Any]:
    """Return a line of examples.jsonl."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "source": f"documents/{source}"}


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")

"""The legs of the search are chosen by themselves: on training examples, once for each state of the index."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pericia.config import parse_config
from pericia.evaluate import tools
from pericia.evaluate.tools import open_tools
from pericia.types import Question
from pericia.workspace import Workspace


def test_legs_are_chosen_on_examples_once_and_again_after_a_change(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    for name, bar in (("px-20", 24), ("px-40", 42)):
        text = f"The operating pressure of {name} is {bar} bar.\n"
        (tmp_path / "documents" / f"{name}.txt").write_text(text, encoding="utf-8")
    lines = []
    for name, bar in (("px-20", 24), ("px-40", 42)):
        question = f"At what pressure does {name} work?"
        turns = [("user", question), ("assistant", f"{bar} bar")]
        messages = [{"role": role, "content": text} for role, text in turns]
        lines.append(json.dumps({"messages": messages, "source": f"documents/{name}.txt"}))
    (tmp_path / "examples.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = {"documents": ["documents"], "examples": "examples.jsonl", "model": "quote"}
    config, workspace = parse_config(data, "test"), Workspace(tmp_path)

    def said() -> list[str]:
        lines: list[str] = []
        open_tools(config, workspace, lambda message, *_: lines.append(message))
        return [line for line in lines if "chosen on" in line]

    assert len(said()) == 1
    assert said() == []
    (tmp_path / "documents" / "new.txt").write_text("A new pump has come.\n", encoding="utf-8")
    assert len(said()) == 1


def test_documents_are_read_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"Pump {name} holds 42 bar.\n", encoding="utf-8")
    config = parse_config({"documents": ["a.txt", "b.txt"], "model": "quote"}, "test")
    opened = open_tools(config, Workspace(tmp_path), lambda *_: None)
    assert opened.texts(["a.txt"]) == {"a.txt": "Pump a holds 42 bar."}
    monkeypatch.setattr(tools, "FEW_DOCUMENTS", 1)
    assert opened.texts(["a.txt", "b.txt"]).keys() == {"a.txt", "b.txt"}


def test_the_right_passage_is_the_one_of_the_source_that_holds_the_answer(tmp_path: Path) -> None:
    for name, bar in (("a", 24), ("b", 42)):
        lines = [f"# Pump {name}", f"Pump {name} is of steel. " * 60, f"Its pressure is {bar} bar."]
        (tmp_path / f"{name}.md").write_text("\n\n".join(lines), encoding="utf-8")
    config = parse_config({"documents": ["a.md", "b.md"], "model": "quote"}, "test")
    opened = open_tools(config, Workspace(tmp_path), lambda *_: None)
    asked = Question("q", "What is pump b made of?", ("42 bar",), ("b.md",))
    (passage,) = opened.find_right(asked).passages
    assert passage.chunk.source == "b.md"
    assert "42 bar" in passage.chunk.text
    both = replace(asked, sources=("b.md", "a.md"))
    assert [p.chunk.source for p in opened.find_right(both).passages] == ["b.md", "a.md"]

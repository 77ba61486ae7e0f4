"""The legs of the search are chosen by themselves: on training examples, once for each state of the index."""

import json
from pathlib import Path

import pytest

from pericia.config import parse_config
from pericia.evaluate import tools
from pericia.evaluate.tools import open_tools
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

"""Drafts of examples state what a row or a line states, ask each fact once, and remember what was decided."""

from dataclasses import replace
from pathlib import Path

import pytest

from pericia.errors import NotFoundError
from pericia.suggest import Draft, add_drafts, decide, propose, read_drafts
from pericia.types import Chunk, Place


def chunk(text: str, source: str = "prices.csv", language: str = "en", *headings: str) -> Chunk:
    return Chunk(text, source, source, text, 0, len(text), Place(), headings, language=language)


def test_a_row_asks_for_each_of_its_cells() -> None:
    rows = "Model: PX-20 | Price: 310 EUR | Oil: L-46\nModel: PX-40 | Price: – | Oil: L-68"
    drafts = propose([chunk(rows)], known=["what is the price of PX-20"])
    assert [(d.question, d.answer) for d in drafts] == [
        ("What is the oil of PX-20?", "L-46"),
        ("What is the oil of PX-40?", "L-68"),
    ]
    assert all(d.answer in d.quote and d.source == "prices.csv" for d in drafts)


def test_a_line_is_asked_under_its_heading_in_its_language() -> None:
    drafts = propose([chunk("Peso: 96 kg", "ficha.md", "es", "Bomba PX-20")], known=())
    assert [(d.question, d.answer) for d in drafts] == [("¿Cuál es peso de Bomba PX-20?", "96 kg")]


def test_sources_take_turns() -> None:
    many = [chunk(f"Part: V-{n} | Price: {n} EUR", "a.csv") for n in range(1, 9)]
    drafts = propose([*many, chunk("Part: W-1 | Price: 2 EUR", "b.csv")], known=(), most=3)
    assert [d.source for d in drafts] == ["a.csv", "b.csv", "a.csv"]


def test_prose_states_no_row() -> None:
    assert propose([chunk("The pump is heavy. Note: it leaks, see page 4.")], known=()) == ()


def test_what_was_decided_is_not_proposed_again(tmp_path: Path) -> None:
    path = tmp_path / "drafts.jsonl"
    drafts = propose([chunk("Part: V-1 | Price: 1 EUR | Weight: 2 kg")], known=())
    assert add_drafts(path, drafts) == 2
    rejected = decide(path, drafts[0].id, lambda d: replace(d, state="rejected"))
    assert rejected.state == "rejected"
    assert add_drafts(path, drafts) == 0
    assert [d.state for d in read_drafts(path)] == ["rejected", "draft"]
    with pytest.raises(NotFoundError):
        decide(path, "unknown", lambda d: d)


def test_no_file_has_no_drafts(tmp_path: Path) -> None:
    assert read_drafts(tmp_path / "none.jsonl") == ()
    assert Draft("i", "q", "a", "s", "x").state == "draft"

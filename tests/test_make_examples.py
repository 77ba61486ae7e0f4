"""Examples made of documents: grounded in their passage, traceable, never a held-out question."""

import json
from pathlib import Path

import pytest

from pericia import index
from pericia.config import parse_config
from pericia.embedders import load
from pericia.errors import ConflictError, InputError
from pericia.examples import read_examples
from pericia.make_examples import make_examples
from pericia.prompts import REFUSAL
from pericia.tune_examples import write_examples
from pericia.types import Chunk, Context, Passage, Place, Question
from pericia.workspace import Workspace
from tests.fakes import FakeModel


def chunk(id_: str, text: str, page: int = 1) -> Chunk:
    return Chunk(id_, id_, f"{id_}.pdf", text, 0, len(text), Place(page=page, line=4))


CHUNKS = [
    chunk("a", "Model: PX-20 | Oil: L-46 | Weight: 96 kg", 2),
    chunk("b", "Model: PX-40 | Oil: L-68"),
    chunk("c", "The kiln is fired at 900 °C."),
]


def search(question: str) -> Context:
    return Context(tuple(Passage(c, n, 1.0) for n, c in enumerate(CHUNKS, start=1)))


def test_forms_ask_what_tables_state_and_say_where() -> None:
    making = make_examples(CHUNKS, most=9)
    asked = {one.example.question: one.example.answer for one in making.made}
    assert asked["What is the oil of PX-20?"] == "L-46"
    row = next(one.as_row() for one in making.made if one.example.answer == "96 kg")
    assert row["source"] == "a.pdf"
    assert row["place"] == {
        "page": 2, "line": 4, "quote": "Model: PX-20 | Oil: L-46 | Weight: 96 kg", "made_by": "form",
    }  # fmt: skip
    assert len(make_examples(CHUNKS, most=1).made) == 1


def test_no_held_out_question_is_made() -> None:
    held_out = [Question("q", "What is the oil of PX-20?", ("L-46",))]
    making = make_examples(CHUNKS, most=9, held_out=held_out)
    assert "What is the oil of PX-20?" not in {one.example.question for one in making.made}
    assert making.left_out["asked by a held-out question"] == 1


def test_a_model_is_believed_only_where_the_passage_says_so() -> None:
    replies = [
        "Question: How hot is the kiln fired?\nAnswer: 900 °C",
        "Question: How hot is the kiln fired?\nAnswer: 800 °C",
        "Question: What does the passage say?\nAnswer: PX-40",
    ]
    making = make_examples(CHUNKS[2:] * 3, most=9, writer=FakeModel(replies))
    assert [(one.example.answer, one.quote, one.kind) for one in making.made] == [
        ("900 °C", "The kiln is fired at 900 °C.", "fake")
    ]
    assert making.left_out["answer does not stand in the passage"] == 2
    with pytest.raises(InputError, match="no question and answer"):
        make_examples(CHUNKS[2:], most=9, writer=FakeModel(["Hello."]))
    with pytest.raises(InputError, match="No example could be made"):
        make_examples(CHUNKS[2:], most=9)


def test_prompts_hold_the_passage_that_answers_or_decline() -> None:
    answered = make_examples(CHUNKS, most=9, find=search, refusal_share=0.0).made
    by_answer = {one.example.answer: one for one in answered}
    assert set(by_answer) == {"L-46 [1]", "96 kg [1]", "L-68 [2]"}
    assert "[3] The kiln" in by_answer["L-46 [1]"].example.question
    declined = make_examples(CHUNKS, most=9, find=search, refusal_share=1.0).made
    assert all(one.example.answer == REFUSAL and one.refuses for one in declined)
    assert not any("L-46" in one.example.question for one in declined if "L-46" in one.quote[:30])


def test_a_passage_that_search_missed_takes_the_place_of_the_worst() -> None:
    blind = Context((Passage(CHUNKS[2], 1, 1.0), Passage(CHUNKS[1], 2, 0.5)))
    made = make_examples(CHUNKS[:1], most=1, find=lambda _: blind, refusal_share=0.0).made
    [one] = made
    number = int(one.example.answer[-2])
    assert f"[{number}] Model: PX-20" in one.example.question
    assert "PX-40" not in one.example.question


def test_a_file_is_written_once_and_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    text = "Model,Price\nPX-20,310 EUR\nPX-40,520 EUR\n"
    (tmp_path / "documents" / "prices.csv").write_text(text, encoding="utf-8")
    question = {"id": "q", "question": "What is the price of PX-40?", "answers": ["520 EUR"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(question) + "\n", encoding="utf-8")
    config = parse_config({"documents": ["documents"], "questions": "q.jsonl"}, "test")
    workspace = Workspace(tmp_path)
    index.sync(
        [tmp_path / "documents"],
        folder=workspace.index,
        store_name="lance",
        embedder=load("minilm"),
        settings=config.retrieval,
        root=tmp_path,
    )
    path = tmp_path / "made.jsonl"
    made = write_examples(path, config, workspace, 9, None, with_passages=False)
    assert (made["num_made"], made["left_out"]["asked by a held-out question"]) == (1, 1)
    (example,), findings = read_examples(path)
    assert (example.answer, example.source, findings) == ("310 EUR", "documents/prices.csv", ())
    with pytest.raises(ConflictError):
        write_examples(path, config, workspace, 9, None, with_passages=False)

"""Embedder training: pairs are made from examples and passages; training makes them find each other."""

import json
from pathlib import Path

import numpy as np
import pytest

from pericia import index
from pericia.config import EmbedderTrainConfig, parse_config
from pericia.embedders import load
from pericia.errors import ConfigError, InputError, JobError
from pericia.trainers import load_embedder_trainer
from pericia.tune_embedder import find_pairs, measure, ranks, train_embedder
from pericia.types import Chunk, Example, Message, Place
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder


def chunk(id_: str, source: str, text: str) -> Chunk:
    return Chunk(id_, source, source, text, 0, len(text), Place())


def example(question: str, answer: str, source: str, line: int = 1) -> Example:
    return Example(
        (Message("user", question), Message("assistant", answer)), f"e{line}", line, source
    )


CHUNKS = [
    chunk("a1", "a.md", "The pump is blue."),
    chunk("a2", "a.md", "Its pressure is 42 bar."),
    chunk("b1", "b.md", "A press weighs 42 bar."),
]


def test_a_question_gets_the_passage_of_its_document_that_answers() -> None:
    rows = [
        example("Which pressure?", "42 bar", "a.md"),
        example("Which colour has the pump?", "azure", "a.md"),
        example("Who knows?", "I don't know.", "a.md"),
        example("Elsewhere?", "42 bar", "c.md"),
        example("Nowhere?", "42 bar", ""),
    ]
    assert [(q, c.id) for q, c in find_pairs(rows, CHUNKS)] == [
        ("Which pressure?", "a2"),
        ("Which colour has the pump?", "a1"),
    ]


def test_ranks_count_from_one_and_ties_as_worse() -> None:
    passages = ["aaa", "bbb", "aaa", "abab"]
    found = ranks(FakeEmbedder(), ["b", "a"], passages, [1, 0])
    assert found.tolist() == [1, 2]
    pairs = [("bbb", chunk("x", "s", "bbb")), ("a", chunk("y", "s", "aab"))]
    figures = measure(FakeEmbedder(), pairs, [pairs[0][1], pairs[1][1], chunk("z", "s", "aaa")])
    assert (figures.mrr, figures.hit_at_1) == (0.75, 0.5)


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No examples"):
        train_embedder(parse_config({}, "test"), Workspace(tmp_path))


@pytest.mark.slow
def test_training_brings_questions_to_their_passages(tmp_path: Path) -> None:
    words = ["zorb", "quill", "dray", "fenk", "mool", "prat", "snib", "tave"]
    (tmp_path / "documents").mkdir()
    rows = []
    for number, word in enumerate(words):
        text = f"# Sheet {number}\n\nThe setting of machine M{number} is item {number}.\n"
        (tmp_path / "documents" / f"{number}.md").write_text(text, encoding="utf-8")
        for ask in ("What about", "Tell of"):
            turns = [
                {"role": "user", "content": f"{ask} {word}?"},
                {"role": "assistant", "content": f"item {number}"},
            ]
            rows.append({"messages": turns, "source": f"documents/{number}.md"})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    chosen = {"epochs": 2, "batch_size": 4, "learning_rate": 2e-4, "dimensions": [64]}
    config = parse_config(
        {"documents": ["documents"], "examples": "rows.jsonl", "embedder_training": chosen}, "test"
    )
    workspace = Workspace(tmp_path)
    index.sync(
        [tmp_path / "documents"],
        folder=workspace.index,
        store_name="lance",
        embedder=load("minilm"),
        settings=config.retrieval,
        root=tmp_path,
    )
    made = train_embedder(config, workspace)
    manifest = json.loads((Path(made.path) / "pericia-embedder.json").read_text(encoding="utf-8"))
    assert manifest["losses"][-1] < manifest["losses"][0]
    assert manifest["dimensions"] == [384, 64]
    tuned = load(made.path)
    vectors = tuned.embed_questions(["What about zorb?"])
    assert vectors.shape == (1, 384)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)
    assert train_embedder(config, workspace).path == made.path
    report = index.sync(
        [tmp_path / "documents"],
        folder=workspace.index,
        store_name="lance",
        embedder=tuned,
        settings=config.retrieval,
        root=tmp_path,
    )
    assert report.added == len(words)
    same = [("What about zorb?", "item 1"), ("Tell of zorb", "item 1")]
    with pytest.raises(JobError, match="nothing to tell apart"):
        load_embedder_trainer().train(
            same, [], "minilm", EmbedderTrainConfig(epochs=1, batch_size=2), tmp_path / "y"
        )
    with pytest.raises(InputError, match="is more than the 384"):
        load_embedder_trainer().train(
            [("a", "b")], [], "minilm", EmbedderTrainConfig(dimensions=(512,)), tmp_path / "x"
        )

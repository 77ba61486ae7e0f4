from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia import stores
from pericia.config import RetrievalConfig
from pericia.retrieve import choose_legs, fuse, read_legs, retrieve, write_legs
from pericia.stores import VectorStore
from pericia.types import Entry, Hit
from tests.fakes import FakeEmbedder
from tests.passages import passage


def hits(*names: str) -> list[Hit]:
    return [Hit(passage(name).chunk, 1 / i) for i, name in enumerate(names, start=1)]


def test_what_both_legs_find_comes_first() -> None:
    fused = fuse(hits("a", "both"), hits("b", "both"))
    assert fused[0].chunk.text == "both"
    assert fused[0].score == pytest.approx(2 / 62)
    assert (fused[0].dense, fused[0].lexical) == (0.5, 0.5)
    assert fused[1].score == fused[2].score
    assert fused[1].chunk.id < fused[2].chunk.id


@given(
    st.lists(st.sampled_from("abcdefgh"), unique=True),
    st.lists(st.sampled_from("abcdefgh"), unique=True),
)
def test_fusion_returns_every_hit_once_best_first(dense: list[str], lexical: list[str]) -> None:
    fused = fuse(hits(*dense), hits(*lexical))
    assert {p.chunk.text for p in fused} == {*dense, *lexical}
    assert [p.rank for p in fused] == list(range(1, len(fused) + 1))
    assert [p.score for p in fused] == sorted((p.score for p in fused), reverse=True)


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    embedder = FakeEmbedder()
    store = stores.load("lance", tmp_path, embedder.name, embedder.num_dimensions)
    for source, text in [
        ("1", "aaaa kiln"),
        ("2", "bbbb pump"),
        ("3", "bbbb pump"),
        ("4", "cc A-113/B"),
    ]:
        chunk = passage(text, source=source).chunk
        [vector] = embedder.embed_passages([text])
        store.replace({chunk.document_id: [Entry(chunk, vector, text.lower())]})
    return store


def ask(store: VectorStore, question: str, **settings: object) -> list[str]:
    chosen = RetrievalConfig.model_validate({"lexical_unit": "surface", **settings})
    found = retrieve(question, store=store, embedder=FakeEmbedder(), settings=chosen)
    return [p.chunk.text for p in found]


def test_each_leg_can_be_asked_alone(store: VectorStore) -> None:
    assert ask(store, "a", legs="dense")[0] == "aaaa kiln"
    assert ask(store, "A-113/B", legs="lexical") == ["cc A-113/B"]
    assert ask(store, "the", legs="lexical") == []


def test_equal_texts_are_returned_once_and_top_k_counts_the_rest(store: VectorStore) -> None:
    assert ask(store, "pump bbbb").count("bbbb pump") == 1
    assert len(ask(store, "pump", top_k=2)) == 2


def test_fusion_is_dropped_where_one_leg_is_better(store: VectorStore, tmp_path: Path) -> None:
    settings = RetrievalConfig(lexical_unit="surface")
    labelled = [("bbbbbb kiln pump", {"1"})]
    scores = choose_legs(labelled, store=store, embedder=FakeEmbedder(), settings=settings)
    best = max(scores.mean_reciprocal_ranks.values())
    assert scores.mean_reciprocal_ranks[scores.chosen] == best
    assert scores.chosen == "lexical"
    assert read_legs(tmp_path) == "hybrid"
    write_legs(tmp_path, scores)
    assert read_legs(tmp_path) == "lexical"

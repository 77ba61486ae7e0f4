import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia import analyser, stores
from pericia.config import RetrievalConfig
from pericia.errors import StoreError
from pericia.retrieve import (
    Found,
    choose_legs,
    distinct,
    fuse,
    retrieve,
    search,
    with_legs,
    write_legs,
)
from pericia.staging import lexical_tokens
from pericia.stores import VectorStore
from pericia.types import Entry, Hit
from tests.fakes import FakeEmbedder
from tests.passages import passage


def hits(*names: str) -> list[Hit]:
    return [Hit(passage(name).chunk, 1 / i) for i, name in enumerate(names, start=1)]


def test_what_both_legs_find_comes_first_and_scores_lie_in_0_to_1() -> None:
    fused = fuse(Found(hits("both", "a", "last"), hits("b", "both")), 0.5)
    assert [p.chunk.text for p in fused] == ["both", "b", "a", "last"]
    assert fused[0].score == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert (fused[0].dense, fused[0].lexical) == (1.0, 0.5)
    assert (fused[1].dense, fused[1].lexical) == (None, 1.0)
    assert fused[3].score == 0


def test_ties_are_broken_by_chunk_id() -> None:
    one, other = fuse(Found([Hit(passage("x").chunk, 0.3), Hit(passage("y").chunk, 0.3)], []), 1.0)
    assert one.score == other.score
    assert one.chunk.id < other.chunk.id


names = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(names, names, st.floats(0, 1))
def test_fusion_returns_every_passage_once_best_first(
    dense: list[str], lexical: list[str], weight: float
) -> None:
    fused = fuse(Found(hits(*dense), hits(*lexical)), weight)
    assert {p.chunk.text for p in fused} == {*dense, *lexical}
    assert [p.rank for p in fused] == list(range(1, len(fused) + 1))
    assert [p.score for p in fused] == sorted((p.score for p in fused), reverse=True)
    assert all(0 <= p.score <= 1 + 1e-9 for p in fused)


@given(names)
def test_a_weight_of_one_or_zero_is_the_leg_alone(order: list[str]) -> None:
    for found, weight in ((Found(hits(*order), []), 1.0), (Found([], hits(*order)), 0.0)):
        assert [p.chunk.text for p in fuse(found, weight)] == order


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


class Meeting:
    """A store whose two searches wait for each other, and give up when the other does not come."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.both = threading.Barrier(2, timeout=60)
        self.fault = fault

    def search_dense(self, *_: object) -> list[Hit]:
        self.both.wait()
        return hits("a", "both")

    def search_lexical(self, *_: object) -> list[Hit]:
        self.both.wait()
        if self.fault is not None:
            raise self.fault
        return hits("both", "b")


def test_the_legs_search_at_the_same_time_and_a_fault_of_one_is_raised() -> None:
    settings = RetrievalConfig(legs="hybrid")

    def found(store: Any) -> Found:
        return search("both", store=store, embedder=FakeEmbedder(), settings=settings)

    together = found(Meeting())
    assert [hit.chunk.text for hit in together.dense] == ["a", "both"]
    assert [hit.chunk.text for hit in together.lexical] == ["both", "b"]
    with pytest.raises(StoreError, match="gone"):
        found(Meeting(StoreError("The server is gone.")))


def test_equal_texts_are_returned_once_and_top_k_counts_the_rest(store: VectorStore) -> None:
    assert ask(store, "pump bbbb").count("bbbb pump") == 1
    assert len(ask(store, "pump", top_k=2)) == 2


POLICY = "Refunds are paid within 14 days to the account that the order was paid from."


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (
            "**Refunds** are paid within 14 days, to the account\nthat the order was paid from!",
            True,
        ),
        ("Refunds get paid within 14 days to an account that the order was paid from", False),
        ("Refunds are paid within 30 days to the account that the order was paid from.", False),
        ("Refunds are not paid within 14 days to the account the order was paid from.", False),
        ("Orders are paid within 14 days to the account that the refund was paid from.", False),
    ],
)
def test_what_says_the_same_is_kept_once_and_what_differs_in_a_fact_stays(
    other: str, is_same: bool
) -> None:
    found = [passage(POLICY, 1), passage("Kilns are hot.", 2), passage(other, 3, source="b.txt")]
    kept = distinct(found, 5)
    assert [p.chunk.text for p in kept] == [p.chunk.text for p in (found[:2] if is_same else found)]


def test_a_few_more_words_are_no_news_but_a_number_or_a_not_is() -> None:
    long = "The operator of the hall checks valve, belt, panel, seal, filter and shaft every single morning"
    for more, is_same in ((" carefully", True), (" 7", False), (" never", False)):
        kept = distinct([passage(long), passage(long + more)], 5)
        assert len(kept) == (1 if is_same else 2), more


def test_of_equal_passages_the_newest_document_takes_the_best_place() -> None:
    old, new = passage(POLICY, 1, source="old.md"), passage(f"{POLICY}!", 3, source="new.md")
    found = [old, passage("Kilns are hot.", 2), new]
    kept = distinct(found, 5, lambda one, _: one.source == "new.md")
    assert [p.chunk.source for p in kept] == ["new.md", "a.txt"]
    assert kept[0].score == old.score
    assert [p.chunk.source for p in distinct(found, 1, lambda *_: False)] == ["old.md"]


@given(st.lists(st.sampled_from(["pump a", "Pump A.", "the pump a", "pump b", "kiln", "kiln 3"])))
def test_every_passage_is_kept_or_said_by_one_that_is(texts: list[str]) -> None:
    found = [passage(text, rank) for rank, text in enumerate(texts, start=1)]
    kept = distinct(found, 50)
    assert [p.rank for p in kept] == sorted(p.rank for p in kept)
    said = {tuple(analyser.surface(p.chunk.text)) for p in kept}
    assert said == {tuple(analyser.surface(text)) for text in texts}
    assert len(said) == len(kept)


def test_fusion_is_dropped_where_one_leg_is_better(store: VectorStore, tmp_path: Path) -> None:
    settings = RetrievalConfig(lexical_unit="surface")
    labelled = [("bbbbbb kiln pump", {"1"})]
    scores = choose_legs(labelled, store=store, embedder=FakeEmbedder(), settings=settings)
    assert max(scores.mean_reciprocal_ranks.values()) == 1
    assert scores.mean_reciprocal_ranks[scores.dense_weight] == 1
    assert scores.mean_reciprocal_ranks[1.0] < 1
    assert scores.dense_weight < 0.5
    assert with_legs(settings, tmp_path).legs == "hybrid"
    write_legs(tmp_path, scores)
    kept = with_legs(settings, tmp_path)
    assert (kept.legs, kept.dense_weight) == (scores.legs, scores.dense_weight)
    own = RetrievalConfig(legs="dense")
    assert with_legs(own, tmp_path) is own


def add_whole(store: VectorStore, document: str, texts: list[str], whole: str) -> None:
    """Store a document of several passages with its summary, whose words are those of the whole document."""
    embedder = FakeEmbedder()
    key = passage(document, source=document).chunk.document_id
    entries = []
    for text in [*texts, "dd"]:
        chunk = replace(passage(text, source=document).chunk, document_id=key)
        if text == "dd":
            chunk = replace(chunk, kind="summary")
        [vector] = embedder.embed_passages([text])
        words = whole if chunk.kind == "summary" else text
        entries.append(Entry(chunk, vector, words.lower()))
    store.replace({key: entries})


def test_words_spread_over_a_document_find_it_and_its_summary_is_never_a_passage(
    store: VectorStore,
) -> None:
    add_whole(store, "north", ["north hall plan", "kettle rules"], "north hall plan kettle rules")
    add_whole(store, "south", ["south hall plan", "kettle costs"], "south hall plan kettle costs")
    assert ask(store, "kettle north", legs="lexical")[0] in ("north hall plan", "kettle rules")
    found = ask(store, "kettle north", legs="lexical", top_k=10)
    assert found.index("kettle rules") < found.index("kettle costs")
    assert "dd" not in ask(store, "kettle north ddd", top_k=50)


def test_a_document_found_by_its_summary_alone_shows_its_best_passage(store: VectorStore) -> None:
    add_whole(store, "north", ["aaaa hall", "bbbb hall"], "hidden hall")
    assert ask(store, "hidden", legs="lexical") == []
    assert "aaaa hall" in ask(store, "hidden hall", legs="lexical")
    wide = {"legs": "dense", "candidates": 1, "top_k": 1}
    assert ask(store, "dddddddd", **wide) in (["aaaa hall"], ["bbbb hall"])


def test_a_search_can_be_limited_to_documents(store: VectorStore) -> None:
    keys = [chunk.document_id for chunk in store.chunks() if chunk.source == "2"]
    found = retrieve(
        "pump",
        store=store,
        embedder=FakeEmbedder(),
        settings=RetrievalConfig(lexical_unit="surface"),
        documents=keys,
    )
    assert {p.chunk.source for p in found} == {"2"}


MANY_LANGUAGES = {
    "bg": (
        "Какви са наляганията на помпите?",
        "Помпата държи налягане от 42 бара.",
        "Къде е пещта и какво е на нея?",
    ),
    "es": (
        "¿Cuáles son las presiones de las bombas?",
        "La bomba aguanta una presión de 42 bares.",
        "¿Dónde está el horno y qué es lo que hay en él?",
    ),
    "pt": (
        "Quais são as pressões das bombas?",
        "A bomba aguenta uma pressão de 42 bares.",
        "Onde está o forno e o que é que há nele?",
    ),
}


@pytest.mark.parametrize("language", MANY_LANGUAGES)
@pytest.mark.parametrize("unit", ["auto", "stem"])
def test_the_lexical_leg_finds_other_forms_and_is_not_led_by_small_words(
    tmp_path: Path, language: str, unit: str
) -> None:
    question, wanted, other = MANY_LANGUAGES[language]
    embedder = FakeEmbedder()
    settings = RetrievalConfig.model_validate({"lexical_unit": unit, "legs": "lexical"})
    store = stores.load("lance", tmp_path, embedder.name, embedder.num_dimensions)
    entries = {}
    for text in (wanted, other):
        chunk = passage(text, source=text, language=language).chunk
        [vector] = embedder.embed_passages([text])
        tokens = " ".join(lexical_tokens(chunk, settings))
        entries[chunk.document_id] = [Entry(chunk, vector, tokens)]
    store.replace(entries)
    found = retrieve(question, store=store, embedder=embedder, settings=settings, language=language)
    assert [p.chunk.text for p in found] == [wanted]

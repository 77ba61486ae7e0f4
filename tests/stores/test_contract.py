"""What every vector store must hold, run for each name of the table; PostgreSQL is a real server, started here."""

import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from pericia import stores
from pericia.errors import ConfigError, ConflictError, NotFoundError
from pericia.stores import VectorStore
from tests.stores.entries import DIMENSIONS, document, document_id, entry, vector_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=sorted(stores.STORES))
def where(request: pytest.FixtureRequest) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return str(request.param)


@pytest.fixture
def store(where: str, tmp_path: Path) -> VectorStore:
    return open_store(where, tmp_path)


def open_store(where: str, folder: Path) -> VectorStore:
    store: VectorStore = stores.load(where, folder, "fake", DIMENSIONS)
    return store


def writer(where: str, folder: Path, prefix: str, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.stores.writer", where, str(folder), prefix, str(rounds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def acknowledged(lines: Sequence[str]) -> dict[str, str]:
    return dict(line.split() for line in lines if " " in line)


def test_a_chunk_comes_back_as_it_was_stored(store: VectorStore) -> None:
    stored = entry("a", 0, "valve a-113/b 10.5", ["sales"])
    store.replace({stored.chunk.document_id: [stored]})
    assert store.chunks() == [stored.chunk]
    assert store.chunks(stored.chunk.document_id) == [stored.chunk]
    assert store.chunks(document_id("other")) == []
    [hit] = store.search_dense(stored.vector, 5)
    assert hit.chunk == stored.chunk
    assert hit.score == pytest.approx(1, abs=1e-5)


def test_an_empty_store_finds_nothing(store: VectorStore) -> None:
    assert store.count() == 0
    assert store.search_dense(vector_of("q"), 5) == []
    assert store.search_lexical(["word"], 5) == []
    assert store.search_lexical([], 5) == []
    assert store.optimize() == ""


def test_a_replaced_document_leaves_nothing_behind(store: VectorStore) -> None:
    key = document_id("a")
    store.replace({key: document("a", "old", 3), document_id("b"): document("b", "old", 2)})
    store.replace({key: document("a", "new", 2)})
    assert store.count() == 4
    assert [hit.chunk.text for hit in store.search_lexical(["new"], 9)] == [
        chunk.text for chunk in sorted(store.chunks(key), key=lambda c: c.id)
    ]
    assert {hit.chunk.document_id for hit in store.search_lexical(["old"], 9)} == {document_id("b")}


def test_removed_text_is_found_by_neither_leg_nor_after_reopening(
    store: VectorStore, where: str, tmp_path: Path
) -> None:
    gone = document("a", "secret")
    store.replace({document_id("a"): gone, document_id("b"): document("b", "public")})
    store.optimize()
    store.replace({document_id("a"): []})
    for handle in (store, open_store(where, tmp_path)):
        assert handle.search_lexical(["secret"], 9) == []
        found = handle.search_dense(gone[0].vector, 9)
        assert {hit.chunk.document_id for hit in found} == {document_id("b")}
        assert handle.count() == 3


def test_another_handle_sees_a_commit_at_once(
    store: VectorStore, where: str, tmp_path: Path
) -> None:
    reader = open_store(where, tmp_path)
    assert reader.count() == 0
    store.replace({document_id("a"): document("a", "fresh")})
    assert len(reader.search_lexical(["fresh"], 9)) == 3
    assert len(reader.search_dense(vector_of("q"), 9)) == 3


def test_ties_are_broken_by_chunk_id(store: VectorStore) -> None:
    same = [entry(f"d{i}", 0, "same words") for i in range(30)]
    same = [type(e)(e.chunk, vector_of("one"), e.tokens) for e in same]
    store.replace({e.chunk.document_id: [e] for e in same})
    ordered = sorted(e.chunk.id for e in same)
    assert [h.chunk.id for h in store.search_dense(vector_of("one"), 30)] == ordered
    assert [h.chunk.id for h in store.search_lexical(["same"], 30)] == ordered


@pytest.mark.parametrize("num_commits", [1, 10, pytest.param(50, marks=pytest.mark.slow)])
def test_lexical_scores_are_bm25_over_the_whole_store(store: VectorStore, num_commits: int) -> None:
    rng = random.Random(0)
    words = [f"w{i}" for i in range(30)] + ["a-113/b", "10.5", "ção", "x" * 150]
    texts = {f"d{i}": rng.choices(words, k=rng.randint(3, 30)) for i in range(100)}
    names = list(texts)
    for part in range(num_commits):
        some = names[part::num_commits]
        store.replace({document_id(n): [entry(n, 0, " ".join(texts[n]))] for n in some})
    for changed in names[:20]:  # deleted rows must not count in the statistics
        texts[changed] = rng.choices(words, k=10)
        store.replace({document_id(changed): [entry(changed, 0, " ".join(texts[changed]))]})
    assert store.optimize() == ""
    for _ in range(10):
        question = rng.sample(words, 4)
        expected = bm25(texts, question)
        found = store.search_lexical(question, 10)
        assert [hit.score for hit in found] == pytest.approx(
            sorted(expected.values(), reverse=True)[:10], rel=1e-4
        )
        for hit in found:
            document_name = hit.chunk.source.split("'")[0]
            assert hit.score == pytest.approx(expected[document_name], rel=1e-4)


def bm25(
    texts: Mapping[str, Sequence[str]], question: Sequence[str], k1: float = 1.2, b: float = 0.75
) -> dict[str, float]:
    mean = sum(map(len, texts.values())) / len(texts)
    frequency = Counter(word for words in texts.values() for word in set(words))
    scores: defaultdict[str, float] = defaultdict(float)
    for name, words in texts.items():
        for word in question:
            count = words.count(word)
            rarity = math.log(1 + (len(texts) - frequency[word] + 0.5) / (frequency[word] + 0.5))
            length = k1 * (1 - b + b * len(words) / mean)
            if count:
                scores[name] += rarity * count * (k1 + 1) / (count + length)
    return scores


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01, 0.0025])
def test_a_filter_is_applied_before_ranking(store: VectorStore, share: float) -> None:
    size = 400
    num_allowed = round(size * share)
    entries = [
        entry(f"d{i}", 0, f"common d{i}", ["it's ours" if i < num_allowed else "others"])
        for i in range(size)
    ]
    store.replace({e.chunk.document_id: [e] for e in entries})
    vector = vector_of("question")
    allowed = sorted(entries[:num_allowed], key=lambda e: -float(e.vector @ vector))
    dense = store.search_dense(vector, 10, ["it's ours"])
    lexical = store.search_lexical(["common"], 10, ["it's ours"])
    assert [h.chunk.id for h in dense] == [e.chunk.id for e in allowed[:10]]
    assert len(lexical) == min(10, num_allowed)
    assert {h.chunk.groups for h in lexical} == {("it's ours",)}


def test_a_chunk_without_groups_is_for_everybody(store: VectorStore) -> None:
    store.replace(
        {
            document_id("open"): document("open", "word", 1),
            document_id("closed"): document("closed", "word", 1, ["board"]),
        }
    )
    for groups, expected in ((None, 2), (["board"], 2), (["staff"], 1), ([], 1)):
        assert len(store.search_lexical(["word"], 9, groups)) == expected
        assert len(store.search_dense(vector_of("q"), 9, groups)) == expected


def test_a_search_is_limited_to_the_documents_named(store: VectorStore) -> None:
    names = [f"d{i}" for i in range(30)]
    store.replace({document_id(n): [entry(n, 0, f"common {n}")] for n in names})
    some = {document_id("d3"), document_id("d7"), document_id("absent")}
    for hits in (
        store.search_dense(vector_of("q"), 9, None, some),
        store.search_lexical(["common"], 9, None, some),
    ):
        assert {hit.chunk.document_id for hit in hits} == some - {document_id("absent")}
    assert store.search_dense(vector_of("q"), 9, None, []) == []
    assert store.search_lexical(["common"], 9, [], []) == []


def test_vectors_come_back_by_chunk(store: VectorStore) -> None:
    stored = document("a", "word")
    store.replace({document_id("a"): stored})
    found = store.vectors([stored[0].chunk.id, stored[2].chunk.id, document_id("absent")])
    assert found.keys() == {stored[0].chunk.id, stored[2].chunk.id}
    assert np.allclose(found[stored[2].chunk.id], stored[2].vector, atol=1e-6)
    assert store.vectors([]) == {}


def test_a_token_of_any_length_is_found(store: VectorStore) -> None:
    long = "x" * 5000
    store.replace({document_id("a"): [entry("a", 0, f"{long} word")]})
    store.replace({document_id("b"): [entry("b", 0, f"{long}y word")]})
    assert [hit.chunk.document_id for hit in store.search_lexical([long], 9)] == [document_id("a")]


def test_every_chunk_that_is_counted_is_found(store: VectorStore) -> None:
    for i in range(40):
        store.replace({document_id(f"d{i}"): document(f"d{i}", f"gen{i}", 3)})
    stored = store.chunks()
    assert store.count() == len(stored) == 120
    assert store.sizes() == {document_id(f"d{i}"): 3 for i in range(40)}
    for chunk, vector in ((c, store.vectors([c.id])[c.id]) for c in stored[::7]):
        assert store.search_dense(vector, 1)[0].chunk.id == chunk.id
        words = chunk.text.split()
        assert chunk.id in {hit.chunk.id for hit in store.search_lexical(words, 3)}


def test_a_dropped_index_is_gone_and_leaves_other_files_alone(
    store: VectorStore, where: str, tmp_path: Path
) -> None:
    store.replace({document_id("a"): document("a", "word")})
    (tmp_path / "catalogue.json").touch()
    stores.drop(where, tmp_path)
    assert (tmp_path / "catalogue.json").exists()
    assert open_store(where, tmp_path).count() == 0


@pytest.mark.parametrize("num_rounds", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_churn_keeps_search_right(store: VectorStore, num_rounds: int) -> None:
    for i in range(num_rounds):
        name = f"d{i % 10}"
        store.replace({document_id(name): document(name, f"gen{i}", 5)})
        if i % 25 == 24:
            assert store.optimize() == ""
    assert store.count() == 50
    for i in range(num_rounds - 10, num_rounds):
        newest = document(f"d{i % 10}", f"gen{i}", 5)
        assert len(store.search_lexical([f"gen{i}"], 9)) == 5
        assert store.search_lexical([f"gen{i - 10}"], 9) == []
        assert store.search_dense(newest[2].vector, 1)[0].chunk.id == newest[2].chunk.id


@pytest.mark.parametrize("num_kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(
    where: str, tmp_path: Path, num_kills: int
) -> None:
    for round_number in range(num_kills):
        process = writer(where, tmp_path, "k", 1000)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) > 6 + 5 * (round_number % 4):
                break
        process.kill()  # in the middle of whatever it does now
        lines += process.communicate()[0].splitlines()
        store = open_store(where, tmp_path)
        for document_name, generation in acknowledged(lines).items():
            chunks = store.chunks(document_id(document_name))
            generations = {chunk.text.split()[0] for chunk in chunks}
            assert len(generations) == 1, "a document of two generations"
            assert len(chunks) == 3
            [found] = generations
            assert int(found.removeprefix("gen")) >= int(generation.removeprefix("gen"))
            assert len(store.search_lexical([document_name], 9)) == 3
        assert store.count() == len(store.chunks())


def test_two_processes_write_at_once(where: str, tmp_path: Path) -> None:
    writers = [writer(where, tmp_path, prefix, 12) for prefix in ("a", "b")]
    outputs = [process.communicate()[0].splitlines() for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    store = open_store(where, tmp_path)
    assert store.count() == 24
    for lines in outputs:
        for document_name, generation in acknowledged(lines).items():
            found = store.search_lexical([document_name], 9)
            assert [h.chunk.text.split()[0] for h in found] == [generation] * 3
            vector = document(document_name, generation)[1].vector
            assert store.search_dense(vector, 1)[0].score == pytest.approx(1, abs=1e-5)


def test_another_embedders_vectors_are_refused(store: VectorStore) -> None:
    with pytest.raises(ConflictError, match="8 dimensions"):
        store.search_dense(np.ones(8, dtype=np.float32), 3)


def test_two_embedders_have_two_tables(where: str, tmp_path: Path) -> None:
    first, second = (stores.load(where, tmp_path, n, DIMENSIONS) for n in ("one", "two"))
    first.replace({document_id("a"): document("a", "word")})
    assert (first.count(), second.count()) == (3, 0)
    with pytest.raises(ConflictError, match="not of 'one'"):
        stores.load(where, tmp_path, "one", 8)


def test_an_unknown_store_is_named_with_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as error:
        stores.load("lanse", tmp_path, "fake", 8)
    assert "Did you mean 'lance'" in error.value.hint


@pytest.mark.parametrize("where", ["postgresql", "lance://here"])
def test_a_store_without_a_good_address_is_refused(where: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no good address"):
        stores.load(where, tmp_path, "fake", 8)

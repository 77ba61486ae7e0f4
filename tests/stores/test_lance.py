import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pericia.stores.lance import graph, writing
from pericia.stores.lance.graph import refine_factor_for
from pericia.stores.lance.library import wait
from pericia.stores.lance.store import LanceStore
from pericia.types import Entry
from tests.stores.entries import DIMENSIONS, document, document_id, entry, vector_of


def test_past_its_size_the_graph_index_is_built_and_finds_what_the_scan_finds(
    tmp_path: Path,
) -> None:
    store = LanceStore(tmp_path, "fake", DIMENSIONS, ann_rows=600)
    entries: list[Entry] = [
        entry(f"d{i}", 0, f"word d{i}", ["few" if i % 100 == 0 else "many"]) for i in range(700)
    ]
    store.replace({e.chunk.document_id: [e] for e in entries})
    assert not list(tmp_path.glob("*.ann.json"))
    assert store.optimize() == ""
    assert list(tmp_path.glob("*.ann.json"))
    vector = vector_of("question")
    nearest = sorted(entries, key=lambda e: -float(e.vector @ vector))[:10]
    found = [h.chunk.id for h in store.search_dense(vector, 10)]
    assert len(set(found) & {e.chunk.id for e in nearest}) >= 9
    few = sorted(
        (e for e in entries if e.chunk.groups == ("few",)), key=lambda e: -float(e.vector @ vector)
    )
    hits = store.search_dense(vector, 10, ["few"])
    assert [h.chunk.id for h in hits] == [e.chunk.id for e in few]
    fresh = entry("fresh", 0, "fresh")
    store.replace({fresh.chunk.document_id: [fresh]})
    assert store.search_dense(fresh.vector, 1)[0].chunk == fresh.chunk


def test_many_rows_are_refined_from_no_more_candidates_than_were_measured(tmp_path: Path) -> None:
    store = LanceStore(tmp_path, "fake", DIMENSIONS, ann_rows=600)
    entries = [entry(f"d{i}", 0, f"word d{i}") for i in range(900)]
    store.replace({e.chunk.document_id: [e] for e in entries})
    assert store.optimize() == ""
    settings = json.loads(next(tmp_path.glob("*.ann.json")).read_text(encoding="utf-8"))
    assert settings["exact"] is False
    assert refine_factor_for(10, settings["refine_factor"]) == settings["refine_factor"]
    assert refine_factor_for(130, settings["refine_factor"]) == 1
    vector = vector_of("question")
    nearest = sorted(entries, key=lambda e: -float(e.vector @ vector))
    found = [hit.chunk.id for hit in store.search_dense(vector, 110)]
    assert len(found) == 110
    assert len(set(found[:10]) & {e.chunk.id for e in nearest[:10]}) >= 9
    assert len(set(found) & {e.chunk.id for e in nearest[:110]}) >= 100


def test_a_failing_compaction_is_said_and_searching_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LanceStore(tmp_path, "fake", DIMENSIONS)
    one = entry("a", 0, "word")
    store.replace({one.chunk.document_id: [one]})

    def fail(**_: object) -> None:
        raise RuntimeError("disk quota exceeded\ndetails")

    monkeypatch.setattr(store._table, "optimize", fail)
    fault = store.optimize()
    assert "disk quota exceeded" in fault
    assert re.search(r"holds \d+ versions in \d+\.\d MB", fault)
    assert store.search_dense(np.asarray(one.vector), 1)[0].chunk == one.chunk


class DiedError(BaseException):
    """The process ends here."""


def renamed(entries: list[Entry], mark: str) -> list[Entry]:
    """Return the entries as other chunks of the same document."""
    return [
        replace(e, chunk=replace(e.chunk, id=document_id(f"{mark}{e.chunk.id}"))) for e in entries
    ]


def test_who_dies_while_old_rows_are_swept_away_leaves_nothing_to_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LanceStore(tmp_path, "fake", DIMENSIONS)
    old = document("a", "old", 4)
    new = renamed(document("a", "new", 2), "new")
    store.replace({document_id("a"): old, document_id("b"): document("b", "other")})

    def die(_: object) -> None:
        raise DiedError

    with monkeypatch.context() as dying:
        dying.setattr(writing, "drop_empty_rows", die)
        with pytest.raises(DiedError):
            store.replace({document_id("a"): new})
    for left_over in (True, False):
        opened = LanceStore(tmp_path, "fake", DIMENSIONS)
        assert (wait(opened._table.count_rows()) > 5) == left_over
        assert opened.count() == len(opened.chunks()) == 5
        assert opened.sizes() == {document_id("a"): 2, document_id("b"): 3}
        assert opened.chunks(document_id("a")) == [e.chunk for e in new]
        assert opened.vectors([e.chunk.id for e in old]) == {}
        assert opened.search_lexical(["old"], 9) == []
        assert {h.chunk.id for h in opened.search_lexical(["new"], 9)} == {e.chunk.id for e in new}
        for groups in (None, ["staff"]):
            hits = opened.search_dense(old[0].vector, 9, groups)
            assert {h.chunk.id for h in hits} == {c.id for c in opened.chunks()}
        assert opened.optimize() == ""


def test_new_documents_are_appended_and_known_ones_leave_the_other_rows_alone(
    tmp_path: Path,
) -> None:
    store = LanceStore(tmp_path, "fake", DIMENSIONS)
    store.replace({document_id("a"): document("a", "gen0")})
    one = wait(store._table.version())
    store.replace({document_id("b"): document("b", "gen0")})
    store.replace({document_id("b"): document("b", "gen1")})
    assert wait(store._table.version()) == one + 2
    store.replace({document_id("b"): renamed(document("b", "gen2"), "new")})
    assert wait(store._table.version()) == one + 4  # the second swept away what the first emptied
    assert store.sizes() == {document_id("a"): 3, document_id("b"): 3}


def test_a_graph_in_many_parts_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_MOST_PARTS", 2)
    store = LanceStore(tmp_path, "fake", DIMENSIONS, ann_rows=300)
    store.replace(
        {e.chunk.document_id: [e] for e in (entry(f"d{i}", 0, "word") for i in range(300))}
    )
    parts = []
    for i in range(4):
        store.replace({document_id(f"new{i}"): document(f"new{i}", "fresh")})
        assert store.optimize() == ""
        parts.append(store._index_of("vector").num_segments)
    assert parts == [1, 2, 1, 2]
    newest = document("new3", "fresh")[1]
    assert store.search_dense(newest.vector, 1)[0].chunk == newest.chunk

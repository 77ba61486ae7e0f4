import json
import re
from pathlib import Path

import numpy as np
import pytest

from pericia.stores.lance.store import LanceStore, refine_factor_for
from pericia.types import Entry
from tests.stores.entries import DIMENSIONS, entry, vector_of


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

"""The graph index over vectors: built past the size where it pays, and kept only if it finds what the scan finds."""

import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pericia.stores.lance.library import HnswSq, wait
from pericia.workspace import write_json

ANN_ROWS = 50_000  # below, the exact scan takes under 50 ms on two cores
ANN_RECALL = 0.95
# nprobes, refine_factor and ef, tried in this order
_SEARCHES = ((1, 5, 100), (1, 10, 300), (1, 20, 1000))
_MOST_PARTS = 16
MEASURED_ROWS = 10  # asked for when the settings of the graph are chosen


def build_graph(table: Any, settings_file: Path, num_rows: int) -> None:
    """Build the graph of a table anew and write how to search it; where it misses too much, searches stay exact."""
    config = HnswSq(distance_type="cosine", num_partitions=max(1, num_rows // 1_000_000))
    wait(table.create_index("vector", config=config, replace=True))
    for nprobes, refine, ef in _SEARCHES:
        settings = {"rows": num_rows, "nprobes": nprobes, "refine_factor": refine, "ef": ef}
        settings["exact"] = False
        if _recall(table, settings) >= ANN_RECALL:
            break
    else:
        settings["exact"] = True
    write_json(settings_file, settings)


def most_parts(num_rows: int) -> int:
    """Return how many parts a graph may have before it is built anew.

    A compaction puts the rows that came since the last one into a part of their own, and every part is searched; the
    larger the graph, the longer it takes to build.
    """
    return max(_MOST_PARTS, num_rows // 20_000)


def read_settings(settings_file: Path) -> dict[str, Any]:
    """Return how to search the graph; empty before there is one, and then the scan is exact."""
    if not settings_file.exists():
        return {}
    settings: dict[str, Any] = json.loads(settings_file.read_text(encoding="utf-8"))
    return settings


def nearest(table: Any, vector: NDArray[np.float32], k: int, settings: Mapping[str, Any]) -> Any:
    """Return the query for the k rows nearest to a vector, by the graph or, without settings, by the scan."""
    query = table.query().nearest_to(vector).column("vector").distance_type("cosine").limit(k)
    if settings.get("exact", True):
        return query.bypass_vector_index()
    refine_factor = refine_factor_for(k, settings["refine_factor"])
    query = query.nprobes(settings["nprobes"]).refine_factor(refine_factor)
    return query.ef(max(settings["ef"], k * refine_factor))


def refine_factor_for(k: int, measured: int) -> int:
    """Return the refine factor for k rows that compares as many as the one `measured` did for `MEASURED_ROWS`.

    Example:
        >>> [refine_factor_for(k, 5) for k in (10, 30, 110)]
        [5, 2, 1]
    """
    return max(1, ceil(MEASURED_ROWS * measured / k))


def _recall(
    table: Any, settings: Mapping[str, Any], num_probes: int = 200, k: int = MEASURED_ROWS
) -> float:
    """Return the share of the exact scan's k nearest that the graph finds, over stored vectors."""
    stored = table.query().where("vector IS NOT NULL").select(["vector"]).limit(num_probes)
    probes = wait(stored.to_arrow())
    found = 0
    for row in probes.to_pylist():
        vector = np.asarray(row["vector"], dtype=np.float32)
        exact, near = (
            set(wait(query.select(["id", "_distance"]).to_arrow())["id"].to_pylist())
            for query in (nearest(table, vector, k, {}), nearest(table, vector, k, settings))
        )
        found += len(exact & near)
    return found / max(1, k * probes.num_rows)

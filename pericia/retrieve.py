"""A question becomes passages: two legs search apart, their ranks are fused, duplicates collapse.

The dense leg compares meaning, the lexical one words and codes. A weak leg makes the fused order worse, so
`choose_legs` scores each alone on development questions and fuses only where that is not worse than the best leg.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pericia import analyser
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.stores import VectorStore
from pericia.types import Chunk, Hit, Passage
from pericia.workspace import write_json

Legs = Literal["hybrid", "dense", "lexical"]

RRF_K = 60  # Cormack, Clarke, Buettcher, Reciprocal Rank Fusion, 2009; tuning it is worth little


def retrieve(
    question: str,
    *,
    store: VectorStore,
    embedder: Embedder,
    settings: RetrievalConfig,
    language: str = "en",
    groups: Sequence[str] | None = None,
    documents: Collection[str] | None = None,
) -> list[Passage]:
    """Return up to `settings.top_k` passages, best first, ties by chunk id; equal texts are returned once.

    `groups` None means that access is not controlled; otherwise only passages for these groups are searched.
    `documents` are the ids that the search is limited to, None for all.
    """
    k = max(settings.candidates, settings.top_k)
    dense: list[Hit] = []
    lexical: list[Hit] = []
    if settings.legs != "lexical":
        [vector] = embedder.embed_questions([question])
        dense = store.search_dense(vector, k, groups, documents)
    if settings.legs != "dense":
        unit = None if settings.lexical_unit == "auto" else settings.lexical_unit
        words = analyser.tokens(question, language, unit)
        lexical = store.search_lexical(words, k, groups, documents)
    passages = fuse(dense, lexical)
    return _numbered(_without_duplicates(passages)[: settings.top_k])


def fuse(dense: Sequence[Hit], lexical: Sequence[Hit]) -> list[Passage]:
    """Return all hits, best reciprocal-rank sum first: 1 / (60 + rank) from each leg that found it; ties by chunk id."""
    chunks: dict[str, Chunk] = {hit.chunk.id: hit.chunk for hit in (*dense, *lexical)}
    scores = dict.fromkeys(chunks, 0.0)
    for leg in (dense, lexical):
        for rank, hit in enumerate(leg, start=1):
            scores[hit.chunk.id] += 1 / (RRF_K + rank)
    by_dense = {hit.chunk.id: hit.score for hit in dense}
    by_lexical = {hit.chunk.id: hit.score for hit in lexical}
    ordered = sorted(chunks, key=lambda key: (-scores[key], key))
    return _numbered(
        [
            Passage(chunks[key], 0, scores[key], by_dense.get(key), by_lexical.get(key))
            for key in ordered
        ]
    )


@dataclass(frozen=True, slots=True)
class LegScores:
    """Mean reciprocal rank of each way to search over the development questions, 0..1, and the way chosen."""

    chosen: Legs
    mean_reciprocal_ranks: Mapping[Legs, float]
    num_questions: int


def choose_legs(
    labelled: Sequence[tuple[str, Collection[str]]],
    *,
    store: VectorStore,
    embedder: Embedder,
    settings: RetrievalConfig,
    language: str = "en",
) -> LegScores:
    """Return the best way to search for questions labelled with the sources that answer them.

    Fusion is chosen unless a single leg is better; without questions it stays.
    """
    ranks: dict[Legs, float] = {"hybrid": 0.0, "dense": 0.0, "lexical": 0.0}
    for legs in ranks:
        wide = settings.model_copy(update={"legs": legs, "top_k": settings.candidates})
        for question, sources in labelled:
            found = retrieve(
                question, store=store, embedder=embedder, settings=wide, language=language
            )
            places = [i for i, p in enumerate(found, start=1) if p.chunk.source in sources]
            ranks[legs] += 1 / places[0] / len(labelled) if places else 0.0
    chosen = max(ranks, key=lambda legs: ranks[legs])  # the first of equals: hybrid
    return LegScores(chosen, ranks, len(labelled))


def write_legs(folder: Path, scores: LegScores) -> None:
    """Keep the choice in an index folder."""
    write_json(folder / "legs.json", asdict(scores))


def has_legs(folder: Path) -> bool:
    """Return whether a choice is kept in an index folder."""
    return (folder / "legs.json").exists()


def read_legs(folder: Path) -> Legs:
    """Return the choice kept in an index folder; without one, both legs are fused."""
    path = folder / "legs.json"
    if not path.exists():
        return "hybrid"
    chosen: Legs = json.loads(path.read_text(encoding="utf-8"))["chosen"]
    return chosen


def _without_duplicates(passages: Sequence[Passage]) -> list[Passage]:
    first: dict[str, Passage] = {}
    for passage in passages:
        first.setdefault(" ".join(passage.chunk.text.split()).casefold(), passage)
    return list(first.values())


def _numbered(passages: Sequence[Passage]) -> list[Passage]:
    return [
        Passage(p.chunk, rank, p.score, p.dense, p.lexical)
        for rank, p in enumerate(passages, start=1)
    ]

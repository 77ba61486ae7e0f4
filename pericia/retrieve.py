"""A question becomes passages: two legs search apart, their scores are joined, duplicates and near ones collapse.

The dense leg compares meaning, the lexical one words and codes, both of passages and of whole documents. A weak leg
makes the joined order worse, so `choose_legs` weighs them on development questions; a leg alone is one of the choices.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pericia import analyser
from pericia.config import RetrievalConfig
from pericia.embedders import Embedder
from pericia.prompts import passage_text
from pericia.rerankers import Reranker
from pericia.stores import VectorStore
from pericia.types import Chunk, Hit, Passage
from pericia.workspace import write_json

Legs = Literal["hybrid", "dense", "lexical"]

# The default first: it wins where the questions do not tell.
DENSE_WEIGHTS = (0.2, 0.1, 0.3, 0.5, 0.7, 0.0, 1.0)
ENOUGH_QUESTIONS = 50
SMALLEST_GAIN = 0.01  # of the mean reciprocal rank; less is chance, and a second leg costs time
EXPANDED_DOCUMENTS = 3  # found whole, by no passage: their best passages are looked for
_DEPTH = 4  # so many for each
_NEARLY = 0.9  # of the content words of the longer text

IsNewer = Callable[[Chunk, Chunk], bool]  # whether the first's document is newer than the second's


@dataclass(frozen=True, slots=True)
class Found:
    """What the legs brought back, best first: hits on passages and on whole documents (of kind summary)."""

    dense: Sequence[Hit]
    lexical: Sequence[Hit]


def retrieve(
    question: str,
    *,
    store: VectorStore,
    embedder: Embedder,
    settings: RetrievalConfig,
    language: str = "en",
    groups: Sequence[str] | None = None,
    documents: Collection[str] | None = None,
    is_newer: IsNewer | None = None,
    reranker: Reranker | None = None,
) -> list[Passage]:
    """Return up to `settings.top_k` passages, best first, ties by chunk id; the same text is returned once.

    Of nearly equal texts the best placed one stands, or with `is_newer` the newest in its place. `groups` None means that
    access is not controlled; otherwise only passages for these groups are searched. `documents` are the ids of the
    documents to search in, None for all. A `reranker` orders the first `settings.rerank` of them anew, and gives them
    their score.
    """
    found = search(
        question,
        store=store,
        embedder=embedder,
        settings=settings,
        language=language,
        groups=groups,
        documents=documents,
    )
    weight = {"dense": 1.0, "lexical": 0.0}.get(settings.legs, settings.dense_weight)
    most = max(settings.top_k, settings.rerank) if reranker else settings.top_k
    passages = distinct(fuse(found, weight), most, is_newer)
    if reranker is not None:
        passages = _reranked(question, passages, reranker)
    return _numbered(passages[: settings.top_k])


def _reranked(question: str, passages: Sequence[Passage], reranker: Reranker) -> list[Passage]:
    """Return the passages in the reranker's order; of equal ones the better placed first."""
    scores = reranker.score(question, [passage_text(passage) for passage in passages])
    scored = [replace(p, score=score) for p, score in zip(passages, scores, strict=True)]
    return sorted(scored, key=lambda passage: -passage.score)


def distinct(
    passages: Sequence[Passage], most: int, is_newer: IsNewer | None = None
) -> list[Passage]:
    """Return the first `most` passages that say something that none before says; see `retrieve` for `is_newer`.

    Two texts are nearly equal where one has all content words of the other in the same order and few more, among them
    no number and no negation: another price, site or "not" is never taken for a copy.
    """
    kept: list[Passage] = []
    contents: list[list[str]] = []
    for passage in passages:
        words = analyser.surface(passage.chunk.text, passage.chunk.language)
        same = next((i for i, known in enumerate(contents) if _nearly_equal(words, known)), None)
        if same is None:
            if len(kept) == most:
                break
            kept.append(passage)
            contents.append(words)
        elif is_newer is not None and is_newer(passage.chunk, kept[same].chunk):
            kept[same], contents[same] = replace(passage, score=kept[same].score), words
    return kept


def _nearly_equal(words: Sequence[str], others: Sequence[str]) -> bool:
    short, long = sorted((words, others), key=len)
    if len(short) < _NEARLY * len(long):
        return False
    more = Counter(long) - Counter(short)
    if any(word in analyser.NEGATIONS or any(c.isdigit() for c in word) for word in more):
        return False
    rest = iter(long)
    return all(word in rest for word in short)


def search(
    question: str,
    *,
    store: VectorStore,
    embedder: Embedder,
    settings: RetrievalConfig,
    language: str = "en",
    groups: Sequence[str] | None = None,
    documents: Collection[str] | None = None,
) -> Found:
    """Return the candidates of the legs of `settings`; see `retrieve`."""
    k = max(settings.candidates, settings.top_k)

    def by_meaning() -> list[Hit]:
        [vector] = embedder.embed_questions([question])
        hits = store.search_dense(vector, k, groups, documents)
        if hidden := _hidden_documents(hits):
            hits += store.search_dense(vector, _DEPTH * len(hidden), groups, hidden)
        return _once(hits)

    def by_words() -> list[Hit]:
        unit = None if settings.lexical_unit == "auto" else settings.lexical_unit
        words = analyser.tokens(question, language, unit)
        hits = store.search_lexical(words, k, groups, documents)
        if hidden := _hidden_documents(hits):
            hits += store.search_lexical(words, _DEPTH * len(hidden), groups, hidden)
        return _once(hits)

    if settings.legs == "lexical":
        return Found([], by_words())
    if settings.legs == "dense":
        return Found(by_meaning(), [])
    with ThreadPoolExecutor(1) as other:  # the store searches outside of Python's lock
        lexical = other.submit(by_words)
        return Found(by_meaning(), lexical.result())


def fuse(found: Found, dense_weight: float) -> list[Passage]:
    """Return every passage found, best first, ties by chunk id.

    The score is `dense_weight` times the cosine, from 0 at the last candidate to 1 at the best, plus the rest times
    BM25 of the passage and of its document together, 1 at the best.
    Source: Bruch, Gai, Ingber, An Analysis of Fusion Functions for Hybrid Retrieval, 2022 (convex combination).
    """
    documents = {h.chunk.document_id: h.score for h in found.lexical if h.chunk.kind == "summary"}
    by_dense, by_lexical = (
        {h.chunk.id: h.score for h in hits} for hits in (found.dense, found.lexical)
    )
    chunks: dict[str, Chunk] = {
        hit.chunk.id: hit.chunk
        for hit in (*found.dense, *found.lexical)
        if hit.chunk.kind != "summary"
    }
    words = {
        key: by_lexical.get(key, 0.0) + documents.get(chunk.document_id, 0.0)
        for key, chunk in chunks.items()
    }
    most = max(words.values(), default=0.0) or 1.0
    nearest, farthest = max(by_dense.values(), default=1.0), min(by_dense.values(), default=0.0)
    span = nearest - farthest or 1.0
    scores = {
        key: dense_weight * (by_dense.get(key, farthest) - farthest) / span
        + (1 - dense_weight) * words[key] / most
        for key in chunks
    }
    ordered = sorted(chunks, key=lambda key: (-scores[key], key))
    return [
        Passage(chunks[key], rank, scores[key], by_dense.get(key), by_lexical.get(key))
        for rank, key in enumerate(ordered, start=1)
    ]


@dataclass(frozen=True, slots=True)
class LegScores:
    """Mean reciprocal rank of each weight of the dense leg over the development questions, and the weight chosen."""

    legs: Legs
    dense_weight: float
    mean_reciprocal_ranks: Mapping[float, float]
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

    It is never worse on them than one leg alone. Where enough questions show that both legs together gain nothing worth
    it, the better leg searches alone; without questions it is the first of `DENSE_WEIGHTS`.
    """
    ranks = dict.fromkeys(DENSE_WEIGHTS, 0.0)
    both = settings.model_copy(update={"legs": "hybrid"})
    for question, sources in labelled:
        found = search(question, store=store, embedder=embedder, settings=both, language=language)
        for weight in ranks:
            passages = _without_duplicates(fuse(found, weight))
            places = [i for i, p in enumerate(passages, start=1) if p.chunk.source in sources]
            ranks[weight] += 1 / places[0] / len(labelled) if places else 0.0
    chosen = max(ranks, key=lambda weight: ranks[weight])  # the first of equals
    alone = max((0.0, 1.0), key=lambda weight: ranks[weight])
    if len(labelled) >= ENOUGH_QUESTIONS and ranks[chosen] - ranks[alone] < SMALLEST_GAIN:
        chosen = alone
    legs: Legs = "lexical" if chosen == 0 else "dense" if chosen == 1 else "hybrid"
    return LegScores(legs, chosen, ranks, len(labelled))


def write_legs(folder: Path, scores: LegScores) -> None:
    """Keep the choice in an index folder."""
    write_json(folder / "legs.json", asdict(scores))


def has_legs(folder: Path) -> bool:
    """Return whether a choice is kept in an index folder."""
    return (folder / "legs.json").exists()


def with_legs(settings: RetrievalConfig, folder: Path) -> RetrievalConfig:
    """Return the settings with the choice kept in an index folder, where they leave it to us; without one, both legs."""
    if settings.legs != "auto":
        return settings
    path = folder / "legs.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    weight = kept.get("dense_weight", settings.dense_weight)
    return settings.model_copy(update={"legs": kept.get("legs", "hybrid"), "dense_weight": weight})


def _hidden_documents(hits: Sequence[Hit]) -> list[str]:
    """Return the first documents that were found whole, but by none of their passages."""
    shown = {hit.chunk.document_id for hit in hits if hit.chunk.kind != "summary"}
    whole = [hit.chunk.document_id for hit in hits if hit.chunk.kind == "summary"]
    return [document for document in whole[:EXPANDED_DOCUMENTS] if document not in shown]


def _once(hits: Iterable[Hit]) -> list[Hit]:
    return list({hit.chunk.id: hit for hit in hits}.values())


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

"""An embedder fine-tuned on the examples and the documents of a workspace: questions beside the passages that answer.

It lies in `.pericia/embedders/` with a manifest, and is used by naming its folder as `embedder`.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pericia import embedders
from pericia.config import Config
from pericia.dataset import read_dataset
from pericia.errors import ConfigError, InputError
from pericia.library import open_library
from pericia.prompts import is_refusal
from pericia.similarity import words
from pericia.staging import indexed_text
from pericia.trainers import load_embedder_trainer
from pericia.types import Chunk, Example, TrainEvent
from pericia.workspace import Workspace, lock, sha256_of, write_json

MANIFEST = "pericia-embedder.json"


@dataclass(frozen=True, slots=True)
class Findability:
    """How well questions find their passages among all: mean reciprocal rank and share of first places, 0..1."""

    mrr: float
    hit_at_1: float
    num_questions: int


@dataclass(frozen=True, slots=True)
class TunedEmbedder:
    """A fine-tuned embedder. `before` and `after` are measured on the held-out questions of the examples."""

    path: str
    base: str
    num_pairs: int
    num_without_passage: int  # examples whose document is not indexed, or that teach to refuse
    before: Findability
    after: Findability


def train_embedder(
    config: Config,
    workspace: Workspace,
    on_event: Callable[[TrainEvent], None] | None = None,
) -> TunedEmbedder:
    """Return the embedder trained on the config's examples, from the folder of its job if it is there already.

    Raises:
        ConfigError: no examples. InputError: no example names a document that is indexed. NotFoundError: nothing is
            indexed. Else as `read_dataset` and `trainers.EmbedderTrainer.train`.
    """
    if config.examples is None:
        hint = 'Name examples with "source", the document that answers.'
        raise ConfigError("No examples are configured (key 'examples').", hint=hint)
    base = embedders.load(config.embedder)
    library = open_library(workspace, config, base)
    chunks = [chunk for chunk in library.store.chunks() if chunk.kind != "summary"]
    dataset, _ = read_dataset(config, workspace)
    train = list(find_pairs(dataset.train, chunks))
    held_out = list(find_pairs(dataset.validation, chunks))
    if len(train) < 2 or not held_out:
        raise InputError(
            f"{len(train)} examples and {len(held_out)} held out name a document that is indexed: too few.",
            hint='Give each example "source", as pericia add names it.',
        )
    settings = config.embedder_training
    shown = [[q, indexed_text(c)] for q, c in (*train, *held_out)]
    id_ = sha256_of([base.name, shown, settings.model_dump()])[:12]
    folder = workspace.state / "embedders" / f"{Path(config.embedder).name}-{id_}"
    with lock(folder.with_name(f".training-{id_}"), "training of an embedder"):
        if not (folder / MANIFEST).exists():
            work = folder.with_name(f".training-{id_}") / "model"
            recorded = load_embedder_trainer().train(
                [(q, indexed_text(c)) for q, c in train],
                [(q, indexed_text(c)) for q, c in held_out],
                config.embedder,
                settings,
                work,
                on_event=on_event,
            )
            write_json(work / MANIFEST, {**recorded, "settings": settings.model_dump()})
            shutil.rmtree(folder, ignore_errors=True)
            work.replace(folder)
    tuned = embedders.load(str(folder))
    made = TunedEmbedder(
        path=str(folder),
        base=config.embedder,
        num_pairs=len(train),
        num_without_passage=len(dataset.train) - len(train),
        before=measure(base, held_out, chunks),
        after=measure(tuned, held_out, chunks),
    )
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    figures = {"before": made.before.mrr, "after": made.after.mrr}
    write_json(folder / MANIFEST, manifest | {"validation_mrr": figures})
    return made


def find_pairs(examples: Sequence[Example], chunks: Sequence[Chunk]) -> Iterator[tuple[str, Chunk]]:
    """Yield the question of each example with the passage of its document that answers it.

    That is the one that holds the answer, else the one that shares most words with question and answer. Examples
    that refuse, or whose document is not among the chunks, give none.
    """
    by_source: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_source[chunk.source].append(chunk)
    for example in examples:
        own = by_source.get(example.source)
        if not own or is_refusal(example.answer):
            continue
        answer = " ".join(words(example.answer))
        wanted = set(words(f"{example.question} {example.answer}"))

        def fit(chunk: Chunk, answer: str = answer, wanted: set[str] = wanted) -> tuple[bool, int]:
            text = words(indexed_text(chunk))
            return answer in " ".join(text), len(wanted & set(text))

        yield example.question, max(own, key=fit)


def measure(
    embedder: embedders.Embedder, pairs: Sequence[tuple[str, Chunk]], chunks: Sequence[Chunk]
) -> Findability:
    """Return how well an embedder alone finds the passages of questions among all chunks."""
    found = ranks(
        embedder,
        [question for question, _ in pairs],
        [indexed_text(chunk) for chunk in chunks],
        [[c.id for c in chunks].index(chunk.id) for _, chunk in pairs],
    )
    return Findability(float(np.mean(1 / found)), float(np.mean(found == 1)), len(pairs))


def ranks(
    embedder: embedders.Embedder,
    questions: Sequence[str],
    passages: Sequence[str],
    wanted: Sequence[int],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return for each question the rank, from 1, of the passage `passages[wanted[i]]`; ties count as worse."""
    scores = embedder.embed_questions(questions) @ embedder.embed_passages(passages).T
    own = scores[np.arange(len(questions)), list(wanted)]
    counted: np.ndarray[tuple[int], np.dtype[np.float64]] = (
        (scores >= own[:, None]).sum(axis=1).astype(np.float64)
    )
    return counted

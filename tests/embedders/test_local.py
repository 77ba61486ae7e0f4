from pathlib import Path

import numpy as np
import pytest

from pericia import embedders
from pericia.embedders import Embedder
from pericia.errors import NotFoundError

TEXTS = [f"Pump {i} holds {i * 7} bar and stands in hall {i % 5}." * (1 + i % 4) for i in range(60)]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return embedders.load("minilm")


def test_the_bundled_model_needs_no_network_and_ranks_by_meaning(minilm: Embedder) -> None:
    passages = minilm.embed_passages(["The oven is very hot.", "Invoices are due in May.", ""])
    [question] = minilm.embed_questions(["How warm is the kiln?"])
    assert passages.shape == (3, minilm.num_dimensions)
    assert passages.dtype == np.float32
    assert np.linalg.norm(passages, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert passages[0] @ question > passages[1] @ question
    assert minilm.embed_passages([]).shape == (0, minilm.num_dimensions)


def test_order_is_that_of_the_texts_and_bf16_finds_what_fp32_finds(minilm: Embedder) -> None:
    vectors = minilm.embed_passages(TEXTS)
    exact = np.array([t.tolist() for t in minilm._model.encode(TEXTS)])  # type: ignore[attr-defined]
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert (vectors * exact).sum(axis=1).min() > 0.999
    same = [
        len({*np.argsort(-vectors @ v)[:10]} & {*np.argsort(-exact @ e)[:10]})
        for v, e in zip(vectors, exact, strict=True)
    ]
    assert np.mean(same) >= 9


def test_length_is_counted_in_its_own_tokens(minilm: Embedder) -> None:
    assert minilm.count_tokens("How hot is it?") == 5
    assert minilm.count_tokens("word " * 1000) == 1000
    assert minilm.max_tokens == 254


def test_a_folder_that_is_no_embedder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"modules\.json"):
        embedders.load(str(tmp_path))
    with pytest.raises(NotFoundError):
        embedders.load("./missing")

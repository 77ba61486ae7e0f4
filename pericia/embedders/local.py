"""Any sentence-transformers model in this process: a folder or a hub name.

Texts are sorted by length before they are cut into batches, so that little is padded; bf16 is used where the CPU has
instructions for it (four times the speed of fp32 there, and the same order of results).
"""

import contextlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import HFValidationError
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from pericia.errors import ModelError, NotFoundError
from pericia.workspace import sha256_of_file

BATCH_SIZE = 64


def load_folder(name: str) -> "LocalEmbedder":
    """Return the embedder of a folder or hub name. Raises as `embedders.load`."""
    folder = Path(name).expanduser()
    looks_like_a_path = name.startswith((".", "/", "~")) or folder.exists()
    if looks_like_a_path and not (folder / "modules.json").is_file():
        raise NotFoundError(
            f"'{name}' is no sentence-transformers folder: it has no modules.json.",
            hint="Give a folder or hub name of sentence-transformers, or minilm.",
        )
    return LocalEmbedder(name, folder if looks_like_a_path else name)


class LocalEmbedder:
    """See `Embedder`."""

    def __init__(self, name: str, source: Path | str) -> None:
        transformers_logging.disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model = SentenceTransformer(str(source), device=device, trust_remote_code=False)
        except (OSError, ValueError, RuntimeError, KeyError, HFValidationError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelError(
                f"The embedder '{name}' cannot be loaded: {reason}",
                hint="Without a network take minilm or a local folder.",
            ) from error
        known = _folder_hash(source) if isinstance(source, Path) else _weights_hash(self._model)
        self.name = f"{name}-{known[:8]}"
        self.num_dimensions = int(self._model.get_embedding_dimension() or 0)
        tokenizer: Any = self._model.tokenizer
        self._tokenizer = tokenizer
        self.max_tokens = int(self._model.max_seq_length or 512) - 2  # begin and end markers
        self._uses_bf16 = device == "cpu" and has_fast_bf16()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed_passages`."""
        return self._embed(texts, "passage")

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed_questions`."""
        return self._embed(texts, "query")

    def count_tokens(self, text: str) -> int:
        """See `Embedder.count_tokens`."""
        ids = self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)
        return len(ids["input_ids"])

    def _embed(self, texts: Sequence[str], kind: str) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.num_dimensions), dtype=np.float32)
        prompts = self._model.prompts
        prompt = (
            prompts.get(kind) or (prompts.get("document") if kind == "passage" else None) or None
        )
        with self._precision():
            found = self._model.encode(  # sorts by length itself
                list(texts),
                prompt=prompt,
                batch_size=BATCH_SIZE,
                normalize_embeddings=False,
                show_progress_bar=False,
                convert_to_numpy=False,
                convert_to_tensor=True,
            )
        vectors: NDArray[np.float32] = found.float().cpu().numpy()
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self._uses_bf16:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()


def has_fast_bf16() -> bool:
    """Return whether this CPU multiplies bf16 in hardware; without it autocast is slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def _folder_hash(folder: Path) -> str:
    """Return a hash that changes with the weights or the layers of a folder."""
    digest = sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in (".safetensors", ".json"):
            digest.update(f"{file.relative_to(folder)}:{sha256_of_file(file)}".encode())
    return digest.hexdigest()


def _weights_hash(model: SentenceTransformer) -> str:
    """Return a hash of the weights: what a hub name stands for may change there, and the cache does not say when."""
    digest = sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.float().cpu().numpy().tobytes())
    return digest.hexdigest()

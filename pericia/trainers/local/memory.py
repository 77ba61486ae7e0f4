"""How much memory training takes, found without weights and without a GPU.

The model is built from its config on the meta device, gets its adapter, and takes two real training steps on fake
tensors: every operation runs for its shapes alone while a counter adds the bytes of each new storage and subtracts
them when the storage dies. The second step counts, because then gradients and the optimiser's states exist.
Nothing here is a formula, so checkpointing, length, dropout and adapter are seen because they are executed: the steps
attend, adapt and lose as the trainer does. Only packed 4-bit weights, which fake tensors have not, are put in by
arithmetic. On a CPU the blocks are also taken from the allocator, which holds more than is alive (heap.py).
"""

import contextlib
import itertools
import math
import weakref
from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from pericia.config import TrainConfig
from pericia.errors import PreflightError
from pericia.trainers.local.adapter import find_linears
from pericia.trainers.local.base import takes_bf16
from pericia.trainers.local.heap import Heap, is_glibc
from pericia.trainers.local.lora import quicken
from pericia.trainers.local.loss import MOST_LOGITS, summed_loss
from pericia.trainers.local.packing import pack
from pericia.trainers.local.shape import make_fake, trainable_model
from pericia.types import Preparation

# TRL computes the loss in tiles of so many tokens, and keeps one tile of logits (trl/kernels/chunked_logprob.py).
LOGITS_TILE_TOKENS = 4096
# NF4 in blocks of 64 with double quantisation: 4 bits, 8 for a block's scale, 32 for 256 scales (QLoRA paper).
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)


def predict_peak_bytes(
    config: Mapping[str, Any],
    *,
    adapter: bool,
    rank: int,
    targets: Sequence[str],
    context_tokens: int,
    micro_batch: int,
    checkpointing: bool,
    bf16: bool,
    quantised: bool = False,
    dropout: float = 0.0,
    accumulates: bool = False,
    lengths: Sequence[int] = (),
    num_labels: int | None = None,
    on_cpu: bool = False,
) -> int:
    """Return the bytes taken at the worst moment of a training step: weights, states and activations.

    Without `adapter` all weights are trained, and kept in fp32. `lengths` are the rows of the largest batch, otherwise
    `micro_batch` rows of `context_tokens`; without `num_labels` every token counts in the loss. A step that
    `accumulates` sees several batches. Bytes that are alive; with `on_cpu` those that the allocator holds for them. The
    process itself (interpreter, CUDA context) is not in it.
    """
    dtype = torch.bfloat16 if bf16 and adapter else torch.float32
    model = trainable_model(config, adapter, rank, targets, dtype, dropout)
    packed = 0
    if quantised:
        packed = _pack_weights(_causal(model), dtype)
    rows = tuple(lengths) or (context_tokens,) * micro_batch
    with FakeTensorMode():
        make_fake(model)
        peak = peak_of_two_steps(
            model,
            rows,
            checkpointing,
            num_labels,
            num_batches=2 if accumulates else 1,
            autocast=bf16 and not adapter,
            heap=Heap() if on_cpu and is_glibc() else None,
        )
    return peak + packed


def foresee_run(
    config: Mapping[str, Any],
    settings: TrainConfig,
    preparation: Preparation,
    *,
    lengths: Sequence[int],
    accumulates: bool,
    free_bytes: int,
    most_bytes: int,
) -> tuple[int, bool]:
    """Return the peak bytes of this very training, and whether activations are made again to fit `free_bytes`.

    `lengths` are the rows of its largest batch; does a step accumulate several? Making activations again costs a fifth
    of the speed.

    Raises:
        PreflightError: even so it takes more than `most_bytes`.
    """
    rows = (*preparation.rows, *preparation.validation_rows)
    share = max(sum(row.mask) / len(row.mask) for row in rows)
    # In full training on pairs the model before it is kept beside the one that learns.
    twice = settings.method == "full" and settings.objective == "dpo"
    beside = 4 * preparation.num_parameters if twice else 0
    peak = 0
    for checkpointing in (False, True):
        peak = beside + predict_peak_bytes(
            config,
            adapter=settings.method != "full",
            rank=settings.rank,
            targets=preparation.target_modules,
            context_tokens=0,
            micro_batch=0,
            checkpointing=checkpointing,
            bf16=takes_bf16(preparation.num_parameters),
            quantised=settings.method == "qlora",
            dropout=settings.dropout,
            accumulates=accumulates,
            lengths=lengths,
            num_labels=math.ceil(share * sum(lengths)),
            on_cpu=not torch.cuda.is_available(),
        )
        if peak <= (most_bytes if checkpointing else free_bytes):
            return peak, checkpointing
    raise PreflightError(
        f"Training would take {peak / 1e9:.1f} GB at its worst moment; {most_bytes / 1e9:.1f} GB are there.",
        hint="Lower train.max_tokens, take method qlora or a smaller model; pericia plan says what each would take.",
        param="train.max_tokens",
    )


def peak_of_two_steps(
    model: Any,
    lengths: Sequence[int],
    checkpointing: bool,
    num_labels: int | None = None,
    *,
    num_batches: int = 1,
    autocast: bool = False,
    heap: Heap | None = None,
) -> int:
    """Return the bytes of tensors alive at the worst moment of the second step; works on real tensors too.

    With `heap` what it holds for them at the worst moment of both steps, and the weights. `autocast` is to bf16.
    """
    model.train()
    causal = _causal(model)
    causal.config.use_cache = False
    pack(causal)
    quicken(model)
    if checkpointing:
        causal.activation_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-4, foreach=False
    )
    tensors = [p.data for p in model.parameters()] + list(model.buffers())
    counter = StorageCounter(tensors, heap)
    weights = counter.live_bytes
    with counter:
        for _ in range(2):
            counter.peak_bytes = counter.live_bytes
            for _ in range(num_batches):
                with _to_bf16() if autocast else contextlib.nullcontext():
                    loss = _loss(model, lengths, num_labels)
                loss.backward()
                del loss
            optimizer.step()
            optimizer.zero_grad()
    return counter.peak_bytes if heap is None else weights + heap.peak_bytes


def _to_bf16() -> contextlib.AbstractContextManager[None]:
    return torch.autocast("cpu", torch.bfloat16)


def _pack_weights(model: Any, dtype: torch.dtype) -> int:
    """Make linear layers unpack their weights whenever they compute, and return what packing changes: less than 0."""
    layers = [layer for name, layer in find_linears(model).items() if ".lora_" not in name]
    for layer in layers:
        layer.forward = MethodType(_unpacking_forward, layer)  # type: ignore[method-assign]
    number = sum(layer.in_features * layer.out_features for layer in layers)
    return round(number * (NF4_BITS - torch.finfo(dtype).bits) / 8)


def _unpacking_forward(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _Unpacking.apply(x, layer.weight)
    return result if layer.bias is None else result + layer.bias


class _Unpacking(torch.autograd.Function):
    """A linear layer in 4 bits as bitsandbytes runs it: the whole weight is unpacked, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return torch.nn.functional.linear(x, torch.empty_like(weight))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        (weight,) = ctx.saved_tensors
        return grad_outputs[0] @ torch.empty_like(weight), None


def _causal(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") else model


class StorageCounter(TorchDispatchMode):
    """Counts the bytes of tensor storages that are alive, and their peak, while it is entered.

    Each storage that is new then is a block of `heap`; `tensors` are there before, and are not.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], heap: Heap | None = None) -> None:
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._heap: Heap | None = None
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in tensors:
            self._add(tensor)
        self._heap = heap

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._add, result)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen.add(storage)
        num_bytes = storage.nbytes()
        self.live_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        block = self._heap.take(num_bytes) if self._heap and num_bytes else None
        weakref.finalize(storage, self._subtract, num_bytes, block)

    def _subtract(self, num_bytes: int, block: int | None) -> None:
        self.live_bytes -= num_bytes
        if self._heap and block is not None:
            self._heap.give_back(block, num_bytes)


class _TiledHead(torch.autograd.Function):
    """The output head as TRL runs it: a tile of logits at a time, made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight)
        sums = [(tile @ weight.T).sum() for tile in hidden.split(LOGITS_TILE_TOKENS)]
        return torch.stack(sums).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden, weight = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        tiles = zip(
            hidden.split(LOGITS_TILE_TOKENS), grad_hidden.split(LOGITS_TILE_TOKENS), strict=True
        )
        for tile, grad_tile in tiles:
            logits = tile @ weight.T
            torch.mm(logits, weight, out=grad_tile)
            if grad_weight is not None:
                grad_weight.addmm_(logits.T, tile)
        return grad_hidden, grad_weight


def _loss(model: Any, lengths: Sequence[int], num_labels: int | None) -> torch.Tensor:
    """Return the loss of one packed batch, computed as `steps.AnswerTrainer` computes it."""
    num_tokens = sum(lengths)
    labels = min(num_tokens, num_labels or num_tokens)
    inputs: dict[str, Any] = {
        "input_ids": torch.zeros((1, num_tokens), dtype=torch.long),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "cu_seq_lens_q": (0, *itertools.accumulate(lengths)),
        "use_cache": False,
    }
    causal = _causal(model)
    head = causal.get_output_embeddings().weight
    if labels * head.shape[0] <= MOST_LOGITS:
        logits = model(**inputs, logits_to_keep=torch.arange(labels)).logits
        return summed_loss(logits[0], torch.zeros(labels, dtype=torch.long))[0]
    hidden = causal.get_decoder()(**inputs).last_hidden_state
    tiled: torch.Tensor = _TiledHead.apply(hidden.flatten(0, 1), head)
    return tiled

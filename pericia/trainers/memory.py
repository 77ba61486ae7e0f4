"""How much memory training takes, found without weights and without a GPU.

The model is built from its config on the meta device, gets its adapter, and takes two real training steps on fake
tensors: every operation runs for its shapes alone while a counter adds the bytes of each new storage and subtracts
them when the storage dies. The second step counts, because then gradients and the optimiser's states exist.
Nothing here is a formula, so checkpointing, length and adapter are seen because they are executed.
"""

import contextlib
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from transformers import AutoConfig, AutoModelForCausalLM

from pericia.errors import NotFoundError

# TRL computes the loss in tiles of so many tokens, and keeps one tile of logits (trl/kernels/chunked_logprob.py).
LOGITS_TILE_TOKENS = 4096


def read_config(model: str) -> Mapping[str, Any]:
    """Return the config.json of a hub name, from the local cache or the hub.

    Raises:
        NotFoundError: neither has it.
    """
    try:
        config: Mapping[str, Any] = AutoConfig.from_pretrained(
            model, trust_remote_code=False
        ).to_dict()
        return config
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"The config of the model '{model}' is neither here nor on a hub that answers.",
            hint="Give a folder with its config.json, or one of the names of: pericia plan --list",
        ) from error


def count_linears(config: Mapping[str, Any]) -> tuple[tuple[tuple[str, int, int, int], ...], int]:
    """Return (name, in, out, how many) of each linear layer that takes an adapter, and all other parameters.

    The output head takes none and counts among the others.
    """
    model = _meta_model(config, torch.bfloat16)
    head = model.get_output_embeddings()
    found = Counter(
        (name.rpartition(".")[2], module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    rows = tuple((*key, number) for key, number in found.items())
    linear = sum(inside * outside * number for _, inside, outside, number in rows)
    return rows, sum(p.numel() for p in model.parameters()) - linear


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
    tiled_head: bool = True,
) -> int:
    """Return the bytes alive at the worst moment of a training step: weights, states and activations.

    Without `adapter` all weights are trained. The process itself (interpreter, CUDA context) is not in it.
    """
    model = _trainable(config, adapter, rank, targets, torch.bfloat16 if bf16 else torch.float32)
    with FakeTensorMode():
        _make_fake(model)
        return peak_of_two_steps(model, context_tokens, micro_batch, checkpointing, tiled_head)


def peak_of_two_steps(
    model: Any, context_tokens: int, micro_batch: int, checkpointing: bool, tiled_head: bool
) -> int:
    """Return the bytes of tensors alive at the worst moment of the second step; works on real tensors too."""
    model.train()
    model.config.use_cache = False
    if checkpointing:
        causal = model.get_base_model() if hasattr(model, "peft_config") else model
        causal.activation_checkpointing_enable({"use_reentrant": False})
    ids = torch.zeros((micro_batch, context_tokens), dtype=torch.long)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-4, foreach=False
    )
    counter = StorageCounter([p.data for p in model.parameters()] + list(model.buffers()))
    with counter:
        for _ in range(2):
            counter.peak_bytes = counter.live_bytes
            _loss(model, ids, tiled_head).backward()
            optimizer.step()
            optimizer.zero_grad()
    return counter.peak_bytes


class StorageCounter(TorchDispatchMode):
    """Counts the bytes of tensor storages that are alive, and their peak, while it is entered."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in tensors:
            self._add(tensor)

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
        weakref.finalize(storage, self._subtract, num_bytes)

    def _subtract(self, num_bytes: int) -> None:
        self.live_bytes -= num_bytes


def measure_flops(seconds: float = 1.0) -> float:
    """Return the floating-point operations a second of matrix products here, in the precision that trains fastest.

    On a GPU and on CPUs with bf16 instructions that is bf16, elsewhere fp32: both are tried and the better counts.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return max(
        _matrix_rate(device, dtype, seconds / 2) for dtype in (torch.bfloat16, torch.float32)
    )


def _matrix_rate(device: str, dtype: torch.dtype, seconds: float) -> float:
    size = 8192 if device == "cuda" else 1024
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    _finish(left @ right)
    products, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        _finish(left @ right)
        products += 1
    return products * 2 * size**3 / spent


def _finish(product: torch.Tensor) -> None:
    product[0, 0].item()  # waits for a GPU


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


def _loss(model: Any, ids: torch.Tensor, tiled_head: bool) -> torch.Tensor:
    if not tiled_head:
        loss: torch.Tensor = model(input_ids=ids, labels=ids).loss
        return loss
    causal = model.get_base_model() if hasattr(model, "peft_config") else model
    hidden = causal.get_decoder()(input_ids=ids).last_hidden_state
    weight = causal.get_output_embeddings().weight
    tiled: torch.Tensor = _TiledHead.apply(hidden.flatten(0, 1), weight)
    return tiled


def _trainable(
    config: Mapping[str, Any], adapter: bool, rank: int, targets: Sequence[str], dtype: torch.dtype
) -> Any:
    model = _meta_model(config, dtype)
    if not adapter:
        return model
    lora = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=list(targets), task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
        return get_peft_model(model, lora, low_cpu_mem_usage=True)


def _meta_model(config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    values = {k: v for k, v in config.items() if k not in {"torch_dtype", "dtype"}}
    built = AutoConfig.for_model(**values)
    # Scaled rotary embeddings look at values, which fake tensors have not; they take no other memory.
    rope = dict(getattr(built, "rope_parameters", None) or {})
    if rope.get("rope_type", "default") != "default":
        kept = {k: rope[k] for k in ("rope_theta", "partial_rotary_factor") if k in rope}
        built.rope_parameters = {"rope_type": "default", **kept}
    with torch.device("meta"), _default_dtype(dtype):
        return AutoModelForCausalLM.from_config(built, dtype=dtype, attn_implementation="sdpa")


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _make_fake(model: torch.nn.Module) -> None:
    """Replace every meta tensor by a fake one that believes it lies on the CPU; tied weights stay tied."""
    fakes: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in fakes:
                data = torch.empty(parameter.shape, dtype=parameter.dtype)
                fakes[id(parameter)] = torch.nn.Parameter(data, parameter.requires_grad)
            module._parameters[name] = fakes[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)

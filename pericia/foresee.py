"""How much memory and time one way of training takes, and over how many cards it spreads.

In comes a `Job`, out `Memory`, `CardCount` and `Duration`. Activations are not computed by a formula: two training steps
run on fake tensors (trainers/local/memory), and only what those cannot show is added here: the process and a margin.
"""

import math
from dataclasses import dataclass
from typing import Literal

from pericia.config import TrainConfig
from pericia.lookup import load_object
from pericia.shapes import ModelShape

Method = Literal["lora", "qlora", "full"]
METHODS: tuple[Method, ...] = ("lora", "qlora", "full")

_DRY_RUN = {
    "peak": "pericia.trainers.local.memory:predict_peak_bytes",
    "flops": "pericia.trainers.local.rate:measure_flops",
}

GB = 10**9
# NF4 in blocks of 64 with double quantisation: 4 bits, 8 for a block's scale, 32 for 256 scales (QLoRA paper).
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
# The rule that papers and slides count with, in bits a parameter of the model, states included.
RULE_BITS = {"full": 96.0, "lora": 17.6, "qlora": 5.2}
ADAPTER_STATE_BYTES = 16  # fp32: weight, gradient and two moments of Adam
PROCESS_BYTES = 800_000_000  # interpreter and libraries on a CPU; 0.6 to 0.8 GB were measured
CUDA_CONTEXT_BYTES = 1_400_000_000
MARGIN = 0.10  # allocators round and fragment
# RAM that offloading fills over the states: 107 and 128 GB were published for the 43 GB of a 70B in 4 bits, because
# the 16-bit weights pass through it; without quantisation only buffers are added.
OFFLOAD_FACTOR = {"qlora": 3.0, "lora": 1.25, "full": 1.25}
# Share of the matrix rate that training reaches on short rows; 17 % to 33 % were measured on CPUs.
REACHED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """What one plan is about, once every name is resolved."""

    shape: ModelShape
    method: Method
    rank: int
    targets: tuple[str, ...]
    num_trainable: int
    context_tokens: int
    micro_batch: int
    bf16: bool
    on_cpu: bool

    @property
    def element_bytes(self) -> int:
        """Of a weight: weights that learn are kept in fp32, where small steps do not round away."""
        return 2 if self.bf16 and self.method != "full" else 4


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the worst moment of a step, by what they hold; `needed_bytes` is what must be free."""

    weights_bytes: int
    states_bytes: (
        int  # an adapter with its gradient and optimiser; in full training gradient and optimiser
    )
    activations_bytes: int
    process_bytes: int
    margin_bytes: int

    @property
    def needed_bytes(self) -> int:
        tensors = self.weights_bytes + self.states_bytes + self.activations_bytes
        return tensors + self.process_bytes + self.margin_bytes


@dataclass(frozen=True, slots=True)
class CardCount:
    """How many cards of the budget's size. `to_run` is 0 when no number of cards is enough without offload."""

    states_only: int
    to_run: int
    offload_ram_bytes: int  # RAM that `states_only` cards need beside them; 0 when they run without


@dataclass(frozen=True, slots=True)
class Duration:
    """Time from a matrix product measured on this computer; good to a factor of about two."""

    flops_per_s: float
    tokens_per_s: float
    hours: float | None  # of the tokens asked for


def rule_of_thumb_bytes(num_parameters: int, method: Method) -> int:
    """Return weights and states by the usual bits a parameter; activations are not in it.

    Example:
        >>> rule_of_thumb_bytes(70 * 10**9, "full") / 10**9, rule_of_thumb_bytes(70 * 10**9, "qlora") / 10**9
        (840.0, 45.5)
    """
    return round(num_parameters * RULE_BITS[method] / 8)


def cards_for(num_bytes: float, card_bytes: float) -> int:
    """Return how many cards hold so many bytes; from two on an even number, as machines have them.

    Example:
        >>> cards_for(840e9, 24e9), cards_for(154e9, 24e9), cards_for(45.5e9, 24e9), cards_for(20e9, 24e9)
        (36, 8, 2, 1)
    """
    number = math.ceil(num_bytes / card_bytes)
    return number + number % 2 if number > 1 else 1


def foresee(job: Job, checkpointing: bool) -> Memory:
    """Return the memory of one way to train, from the dry run of that way."""
    peak: int = load_object(_DRY_RUN, "peak", "dry run")(
        job.shape.config,
        adapter=job.method != "full",
        rank=job.rank,
        targets=job.targets,
        context_tokens=job.context_tokens,
        micro_batch=job.micro_batch,
        checkpointing=checkpointing,
        bf16=job.bf16,
        quantised=job.method == "qlora",
        dropout=TrainConfig().dropout,
        on_cpu=job.on_cpu,
    )
    states = states_bytes(job)
    weights = weights_bytes(job)
    activations = max(0, peak - weights - states)
    return with_overhead(weights, states, activations, job.on_cpu)


def count_cards(job: Job, memory: Memory, card_bytes: int) -> CardCount:
    """Return the cards that hold the states, and those that also run: a shard, one whole layer, the activations."""
    if job.on_cpu or memory.needed_bytes <= card_bytes:
        return CardCount(states_only=1, to_run=1, offload_ram_bytes=0)
    states = memory.weights_bytes + memory.states_bytes
    states_only = cards_for(states, card_bytes)
    layer = memory.weights_bytes // job.shape.num_layers
    beside = (memory.activations_bytes + layer) * (1 + MARGIN) + memory.process_bytes
    room = card_bytes - beside
    to_run = cards_for(states * (1 + MARGIN), room) if room > 0 else 0
    if 0 < to_run <= states_only:
        return CardCount(states_only, to_run, offload_ram_bytes=0)
    # Offloaded, a card holds two layers (one at work, one on its way) and the activations.
    ram = round(OFFLOAD_FACTOR[job.method] * states) if beside + layer <= card_bytes else 0
    return CardCount(states_only, to_run, ram)


def states_bytes(job: Job) -> int:
    """Return the bytes of what learning adds to the weights."""
    if job.method == "full":
        return job.num_trainable * 12  # in fp32: gradient and two moments
    return job.num_trainable * ADAPTER_STATE_BYTES


def weights_bytes(job: Job) -> int:
    """Return the bytes of the base's weights; in 4 bits only its linear layers are packed."""
    if job.method == "qlora":
        return nf4_weight_bytes(job)
    return job.shape.num_parameters * job.element_bytes


def nf4_weight_bytes(job: Job) -> int:
    linear = math.ceil(job.shape.num_linear * NF4_BITS / 8)
    return linear + job.shape.num_other * job.element_bytes


def with_overhead(weights: int, states: int, activations: int, on_cpu: bool) -> Memory:
    process = PROCESS_BYTES if on_cpu else CUDA_CONTEXT_BYTES
    margin = round(MARGIN * (weights + states + activations))
    return Memory(weights, states, activations, process, margin)


def foresee_duration(job: Job, checkpointing: bool, num_tokens: int | None) -> Duration:
    flops: float = load_object(_DRY_RUN, "flops", "measurement")()
    # Forward 2 and backward 2 operations a parameter and token; 2 more where weights learn, 2 where it is recomputed.
    a_token = 4 + (2 if job.method == "full" else 0) + (2 if checkpointing else 0)
    tokens_per_s = flops * REACHED_SHARE / (a_token * job.shape.num_parameters)
    hours = None if num_tokens is None else num_tokens / tokens_per_s / 3600
    return Duration(flops, tokens_per_s, hours)

"""What a training will take before it starts: memory, cards and time.

In come a model, a method and a budget of memory, out a `Plan`: the peak, foreseen by two training steps on fake
tensors (no weights, no GPU), whether it fits, how many cards it needs, and what to change when it does not fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pericia.bases import BF16_PARAMETERS
from pericia.errors import InputError
from pericia.foresee import (
    GB,
    METHODS,
    RULE_BITS,
    CardCount,
    Duration,
    Job,
    Memory,
    Method,
    cards_for,
    count_cards,
    foresee,
    foresee_duration,
    rule_of_thumb_bytes,
    states_bytes,
    weights_bytes,
)
from pericia.machine import Machine, look_at_machine
from pericia.remedies import CARDS, gigabytes, remedies
from pericia.said import said
from pericia.shapes import count_lora, read_shape


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer of `pericia plan`; `lines` says the same in sentences."""

    model: str
    method: Method
    num_parameters: int
    num_trainable: int
    context_tokens: int
    micro_batch: int
    checkpointing: bool
    memory: Memory
    needed_bytes: int
    states_bytes: int
    rule_of_thumb_bytes: int
    adapter_file_bytes: int
    budget_bytes: int
    device: str
    fits: bool
    cards: CardCount
    fitting_cards: tuple[str, ...]
    changes: tuple[str, ...]
    advice: str
    duration: Duration | None
    lines: tuple[str, ...]


def plan(
    model: str,
    *,
    method: str = "lora",
    gpu_memory_gb: float | None = None,
    context_tokens: int = 1024,
    rank: int = 16,
    targets: Sequence[str] = (),
    micro_batch: int = 1,
    num_tokens: int | None = None,
    measure_time: bool = False,
) -> Plan:
    """Return what training `model` takes. Without `gpu_memory_gb` the budget is this computer's GPU or memory.

    Checkpointing is chosen: off when it fits without, because it costs a fifth of the speed. `num_tokens` (of all
    epochs together) and `measure_time` add the time on this computer.

    Raises:
        NotFoundError, InputError: see `read_shape` and `count_lora`; or a value is out of range.
    """
    chosen = _checked(method, gpu_memory_gb, context_tokens, rank, micro_batch)
    shape = read_shape(model)
    if context_tokens > shape.max_context_tokens:
        raise InputError(
            said(
                "%(context_tokens)s tokens are asked for; '%(name)s' was made for %(max_context_tokens)s.",
                context_tokens=context_tokens,
                name=shape.name,
                max_context_tokens=shape.max_context_tokens,
            ),
            hint=said(
                "Give --context %(max_context_tokens)s or less.",
                max_context_tokens=shape.max_context_tokens,
            ),
            param="context_tokens",
        )
    machine = look_at_machine()
    budget, device = _budget(machine, gpu_memory_gb)
    on_cpu = device == "cpu"
    job = Job(
        shape=shape,
        method=chosen,
        rank=rank,
        targets=tuple(targets) or shape.target_names,
        num_trainable=shape.num_parameters
        if chosen == "full"
        else count_lora(shape, rank, targets),
        context_tokens=context_tokens,
        micro_batch=micro_batch,
        bf16=machine.has_bf16 and shape.num_parameters >= BF16_PARAMETERS if on_cpu else True,
        on_cpu=on_cpu,
    )
    checkpointing, memory = _choose_checkpointing(job, budget)
    fits = memory.needed_bytes <= budget
    cards = count_cards(job, memory, budget)
    duration = foresee_duration(job, checkpointing, num_tokens) if measure_time else None
    result = Plan(
        model=shape.name,
        method=chosen,
        num_parameters=shape.num_parameters,
        num_trainable=job.num_trainable,
        context_tokens=context_tokens,
        micro_batch=micro_batch,
        checkpointing=checkpointing,
        memory=memory,
        needed_bytes=memory.needed_bytes,
        states_bytes=memory.weights_bytes + memory.states_bytes,
        rule_of_thumb_bytes=rule_of_thumb_bytes(shape.num_parameters, chosen),
        adapter_file_bytes=0 if chosen == "full" else 4 * job.num_trainable,
        budget_bytes=budget,
        device=device,
        fits=fits,
        cards=cards,
        fitting_cards=tuple(
            f"{gb} GB: {names}" for gb, names in CARDS if gb * GB >= memory.needed_bytes
        ),
        changes=() if fits else remedies(job, memory, budget, cards),
        advice=_advice(chosen, fits, cards, on_cpu),
        duration=duration,
        lines=(),
    )
    return replace(result, lines=_sentences(result))


def _choose_checkpointing(job: Job, budget: int) -> tuple[bool, Memory]:
    static = states_bytes(job) + weights_bytes(job)
    if static < budget:  # otherwise the faster way need not be tried
        memory = foresee(job, checkpointing=False)
        if memory.needed_bytes <= budget:
            return False, memory
    return True, foresee(job, checkpointing=True)


def _advice(method: Method, fits: bool, cards: CardCount, on_cpu: bool) -> str:
    """Return how to start it; docs/fine-tuning.md has the reasons."""
    if on_cpu:
        return "pericia train, one process on the CPU" if fits else "does not run here"
    if fits:
        return "pericia train on one card; with more of them a copy on each (DDP): pericia plan --launch"
    if method == "qlora":
        return "not started by Pericia: FSDP2 does not shard 4-bit weights, so every card would hold them all"
    if cards.to_run:
        return "shard with FSDP2 or DeepSpeed ZeRO-3: pericia plan --launch"
    return "does not run on cards of this size"


def _sentences(result: Plan) -> tuple[str, ...]:
    memory, cards, budget = result.memory, result.cards, gigabytes(result.budget_bytes)
    how = "with" if result.checkpointing else "without"
    lines = [
        f"{result.model}, {result.method}: {result.num_parameters:,} parameters, {result.num_trainable:,} trained",
        f"{result.context_tokens} tokens, micro-batch {result.micro_batch}, {how} checkpointing: {gigabytes(result.needed_bytes)} GB "
        f"(weights {gigabytes(memory.weights_bytes)}, adapter and optimiser {gigabytes(memory.states_bytes)}, activations "
        f"{gigabytes(memory.activations_bytes)}, process {gigabytes(memory.process_bytes)}, margin {gigabytes(memory.margin_bytes)})",
        f"{'fits' if result.fits else 'does not fit'} {budget} GB ({result.device})",
        f"usual rule of {RULE_BITS[result.method] / 8:g} bytes a parameter, states only: "
        f"{_cards(cards_for(result.rule_of_thumb_bytes, result.budget_bytes))} for {gigabytes(result.rule_of_thumb_bytes)} GB",
        f"states only: {_cards(cards.states_only)} of {budget} GB for {gigabytes(result.states_bytes)} GB",
    ]
    if cards.offload_ram_bytes:
        lines.append(
            f"to run: {_cards(cards.states_only)} + offload, {cards.offload_ram_bytes / GB:.0f} GB of RAM"
            + (f"; or {_cards(cards.to_run)} without offload" if cards.to_run else "")
        )
    elif cards.to_run:
        lines.append(f"to run: {_cards(cards.to_run)}")
    else:
        lines.append(
            "to run: no number of such cards is enough, the activations alone are too large"
        )
    lines += [f"to fit: {change}" for change in result.changes]
    lines.append(f"start: {result.advice}")
    if result.duration is not None:
        rate = result.duration
        time = "" if rate.hours is None else f", {rate.hours:.1f} hours in all"
        lines.append(
            f"time here: about {rate.tokens_per_s:.0f} tokens/s at {rate.flops_per_s / GB:.0f} GFLOP/s measured{time}"
        )
    return tuple(lines)


def _budget(machine: Machine, gpu_memory_gb: float | None) -> tuple[int, str]:
    if gpu_memory_gb is not None:
        return round(gpu_memory_gb * GB), "gpu"
    if machine.gpu:
        return machine.gpu_memory_bytes, "gpu"
    return machine.memory_bytes, "cpu"


def _checked(
    method: str, gpu_memory_gb: float | None, context_tokens: int, rank: int, micro_batch: int
) -> Method:
    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        raise InputError(
            said("Unknown method '%(method)s'.", method=method),
            hint=said("Available: %(known)s.", known=", ".join(METHODS)),
            param="method",
        )
    if gpu_memory_gb is not None and not 0 < gpu_memory_gb <= 100_000:
        raise InputError(
            said("A card of %(gpu_memory_gb)s GB is no card.", gpu_memory_gb=gpu_memory_gb),
            hint=said("Give --gpu-memory-gb a number above 0, such as 24."),
            param="gpu_memory_gb",
        )
    for name, value in (
        ("context_tokens", context_tokens),
        ("rank", rank),
        ("micro_batch", micro_batch),
    ):
        if value < 1:
            raise InputError(
                said("%(name)s is %(value)s; expected 1 or more.", name=name, value=value),
                hint="",
                param=name,
            )
    return chosen


def _cards(number: int) -> str:
    return "1 card" if number == 1 else f"{number} cards"

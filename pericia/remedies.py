"""What to change when a training does not fit: each change with the memory that it would take, and the cards there are."""

from dataclasses import replace

from pericia.foresee import (
    GB,
    CardCount,
    Job,
    Memory,
    nf4_weight_bytes,
    states_bytes,
    with_overhead,
)
from pericia.said import joined, said
from pericia.shapes import count_lora, largest_linear

# (memory in GB, names): the cards that people rent or own.
CARDS = (
    (8, "RTX 3070, RTX 4060"),
    (12, "RTX 3060, RTX 4070"),
    (16, "T4, V100-16, RTX 4060 Ti, RTX 4080"),
    (24, "L4, A10G, RTX 3090, RTX 4090"),
    (32, "V100-32, RTX 5090"),
    (40, "A100-40"),
    (48, "A6000, L40S"),
    (80, "A100-80, H100"),
    (141, "H200"),
    (180, "B200"),
)


def remedies(job: Job, memory: Memory, budget: int, cards: CardCount) -> tuple[str, ...]:
    """Return what would make it fit, the smallest loss first, each with the memory that it would need."""
    found = []
    if job.micro_batch > 1:
        part = replace(memory, activations_bytes=memory.activations_bytes // job.micro_batch)
        found.append((said("micro-batch 1 with accumulation (same result)"), part))
    if job.method != "qlora":
        small = replace(job, method="qlora", num_trainable=count_lora(job.shape, job.rank))
        unpacked = job.element_bytes * largest_linear(job.shape)
        found.append(
            (
                said("method qlora"),
                with_overhead(
                    nf4_weight_bytes(small),
                    states_bytes(small),
                    memory.activations_bytes + unpacked,
                    job.on_cpu,
                ),
            )
        )
    if job.method == "full":
        small = replace(job, method="lora", num_trainable=count_lora(job.shape, job.rank))
        lora = with_overhead(
            memory.weights_bytes, states_bytes(small), memory.activations_bytes, job.on_cpu
        )
        found.insert(len(found) - 1, (said("method lora"), lora))
    if job.context_tokens >= 512:
        half = replace(memory, activations_bytes=memory.activations_bytes // 2)
        fewer = said(
            "%(n)s tokens instead of %(now)s",
            n=job.context_tokens // 2,
            now=job.context_tokens,
        )
        found.append((fewer, half))
    sentences = []
    for what, part in found:
        takes = said("about %(gb)s GB, still too much", gb=gigabytes(part.needed_bytes))
        if part.needed_bytes <= budget:
            takes = said("about %(gb)s GB, fits", gb=gigabytes(part.needed_bytes))
        sentences.append(joined((what, takes), ": "))
    card = next((f"{gb} GB ({names})" for gb, names in CARDS if gb * GB >= memory.needed_bytes), "")
    if card and not job.on_cpu:
        sentences.append(said("a card of %(card)s", card=card))
    if cards.to_run > 1:
        sentences.append(
            said(
                "%(n)s cards of %(gb)s GB, the weights sharded over them",
                n=cards.to_run,
                gb=gigabytes(budget),
            )
        )
    sentences.append(said("a smaller model"))
    return tuple(sentences)


def gigabytes(num_bytes: float) -> str:
    """Return a number of GB as people read it: three digits, whole from a thousand on."""
    return f"{num_bytes / GB:.3g}" if num_bytes < 1000 * GB else f"{num_bytes / GB:.0f}"

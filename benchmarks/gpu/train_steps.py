"""Training steps of Phi-3-mini and of a 70B model on one GPU: time, tokens/s, peak memory, and what was foreseen.

    python benchmarks/gpu/train_steps.py --out benchmarks/gpu/result.json      (ten minutes at most, no network)
    python benchmarks/gpu/train_steps.py --dry                                  (tiny shapes, on the CPU, seconds)

Random weights: speed and memory do not depend on what a model knows. LoRA and QLoRA alternate (A B A B) at equal
micro-batch; the median of the steps after two warm-up steps counts. A case that does not fit is written down as such.
"""

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch
from bitsandbytes.nn.modules import Linear4bit, Params4bit
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from pericia.foresee import Job, foresee
from pericia.shapes import ModelShape, count_lora, read_shape, shape_of
from pericia.trainers.local.lora import quicken
from pericia.trainers.local.packing import collate, pack

WARM_UP_STEPS = 2
RANK = 16
TINY = {
    "model_type": "phi3",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 512,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@dataclass(frozen=True)
class Case:
    model: str
    method: str
    micro_batch: int
    context_tokens: int
    checkpointing: bool


@dataclass(frozen=True)
class Result:
    case: Case
    step_s: float
    tokens_per_s: float
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    foreseen_bytes: int
    planner_error: float | None  # (foreseen - measured) / measured, tensors alone
    loss: float
    failed: str = ""


def main() -> None:
    options = read_options()
    device = torch.device("cpu" if options.dry else "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA GPU here. Try: --dry")
    deadline = time.monotonic() + options.minutes * 60
    results = []
    for case in cases(options.dry):
        if time.monotonic() > deadline:
            results.append(no_result(case, "no time left"))
            continue
        results.append(run(case, device, options.steps))
        print(one_line(results[-1]), flush=True)
        if options.out:
            write(options.out, results, device)
    print_ratio(results)


def cases(dry: bool) -> list[Case]:
    """Return what is measured: each micro-batch with both methods, twice and alternating; then one step of 70B."""
    if dry:
        return [Case("tiny", method, 2, 64, True) for method in ("lora", "qlora")]
    found = [
        Case("phi-3-mini", method, micro_batch, 1024, micro_batch > 4)
        for micro_batch in (1, 4, 16)
        for _ in range(2)
        for method in ("lora", "qlora")
    ]
    return [*found, Case("llama-3-70b", "qlora", 1, 1024, True)]


def run(case: Case, device: torch.device, steps: int) -> Result:
    """Return the figures of one case; a case that does not fit gets none but its reason."""
    shape = shape_of(TINY, "tiny") if case.model == "tiny" else read_shape(case.model)
    foreseen = foresee_tensors(case, shape, device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        model = build(case, shape, device)
        times, loss = train(model, case, shape, device, steps)
    except torch.cuda.OutOfMemoryError:
        return no_result(case, "does not fit", foreseen)
    allocated, reserved = peaks(device)
    del model
    step_s = statistics.median(times)
    tokens = case.micro_batch * case.context_tokens
    error = (foreseen - allocated) / allocated if allocated else None
    return Result(case, step_s, tokens / step_s, allocated, reserved, foreseen, error, loss)


def foresee_tensors(case: Case, shape: ModelShape, device: torch.device) -> int:
    """Return the peak of tensors that `pericia plan` foresees, without process and margin."""
    job = Job(
        shape=shape,
        method="qlora" if case.method == "qlora" else "lora",
        rank=RANK,
        targets=shape.target_names,
        num_trainable=count_lora(shape, RANK),
        context_tokens=case.context_tokens,
        micro_batch=case.micro_batch,
        bf16=True,
        on_cpu=device.type == "cpu",
    )
    memory = foresee(job, case.checkpointing)
    return memory.weights_bytes + memory.states_bytes + memory.activations_bytes


def build(case: Case, shape: ModelShape, device: torch.device) -> torch.nn.Module:
    """Return the model with random weights and its adapter in fp32; 4-bit layers are filled one at a time."""
    with torch.device("meta"), default_dtype(torch.bfloat16):
        config = AutoConfig.for_model(**shape.config)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.config.use_cache = False
    fill(model, device, quantised=set(shape.target_names) if case.method == "qlora" else set())
    add_fused_lm_head(model)  # the loss in tiles, as TRL trains
    lora = LoraConfig(
        r=RANK, lora_alpha=32, target_modules=list(shape.target_names), task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
        adapted = get_peft_model(model, lora)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if case.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        adapted.enable_input_require_grads()
    pack(model)
    quicken(adapted)
    return adapted.train()


def fill(model: torch.nn.Module, device: torch.device, quantised: set[str]) -> None:
    """Give every tensor of a meta model small random values on the device; layers of `quantised` become NF4."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in quantised and isinstance(child, torch.nn.Linear):
                setattr(parent, name, random_nf4(child.in_features, child.out_features, device))
    tied: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        if isinstance(module, Linear4bit):
            continue
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.device.type == "meta":
                if id(parameter) not in tied:
                    values = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                    values.normal_(std=0.02) if values.ndim > 1 else values.fill_(1.0)
                    tied[id(parameter)] = torch.nn.Parameter(values)
                module._parameters[name] = tied[id(parameter)]
        if "inv_freq" in module._buffers:  # the only buffers: frequencies of the rotary embedding
            rotary = type(module)(model.config).to(device)
            module._buffers.update(rotary._buffers)


def random_nf4(inputs: int, outputs: int, device: torch.device) -> Linear4bit:
    """Return a layer of random weights in NF4 with double quantisation."""
    layer = Linear4bit(
        inputs, outputs, bias=False, compute_dtype=torch.bfloat16, compress_statistics=True,
        quant_type="nf4", device="meta",
    )  # fmt: skip
    weight = torch.empty(outputs, inputs, dtype=torch.bfloat16, device=device).normal_(std=0.02)
    layer.weight = Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer
    ).to(device)
    layer.support_avx512bf16_for_cpu = False  # that kernel passes no gradient
    return layer


def train(
    model: torch.nn.Module, case: Case, shape: ModelShape, device: torch.device, steps: int
) -> tuple[list[float], float]:
    """Return the seconds of each step after the warm-up, and the last loss."""
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=2e-4, fused=True
    )
    ids = torch.randint(1, shape.vocabulary, (case.micro_batch, case.context_tokens)).tolist()
    rows = [{"input_ids": row, "labels": row} for row in ids]
    batch = {name: tensor.to(device) for name, tensor in collate(rows).items()}
    times, loss = [], torch.zeros(())
    for _ in range(WARM_UP_STEPS + steps):
        wait(device)
        started = time.perf_counter()
        loss = model(**batch, use_cache=False, fused_lm_head=True).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        wait(device)
        times.append(time.perf_counter() - started)
    return times[WARM_UP_STEPS:], float(loss.detach())


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peaks(device: torch.device) -> tuple[int, int]:
    if device.type != "cuda":
        return 0, 0
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def no_result(case: Case, reason: str, foreseen: int = 0) -> Result:
    return Result(case, 0.0, 0.0, 0, 0, foreseen, None, 0.0, reason)


def one_line(result: Result) -> str:
    case = result.case
    what = f"{case.model} {case.method} {case.micro_batch} x {case.context_tokens}"
    what += " checkpointing" if case.checkpointing else ""
    if result.failed:
        return f"{what}: {result.failed} (foreseen {result.foreseen_bytes / 1e9:.1f} GB)"
    error = "" if result.planner_error is None else f", planner {result.planner_error:+.1%}"
    return (
        f"{what}: {result.step_s * 1000:.0f} ms a step, {result.tokens_per_s:.0f} tokens/s, "
        f"peak {result.peak_allocated_bytes / 1e9:.2f} GB{error}, loss {result.loss:.3f}"
    )


def print_ratio(results: list[Result]) -> None:
    """Print QLoRA's time over LoRA's at equal micro-batch."""
    pick: Callable[[str, int], list[float]] = lambda method, size: [  # noqa: E731
        r.step_s for r in results if not r.failed and (r.case.method, r.case.micro_batch) == (method, size)
        and r.case.model != "llama-3-70b"
    ]  # fmt: skip
    for size in sorted({r.case.micro_batch for r in results}):
        if (lora := pick("lora", size)) and (qlora := pick("qlora", size)):
            ratio = statistics.median(qlora) / statistics.median(lora)
            print(f"QLoRA / LoRA step time at micro-batch {size}: {ratio:.2f}")


def write(path: Path, results: list[Result], device: torch.device) -> None:
    packages = ("torch", "transformers", "peft", "trl", "bitsandbytes")
    facts = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor(),
        "versions": {name: version(name) for name in packages},
        "warm_up_steps": WARM_UP_STEPS,
        "results": [asdict(result) for result in results],
    }
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--out", type=Path, help="a JSON file, rewritten after every case")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each case")
    parser.add_argument("--minutes", type=float, default=9.0, help="no case starts after this")
    return parser.parse_args()


if __name__ == "__main__":
    main()

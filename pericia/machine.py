"""What this computer has, and which base model fits it.

Looks without loading any heavy library; the one look at the network is whether the model hub answers.
"""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pericia.said import Figure, said

HUB = "huggingface.co"
_LIMITS = (  # of a container, by cgroups of version 2 and 1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    cpu: str
    num_cores: int
    memory_bytes: int
    has_bf16: (
        bool  # bf16 matrix products in hardware: training and embedding are about four times faster
    )
    gpu: str = ""
    gpu_memory_bytes: int = 0

    def __str__(self) -> str:
        text = f"{self.num_cores} cores, {self.memory_bytes / 2**30:.0f} GiB memory"
        if self.gpu:
            return f"{text}, {self.gpu} with {self.gpu_memory_bytes / 2**30:.0f} GiB"
        return f"{text}, no GPU"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A base model for a machine, and why in one sentence."""

    model: str
    why: str


def look_at_machine() -> Machine:
    """Return what this computer has."""
    flags = _cpu_info("flags") or ""
    gpu, gpu_memory_bytes = _gpu()
    return Machine(
        cpu=_cpu_info("model name") or platform.processor() or platform.machine(),
        num_cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        has_bf16="avx512_bf16" in flags or "amx_bf16" in flags,
        gpu=gpu,
        gpu_memory_bytes=gpu_memory_bytes,
    )


def hub_answers(timeout_s: float = 2.0) -> bool:
    """Return whether models can be fetched: the hub accepts a connection, and no setting forbids it."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}:
        return False
    try:
        socket.create_connection((HUB, 443), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def propose_model(machine: Machine, hub: bool) -> Proposal:
    """Return the base model to start with.

    Thresholds: a 3.8 B model with QLoRA peaks near 4 GB at 1,024 tokens and at 9 GB with LoRA in bf16; on a
    CPU it trains at about 6 tokens/s, so there a model ten times smaller is proposed.
    """
    gpu_gib = machine.gpu_memory_bytes / 2**30
    if not hub:
        return Proposal(
            "pericia-nano",
            said(
                "the model hub does not answer, and this model is bundled. It reads simple English only: for real "
                "documents take 'quote', or give the folder of a model of your own"
            ),
        )
    if gpu_gib >= 8:
        return Proposal(
            "microsoft/Phi-4-mini-instruct",
            said(
                "a 3.8 B model of the Phi class: %(n)s GiB on the GPU hold it and its adapter",
                n=Figure(gpu_gib),
            ),
        )
    if machine.memory_bytes >= 6 * 2**30:
        return Proposal(
            "Qwen/Qwen2.5-0.5B-Instruct",
            said(
                "without a GPU of 8 GiB a half-billion model answers in seconds and trains overnight"
            ),
        )
    return Proposal(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        said(
            "%(n)s GiB of memory hold a small instruct model only",
            n=Figure(machine.memory_bytes / 2**30),
        ),
    )


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held at once; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _gpu() -> tuple[str, int]:
    if shutil.which("nvidia-smi") is None:
        return "", 0
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    name, _, mebibytes = done.stdout.split("\n", 1)[0].rpartition(",")
    if done.returncode != 0 or not mebibytes.strip().isdigit():
        return "", 0
    return name.strip(), int(mebibytes) * 2**20


def _memory_bytes(limits: Sequence[Path] = _LIMITS) -> int:
    """Return the memory of this computer, or of the container that this process runs in."""
    found = [int(psutil.virtual_memory().total)]
    for path in limits:
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        if text.isdigit():  # "max" says that there is no limit
            found.append(int(text))
    return min(found)


def _cpu_info(key: str) -> str | None:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return None
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None

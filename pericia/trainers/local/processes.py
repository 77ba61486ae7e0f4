"""Several processes that train together under `accelerate launch`: one of them writes, and its faults are told once."""

import contextlib
import errno
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import SafetensorError

from pericia.errors import JobError, MissingExtraError
from pericia.said import said

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_NO_MEMORY = "DefaultCPUAllocator"
_FULL_TEXTS = ("No space left", "File too large", "Disk quota", "PytorchStreamWriter")


def num_processes() -> int:
    """Return how many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def main_process_first() -> Iterator[bool]:
    """Run the block in the main process, then in the others; yields whether this is the main one."""
    if num_processes() == 1:
        yield True
        return
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.main_process_first():
        yield state.is_main_process


@contextlib.contextmanager
def reporting_full_disks(folder: Path) -> Iterator[None]:
    """Turn a failed write of a checkpoint or an adapter into a JobError; the checkpoints before it are whole."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        if number not in _FULL and not any(text in str(error) for text in _FULL_TEXTS):
            raise
        reason = str(error).strip().split("\n")[0]
        raise JobError(
            said(
                "Nothing more can be written to '%(folder)s': %(reason)s",
                folder=folder,
                reason=reason,
            ),
            hint=said(
                "Make room on the disk and give the same command: it goes on from the last whole checkpoint."
            ),
        ) from error


@contextlib.contextmanager
def reporting_full_memory() -> Iterator[None]:
    """Turn memory that has run out, on a GPU or here, into a JobError."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and _NO_MEMORY not in str(error):
            raise
        reason = str(error).strip().split("\n")[0]
        raise JobError(
            said("The memory has run out: %(reason)s", reason=reason),
            hint=said(
                "Lower train.batch_size or train.max_tokens, or take method qlora; pericia plan says what each would take. The same command goes on from the last whole checkpoint if the settings stay."
            ),
        ) from error


def check_trackers(names: Sequence[str]) -> None:
    """Raise MissingExtraError if a tool that losses are to be sent to is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                said("train.track names '%(name)s', which is not installed.", name=name),
                hint=said("Run: pip install %(name)s; or take it out of train.track.", name=name),
                param="train.track",
            )

"""What a training at work leaves in the ledger: steps, events, an estimate of its end, and checkpoints to be served."""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pericia.jobs import Checkpoint, Job, Ledger, Status, new_id
from pericia.types import TrainEvent

KEPT_CHECKPOINTS = 3
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class StopTrainingError(Exception):
    """The job is not to go on now."""


class Progress:
    """Writes steps, events and checkpoints of a training to the ledger, and stops it when the job is not to go on."""

    def __init__(
        self,
        ledger: Ledger,
        job: Job,
        status: Callable[[], Status | None],
        *,
        has_validation: bool,
    ) -> None:
        self._ledger = ledger
        self._job = job
        self._status = status
        self._has_validation = has_validation
        self._started: tuple[float, int] | None = None
        self._last_valid_loss: float | None = None
        self._kept_steps: set[int] = set()

    def __call__(self, event: TrainEvent) -> None:
        valid_loss = event.validation_loss if self._has_validation else None
        self._last_valid_loss = valid_loss if valid_loss is not None else self._last_valid_loss
        if event.step > 0:
            is_new = self._ledger.note_step(self._job.id, event.step, event.loss, valid_loss)
            if event.loss is not None and is_new and self._is_shown(event):
                self._tell_metrics(event, event.loss)
        self._estimate(event)
        self.keep_checkpoints()
        if self._status() != "running" and event.step > 0:
            raise StopTrainingError

    def _is_shown(self, event: TrainEvent) -> bool:
        every = 0 if self._job.dialect == "azure" else 1
        return event.num_steps < 20 or event.step % 10 == every

    def _tell_metrics(self, event: TrainEvent, loss: float) -> None:
        metrics = {"step": event.step, "train_loss": loss}
        if self._job.dialect == "azure":
            text = f"Step {event.step}: training loss={loss}"
        else:
            text = f"Step {event.step}/{event.num_steps}: training loss={loss:.2f}"
        if self._last_valid_loss is not None:
            text += f", validation loss={self._last_valid_loss:.2f}"
            metrics["valid_loss"] = self._last_valid_loss
        self._ledger.tell(self._job.id, text, metrics=metrics)

    def _estimate(self, event: TrainEvent) -> None:
        now = time.time()
        if self._started is None:
            self._started = now, event.step
            return
        begun, first = self._started
        if event.step > first and event.step % 10 == 0:
            left = (now - begun) / (event.step - first) * (event.num_steps - event.step)
            self._ledger.set_job(self._job.id, estimated_finish=now + left)

    def keep_checkpoints(self) -> None:
        """List checkpoints that are complete: the last three and the best, as adapters that can be served."""
        folder = self._ledger.job_folder(self._job.id)
        complete = (folder / "training" / "checkpoints").glob("checkpoint-*/pericia-complete")
        new = [mark.parent for mark in complete if step_of(mark.parent) not in self._kept_steps]
        if not new:
            return
        known: list[Checkpoint] = self._ledger.all(Checkpoint, job_id=self._job.id)
        losses = {record.step: record for record in self._ledger.steps(self._job.id)}
        for made in sorted(new, key=step_of):
            step = step_of(made)
            self._kept_steps.add(step)
            if step in {checkpoint.step for checkpoint in known}:
                continue
            kept = folder / "checkpoints" / f"step-{step}"
            copy_adapter(made, kept)
            metrics: dict[str, float] = {"step": step}
            if (loss := losses.get(step)) is not None:
                found = {"train_loss": loss.train_loss, "full_valid_loss": loss.valid_loss}
                metrics |= {name: value for name, value in found.items() if value is not None}
            values = {"job_id": self._job.id, "step": step, "folder": str(kept), "metrics": metrics}
            id_ = new_id("ftchkpt-" if self._job.dialect == "azure" else "ftckpt_")
            known.append(self._ledger.add(Checkpoint, id_, **values))
        known.sort(key=lambda checkpoint: checkpoint.step)
        best = min(known, key=_valid_loss)
        for old in known[:-KEPT_CHECKPOINTS]:
            if old is best and _valid_loss(best) < math.inf:
                continue
            self._ledger.remove(Checkpoint, old.id)
            shutil.rmtree(old.folder, ignore_errors=True)


def _valid_loss(checkpoint: Checkpoint) -> float:
    return float(checkpoint.metrics.get("full_valid_loss", math.inf))


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def copy_adapter(source: Path, target: Path) -> None:
    """Copy what is served of a folder; the target appears whole or not at all."""
    shutil.rmtree(target, ignore_errors=True)
    temporary = target.with_name(f".{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in _ADAPTER_FILES:
        shutil.copyfile(source / name, temporary / name)
    temporary.replace(target)

"""What a training at work leaves in the ledger: steps, events, an estimate of its end, and checkpoints to be served."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pericia.errors import EnoughError
from pericia.jobs import Checkpoint, Event, Job, Ledger, Status, StepRecord, new_id
from pericia.types import TrainEvent

KEPT_CHECKPOINTS = 3
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class StopTrainingError(EnoughError):
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
        self._valid = StepRecord(0)  # as last measured, on the whole file
        told: list[Event] = ledger.all(Event, job_id=job.id)
        self._told = {event.metrics["step"] for event in told if event.metrics}
        self._held: TrainEvent | None = None  # waits for the validation of its step
        self._kept_steps: set[int] = set()

    def __call__(self, event: TrainEvent) -> None:
        if event.step > 0:
            self._note(event)
        self._estimate(event)
        self.keep_checkpoints()
        if self._status() != "running" and event.step > 0:
            raise StopTrainingError

    def _note(self, event: TrainEvent) -> None:
        """Record what was measured, and tell of it once; a step that is repeated after a resume is not told again."""
        if self._held is not None and self._held.step != event.step:
            self.tell_held()
        record = StepRecord(event.step, event.loss, train_accuracy=event.accuracy)
        if self._has_validation and event.validation_loss is not None:
            valid = event.validation_loss, event.validation_accuracy
            record = replace(record, valid_loss=valid[0], valid_accuracy=valid[1])
            self._valid = record
        self._ledger.note_step(self._job.id, record)
        if event.loss is not None and event.step not in self._told and self._is_shown(event):
            self._held = event
        if not self._has_validation or record.valid_loss is not None:
            self.tell_held()

    def tell_held(self) -> None:
        """Tell of the step that still waits, if one does."""
        if self._held is not None:
            self._tell_metrics(self._held)
            self._told.add(self._held.step)
            self._held = None

    def _is_shown(self, event: TrainEvent) -> bool:
        every = 0 if self._job.dialect == "azure" else 1
        return event.num_steps < 20 or event.step % 10 == every

    def _tell_metrics(self, event: TrainEvent) -> None:
        if self._job.dialect == "azure":
            text = f"Step {event.step}: training loss={event.loss}"
        else:
            text = f"Step {event.step}/{event.num_steps}: training loss={event.loss:.2f}"
        valid = self._valid
        if valid.valid_loss is not None:
            text += f", validation loss={valid.valid_loss:.2f}"
        record = replace(
            valid, step=event.step, train_loss=event.loss, train_accuracy=event.accuracy
        )
        metrics = metrics_of(record, is_measured=valid.step == event.step)
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
        measured = {record.step: record for record in self._ledger.steps(self._job.id)}
        for made in sorted(new, key=step_of):
            step = step_of(made)
            self._kept_steps.add(step)
            if step in {checkpoint.step for checkpoint in known}:
                continue
            kept = folder / "checkpoints" / f"step-{step}"
            copy_adapter(made, kept)
            metrics = metrics_of(measured.get(step, StepRecord(step)), is_measured=True)
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


def metrics_of(record: StepRecord, *, is_measured: bool) -> dict[str, float]:
    """Return OpenAI's fields of a step; `full_` ones only where this step has measured the validation file.

    `valid_` fields hold what was measured last, of the whole file as well.
    """
    found = {
        "train_loss": record.train_loss,
        "train_mean_token_accuracy": record.train_accuracy,
        "valid_loss": record.valid_loss,
        "valid_mean_token_accuracy": record.valid_accuracy,
    }
    if is_measured:
        found["full_valid_loss"] = record.valid_loss
        found["full_valid_mean_token_accuracy"] = record.valid_accuracy
    measured = {name: value for name, value in found.items() if value is not None}
    return {"step": record.step, **measured}


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

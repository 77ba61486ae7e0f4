"""The worker of one fine-tuning job, in a process of its own: files -> dataset -> pre-flight -> train -> model.

    python -m pericia.server.work LEDGER_FOLDER

It holds the job by a lease that a thread renews, so a worker that is killed is noticed; whoever claims the job then
goes on from its last checkpoint. It looks at the job's status at every step and stops when a pause or an end is wished.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pericia.config import TrainConfig
from pericia.errors import PericiaError
from pericia.examples import read_examples
from pericia.jobs import LEASE_S, Checkpoint, Job, Ledger, Status, StoredFile, new_id
from pericia.preflight import check_preparation
from pericia.server.names import model_name
from pericia.trainers import Trainer
from pericia.trainers import load as load_trainer
from pericia.types import Dataset, Example, Preparation, TrainEvent
from pericia.workspace import sha256_of, write_atomic, write_json

KEPT_CHECKPOINTS = 3
TRAINING, VALIDATION = "training.jsonl", "validation.jsonl"
CSV_HEADER = (
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,"
    "train_mean_token_accuracy,full_valid_loss,full_valid_mean_token_accuracy"
)
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_STAND_INS = 4  # rows


class StopTrainingError(Exception):
    """The job is not to go on now."""


def train_next(
    ledger: Ledger, trainer: Trainer, *, on_lost: Callable[[], None] = lambda: None
) -> Job | None:
    """Return the job that was claimed and worked on, None when none waits. Its faults end up in the job.

    `on_lost` is called from another thread when the job was cancelled or given to another worker.
    """
    owner = new_id("worker-")
    job = ledger.claim(owner)
    if job is None:
        return None
    ledger.tell(job.id, "Fine-tuning job started")
    with _held(ledger, job, owner, on_lost) as status:
        try:
            _train(ledger, job, owner, trainer, status)
        except StopTrainingError:
            if ledger.try_move(job.id, ["pausing"], "paused", lease_owner=""):
                ledger.tell(job.id, "Fine-tuning job paused")
        except PericiaError as error:
            _fail(ledger, job, error)
        except BaseException:
            fault = PericiaError("The training stopped by a fault of its own; the log has it.")
            _fail(ledger, job, fault)
            raise
    return job


@contextmanager
def _held(
    ledger: Ledger, job: Job, owner: str, on_lost: Callable[[], None]
) -> Iterator[Callable[[], Status | None]]:
    """Renew the lease while the block runs; yields a function that returns the status as last seen."""
    seen: list[Status | None] = [job.status]
    done = threading.Event()

    def renew() -> None:
        while not done.wait(min(1.0, LEASE_S / 5)):
            seen[0] = ledger.renew(job.id, owner)
            if seen[0] not in ("running", "pausing") and not done.is_set():
                on_lost()
                return

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield lambda: seen[0]
    finally:
        done.set()
        thread.join()


def _train(
    ledger: Ledger, job: Job, owner: str, trainer: Trainer, status: Callable[[], Status | None]
) -> None:
    folder = ledger.job_folder(job.id)
    settings = TrainConfig.model_validate(job.resolved["settings"])
    dataset = _dataset(folder)
    preparation = trainer.prepare(dataset, job.base, settings)
    check_preparation(
        preparation,
        truncated_share=settings.truncated_share,
        needs_validation=bool(job.validation_file),
    )
    if not preparation.validation_rows:
        # The trainer always evaluates. Without a validation file it does so on a few rows of the training file, and
        # what it finds is shown nowhere.
        preparation = replace(preparation, validation_rows=preparation.rows[:_STAND_INS])
    if preparation.num_too_long:
        text = f"{preparation.num_too_long} examples of more than {settings.max_tokens} tokens are left out."
        ledger.tell(job.id, text, level="warn")
    progress = _Progress(ledger, job, status, has_validation=bool(job.validation_file))
    recorded = trainer.train(
        preparation,
        job.base,
        settings,
        folder / "training",
        parent=Path(job.parent) if job.parent else None,
        on_event=progress,
    )
    progress.keep_checkpoints()
    manifest = {
        "id": job.id,
        "base": job.base,
        "base_sha256": preparation.base_sha256,
        "dataset_sha256": dataset.sha256,
        "template_sha256": preparation.template_sha256,
        "stop_sha256": preparation.stop_sha256,
        "settings": settings.model_dump(),
        **recorded,
    }
    _finish(ledger, job, owner, preparation, manifest)


def _dataset(folder: Path) -> Dataset:
    """Return the examples as they stand in the files: here the caller decides about duplicates and prompts."""
    train, _ = read_examples(folder / TRAINING)
    validation: tuple[Example, ...] = ()
    if (folder / VALIDATION).exists():
        validation, _ = read_examples(folder / VALIDATION)
    rows = [[[m.role, m.content] for m in e.messages] for e in (*train, *validation)]
    return Dataset(train, validation, sha256_of(rows))


class _Progress:
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
        """List checkpoints that are complete: the last three, as adapters that can be served."""
        folder = self._ledger.job_folder(self._job.id)
        complete = (folder / "training" / "checkpoints").glob("checkpoint-*/pericia-complete")
        new = [mark.parent for mark in complete if _step(mark.parent) not in self._kept_steps]
        if not new:
            return
        known: list[Checkpoint] = self._ledger.all(Checkpoint, job_id=self._job.id)
        losses = {record.step: record for record in self._ledger.steps(self._job.id)}
        for made in sorted(new, key=_step):
            step = _step(made)
            self._kept_steps.add(step)
            if step in {checkpoint.step for checkpoint in known}:
                continue
            kept = folder / "checkpoints" / f"step-{step}"
            _copy_adapter(made, kept)
            metrics: dict[str, float] = {"step": step}
            if (loss := losses.get(step)) is not None:
                found = {"train_loss": loss.train_loss, "full_valid_loss": loss.valid_loss}
                metrics |= {name: value for name, value in found.items() if value is not None}
            values = {"job_id": self._job.id, "step": step, "folder": str(kept), "metrics": metrics}
            known.append(self._ledger.add(Checkpoint, new_id("ftckpt_"), **values))
        known.sort(key=lambda checkpoint: checkpoint.step)
        for old in known[:-KEPT_CHECKPOINTS]:
            self._ledger.remove(Checkpoint, old.id)
            shutil.rmtree(old.folder, ignore_errors=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _copy_adapter(source: Path, target: Path) -> None:
    """Copy what is served of a folder; the target appears whole or not at all."""
    shutil.rmtree(target, ignore_errors=True)
    temporary = target.with_name(f".{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in _ADAPTER_FILES:
        shutil.copyfile(source / name, temporary / name)
    temporary.replace(target)


def _finish(
    ledger: Ledger, job: Job, owner: str, preparation: Preparation, manifest: dict[str, object]
) -> None:
    """Put the adapter in its place, write the result file, and make the job succeeded in one write."""
    folder = ledger.job_folder(job.id)
    _copy_adapter(folder / "training", folder / "adapter")
    for place in (folder / "adapter", *(folder / "checkpoints").glob("step-*")):
        write_json(place / "pericia-manifest.json", manifest)
    result = _write_results(ledger, job)
    name = model_name(job)
    if job.dialect == "azure":
        closing = ["Job succeeded.", "Postprocessing started."]
        closing += [f"Completed results file: {result.id}", "Training hours billed: 0.000"]
    else:
        closing = [f"New fine-tuned model created: {name}", "The job has successfully completed"]
    tokens = sum(len(row.ids) for row in preparation.rows) * int(job.resolved["n_epochs"])
    done = ledger.renew(job.id, owner) in ("running", "pausing") and ledger.try_move(
        job.id,
        ["running", "pausing"],
        "succeeded",
        [("info", message) for message in closing],
        is_served=True,
        result_file=result.id,
        trained_tokens=tokens,
        estimated_finish=None,
    )
    if not done:
        shutil.rmtree(folder / "adapter", ignore_errors=True)
        ledger.remove(StoredFile, result.id)
    shutil.rmtree(folder / "training", ignore_errors=True)


def _write_results(ledger: Ledger, job: Job) -> StoredFile:
    lines = [CSV_HEADER]
    for record in ledger.steps(job.id):
        loss = "" if record.train_loss is None else str(record.train_loss)
        valid = "" if record.valid_loss is None else str(record.valid_loss)
        lines.append(f"{record.step},{loss},,{valid},,,{valid},")
    data = ("\n".join(lines) + "\n").encode()
    id_ = new_id("file-")
    write_atomic(ledger.file_path(id_), data)
    filename = "results.csv" if job.dialect == "azure" else "step_metrics.csv"
    values = {"filename": filename, "purpose": "fine-tune-results", "num_bytes": len(data)}
    stored: StoredFile = ledger.add(StoredFile, id_, **values)
    return stored


def _fail(ledger: Ledger, job: Job, error: PericiaError) -> None:
    message = f"{error.message} {error.hint}".strip()
    param = error.param or ("training_file" if error.exit_code == 2 else None)
    fault = {"code": error.code, "message": message, "param": param}
    ledger.try_move(job.id, ["running", "pausing"], "failed", [("error", message)], error=fault)


def main(folder: Path) -> None:
    """Work on one job of the ledger in `folder`, if one waits."""
    ledger = Ledger(folder)
    train_next(ledger, load_trainer(), on_lost=lambda: os._exit(0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

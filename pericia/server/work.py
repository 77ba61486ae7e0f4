"""The worker of one fine-tuning job, in a process of its own: files -> dataset -> pre-flight -> train -> model.

    python -m pericia.server.work LEDGER_FOLDER OWNER

It holds the job by a lease that a thread renews, so a worker that is killed is noticed; whoever claims the job then
goes on from its last checkpoint. It looks at the job's status at every step and stops when a pause or an end is wished.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pericia import bases
from pericia.config import TrainConfig
from pericia.errors import InputError, PericiaError
from pericia.examples import read_examples
from pericia.jobs import (
    DATABASE_VARIABLE,
    LEASE_S,
    Job,
    Ledger,
    Level,
    Status,
    StoredFile,
    new_id,
)
from pericia.preflight import check_preparation
from pericia.server.names import model_name
from pericia.server.progress import Progress, StopTrainingError, copy_adapter
from pericia.trainers import Trainer
from pericia.trainers import load as load_trainer
from pericia.types import Dataset, Example, Preparation
from pericia.workspace import sha256_of, write_atomic, write_json

TRAINING, VALIDATION = "training.jsonl", "validation.jsonl"
CSV_HEADER = (
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,"
    "train_mean_token_accuracy,full_valid_loss,full_valid_mean_token_accuracy"
)
_STAND_INS = 4  # rows
_BEGAN_WITH = "began-with.json"


class ChangedError(InputError):
    """A job that has begun would go on with something else than it began with; its checkpoints are kept."""

    code = "base_changed"


def train_next(
    ledger: Ledger,
    trainer: Trainer,
    *,
    owner: str = "",
    on_lost: Callable[[], None] = lambda: None,
) -> Job | None:
    """Return the job that was claimed and worked on, None when none waits. Its faults end up in the job.

    `on_lost` is called from another thread when the job was cancelled or given to another worker.
    """
    owner = owner or new_id("worker-")
    job = ledger.claim(owner)
    if job is None:
        return None
    ledger.tell(job.id, "Fine-tuning job started")
    with _held(ledger, job, owner, on_lost) as status:
        try:
            _train(ledger, job, owner, trainer, status)
        except ChangedError as error:
            told: list[tuple[Level, str]] = [("error", f"{error.message} {error.hint}")]
            ledger.try_move(job.id, ["running", "pausing"], "paused", told, lease_owner="")
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
    _check_unchanged(folder, preparation, dataset)
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
    if preparation.learning_rate:
        text = f"The learning rate is {preparation.learning_rate:.3g} after its warm-up."
        ledger.tell(job.id, text)
    progress = Progress(ledger, job, status, has_validation=bool(job.validation_file))
    try:
        recorded = trainer.train(
            preparation,
            job.base,
            settings,
            folder / "training",
            parent=Path(job.parent) if job.parent else None,
            on_event=progress,
        )
    finally:
        progress.tell_held()
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


def _check_unchanged(folder: Path, preparation: Preparation, dataset: Dataset) -> None:
    """Raise ChangedError where a job that goes on would not be the one that it was: it would start over in silence."""
    now = {
        "base model": preparation.base_sha256,
        "chat template": preparation.template_sha256,
        "training files": dataset.sha256,
    }
    _compare(folder, now)
    write_json(folder / _BEGAN_WITH, now)


def _compare(folder: Path, now: Mapping[str, str]) -> None:
    path = folder / _BEGAN_WITH
    began = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
    if changed := [name for name, sha256 in now.items() if began.get(name) != sha256]:
        text = f"The job cannot go on: changed since it began: {', '.join(changed)}."
        raise ChangedError(text, hint="Bring it back and resume, or start a new job.")


def check_base(ledger: Ledger, job: Job) -> None:
    """Raise ChangedError where a job's base is no longer the folder that it began with.

    A base of the hub is left to the worker, which fetches it.
    """
    is_folder = Path(job.base).is_absolute() or Path(job.base).exists()
    if job.base != bases.BUNDLED and not is_folder:
        return
    try:
        now = bases.base_sha256(bases.base_folder(job.base))
    except PericiaError as error:
        raise ChangedError(f"The job cannot go on: {error.message}", hint=error.hint) from error
    _compare(ledger.job_folder(job.id), {"base model": now})


def _dataset(folder: Path) -> Dataset:
    """Return the examples as they stand in the files: here the caller decides about duplicates and prompts."""
    train, _ = read_examples(folder / TRAINING)
    validation: tuple[Example, ...] = ()
    if (folder / VALIDATION).exists():
        validation, _ = read_examples(folder / VALIDATION)
    rows = [[[m.role, m.content] for m in e.messages] for e in (*train, *validation)]
    return Dataset(train, validation, sha256_of(rows))


def _finish(
    ledger: Ledger, job: Job, owner: str, preparation: Preparation, manifest: dict[str, object]
) -> None:
    """Put the adapter in its place, write the result file, and make the job succeeded in one write."""
    folder = ledger.job_folder(job.id)
    copy_adapter(folder / "training", folder / "adapter")
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
    for one in ledger.steps(job.id):
        train = one.train_loss, one.train_accuracy
        valid = one.valid_loss, one.valid_accuracy
        row = (one.step, *train, *valid, one.train_accuracy, *valid)
        lines.append(",".join("" if value is None else str(value) for value in row))
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


def main(folder: Path, owner: str) -> None:
    """Work on one job of the ledger in `folder`, if one waits, under the name `owner`."""
    ledger = Ledger(folder, os.environ.get(DATABASE_VARIABLE, ""))
    train_next(ledger, load_trainer(), owner=owner, on_lost=lambda: os._exit(0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

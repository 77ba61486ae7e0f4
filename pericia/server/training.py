"""Jobs go through here: checked when they come in, given to one worker process at a time, taken back when it is gone."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pericia.config import TrainConfig
from pericia.errors import InputError, PericiaError
from pericia.examples import auto_epochs, read_examples, stop_at_errors
from pericia.jobs import Job, Ledger, Level, new_id
from pericia.server.work import TRAINING, VALIDATION
from pericia.types import Example

MIN_EXAMPLES = 10  # OpenAI's and Azure's rule
_SHOWN_FAULTS = 20
log = logging.getLogger("pericia.server")


def start_worker(ledger: Ledger) -> None:
    """Run a worker process until it has ended; it outlives this one if this one is killed.

    If the worker is killed, its job may be claimed again at once.
    """
    owner = new_id("worker-")
    with (ledger.folder / "worker.log").open("ab") as output:
        command = [sys.executable, "-m", "pericia.server.work", str(ledger.folder), owner]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        process.wait()
    ledger.release(owner)


class Training:
    """A thread that looks after the ledger's jobs. `work` runs one worker and returns when it has ended."""

    def __init__(
        self,
        ledger: Ledger,
        settings: TrainConfig,
        *,
        work: Callable[[Ledger], Any] = start_worker,
        every_s: float = 0.3,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._work = work
        self._every_s = every_s
        self._closing = threading.Event()
        self._worker: threading.Thread | None = None
        self._thread = threading.Thread(target=self._look_after, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop looking; a worker goes on, and the next server finds it by its lease."""
        self._closing.set()
        self._thread.join()

    def _look_after(self) -> None:
        while not self._closing.wait(self._every_s):
            try:
                self._look()
            except Exception:  # one bad moment, of the database say, must not end the watch
                log.exception("looking after the jobs")

    def _look(self) -> None:
        for job in reversed(self._ledger.all(Job, status="validating")):
            self._validate(job)
        for job_id in self._ledger.requeue_lost():
            text = "The worker was lost; the job goes on from its last checkpoint."
            self._ledger.tell(job_id, text, level="warn")
        waits = self._ledger.page(Job, limit=1, status="queued")[0]
        if waits and (self._worker is None or not self._worker.is_alive()):
            self._worker = threading.Thread(target=self._work, args=(self._ledger,), daemon=True)
            self._worker.start()

    def _validate(self, job: Job) -> None:
        """Move a job to queued with its settings resolved, or to failed with every fault of its files."""
        told: list[tuple[Level, str]] = [("info", f"Validating training file: {job.training_file}")]
        folder = self._ledger.job_folder(job.id)
        try:
            examples = read_checked(folder / TRAINING, "training_file", job.method)
            if job.validation_file:
                others = read_checked(folder / VALIDATION, "validation_file", job.method)
                _check_apart(examples, others)
        except PericiaError as error:
            message = f"{error.message} {error.hint}".strip()
            fault = {"code": "invalid_training_file", "message": message, "param": error.param}
            told += [("error", line) for line in message.split("\n")[:_SHOWN_FAULTS]]
            self._ledger.try_move(job.id, ["validating"], "failed", told, error=fault)
            return
        resolved = resolve(job, len(examples), self._settings)
        counts = (
            f"{len(examples)} examples, {resolved['n_epochs']} epochs, batches of {resolved['batch_size']}, "
            f"learning rate multiplier {resolved['learning_rate_multiplier']:g}"
        )
        told += [("info", "Files validated, moving job to queued state"), ("info", counts)]
        self._ledger.try_move(job.id, ["validating"], "queued", told, resolved=resolved)


def resolve(job: Job, num_examples: int, settings: TrainConfig) -> dict[str, Any]:
    """Return the hyperparameters in numbers and the settings that the trainer takes.

    Source: "auto" epochs as in openai-cookbook's Chat_finetuning_data_prep; "auto" batches are 0.2 % of the rows.
    """
    epochs, batch, factor = (
        job.asked.get(name) for name in ("n_epochs", "batch_size", "learning_rate_multiplier")
    )
    n_epochs = auto_epochs(num_examples) if epochs in (None, "auto") else int(epochs)
    batch_size = max(1, min(256, num_examples // 500)) if batch in (None, "auto") else int(batch)
    multiplier = 1.0 if factor in (None, "auto") else float(factor)
    beta = job.asked.get("beta", "auto")
    beta = settings.dpo_beta if beta == "auto" else float(beta)
    chosen = {
        "epochs": n_epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": settings.learning_rate_multiplier * multiplier,
        "seed": job.seed,
        "patience": 0,  # as many epochs as the API was asked for
        "objective": "dpo" if job.method == "dpo" else "sft",
        "dpo_beta": beta,
    }
    return {
        "n_epochs": n_epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": multiplier,
        "beta": beta,
        "settings": settings.model_copy(update=chosen).model_dump(),
    }


def read_checked(path: Path, param: str, method: str) -> tuple[Example, ...]:
    """Return the examples of a file.

    Raises:
        InputError: it has faults; the message lists them with their lines, and `param` says which file.
    """
    try:
        examples, findings = read_examples(path)
        stop_at_errors(findings, param)
    except RecursionError as error:
        text = f"A line of the {param.replace('_', ' ')} is nested too deep to be a chat."
        raise InputError(text, hint="See: pericia check FILE", param=param) from error
    except InputError as error:
        text = error.message.replace(str(path), param)
        raise InputError(
            text, hint=error.hint.partition(" All findings")[0], param=param
        ) from error
    for example in examples:
        if example.is_preference != (method == "dpo"):
            kind = "a preference pair" if example.is_preference else "no preference pair"
            text = f"Line {example.line} of the {param.replace('_', ' ')} is {kind}, and the method is {method}."
            hint = "Pairs have 'input', 'preferred_output' and 'non_preferred_output'."
            raise InputError(text, hint=hint, param=param)
    if param == "training_file" and len(examples) < MIN_EXAMPLES:
        text = f"Training file has {len(examples)} example(s), but must have at least {MIN_EXAMPLES} examples"
        raise InputError(text, param=param)
    return examples


def _check_apart(examples: tuple[Example, ...], others: tuple[Example, ...]) -> None:
    known = {example.messages: example.line for example in examples}
    for other in others:
        if other.messages in known:
            text = f"Line {other.line} of the validation file is line {known[other.messages]} of the training file."
            hint = "A loss on examples that were trained on says nothing."
            raise InputError(text, hint=hint, param="validation_file")


def copy_files(ledger: Ledger, job_id: str, training_file: str, validation_file: str) -> None:
    """Give a job its own copies, so that the files may be deleted at any time."""
    folder = ledger.job_folder(job_id)
    folder.mkdir(parents=True)
    for file_id, name in ((training_file, TRAINING), (validation_file, VALIDATION)):
        if file_id:
            (folder / name).write_bytes(ledger.file_path(file_id).read_bytes())

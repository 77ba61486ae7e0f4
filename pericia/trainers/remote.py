"""Fine-tuning by a service with OpenAI's API: OpenAI, Azure, another Pericia. Upload, job, events, result files.

The job is written down before it is waited for, so the same call after an interruption waits for the same job and
pays for none twice.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

from pericia.config import TrainConfig
from pericia.errors import InputError, JobError, ModelError
from pericia.examples import as_chat
from pericia.types import Dataset, Example, RemoteModel, TrainEvent
from pericia.workspace import sha256_of, write_atomic, write_json

MIN_EXAMPLES = 10  # OpenAI's and Azure's rule
AZURE_VERSION = "2024-10-21"
_STATE = "remote-job.json"
_ENDED = ("succeeded", "failed", "cancelled")
_STEP = re.compile(r"\bStep (\d+)(?:/(\d+))?")


def load_openai(base_url: str | None) -> "RemoteTrainer":
    """Return a trainer at `base_url`; without it OPENAI_BASE_URL says where, as OPENAI_API_KEY with which key.

    Raises:
        ModelError: no key is set.
    """
    with _as_ours():
        return RemoteTrainer(openai.OpenAI(base_url=base_url))


def load_azure(base_url: str | None) -> "RemoteTrainer":
    """Return a trainer at an Azure endpoint; what is not given is taken from the variables of OpenAI's own client.

    Raises:
        ModelError: no key or no endpoint is set.
    """
    version = os.environ.get("OPENAI_API_VERSION", AZURE_VERSION)
    with _as_ours():
        if base_url is None:
            return RemoteTrainer(openai.AzureOpenAI(api_version=version))
        return RemoteTrainer(openai.AzureOpenAI(azure_endpoint=base_url, api_version=version))


class RemoteTrainer:
    """See `trainers.RemoteTrainer`."""

    def __init__(self, client: openai.OpenAI, *, every_s: float = 2.0) -> None:
        self._client = client
        self._every_s = every_s
        self.service = str(client.base_url)

    def train(
        self,
        dataset: Dataset,
        base: str,
        settings: TrainConfig,
        folder: Path,
        *,
        suffix: str = "",
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> RemoteModel:
        """See `trainers.RemoteTrainer.train`."""
        if len(dataset.train) < MIN_EXAMPLES:
            text = f"{len(dataset.train)} examples are too few: services ask for {MIN_EXAMPLES}."
            raise InputError(text, hint="Give more examples.")
        with _as_ours():
            job_id = self._job(dataset, base, settings, folder, suffix)
            job = self._wait(job_id, on_event)
            if job.status != "succeeded" or not job.fine_tuned_model:
                reason = job.error.message if job.error else "the service gives no reason"
                (folder / _STATE).unlink(missing_ok=True)  # the next call makes a new job
                raise JobError(
                    f"The job {job_id} at {self.service} has {job.status}: {reason}",
                    hint="Mend what it names, and run the same command again.",
                )
            files = [self._fetch(file_id, folder) for file_id in job.result_files]
        made = RemoteModel(
            model=job.fine_tuned_model,
            base=base,
            job=job_id,
            service=self.service,
            trained_tokens=job.trained_tokens,
            files=tuple(map(str, files)),
        )
        write_json(
            folder / "remote-model.json", {**_fields(made), "dataset_sha256": dataset.sha256}
        )
        return made

    def _job(
        self, dataset: Dataset, base: str, settings: TrainConfig, folder: Path, suffix: str
    ) -> str:
        """Return the id of the job of these data and settings: the one begun before, or a new one."""
        method = _method(settings)
        wanted = sha256_of([dataset.sha256, base, method, settings.seed, suffix, self.service])
        state = folder / _STATE
        if state.exists():
            begun: Mapping[str, str] = json.loads(state.read_text(encoding="utf-8"))
            if begun.get("wanted") == wanted:
                return begun["job"]
        training = self._upload(dataset.train, folder / "training.jsonl")
        validation = self._upload(dataset.validation, folder / "validation.jsonl")
        extra: dict[str, Any] = {"validation_file": validation} if dataset.validation else {}
        if suffix:
            extra["suffix"] = suffix
        job = self._client.fine_tuning.jobs.create(
            model=base, training_file=training, method=method, seed=settings.seed, **extra
        )
        write_json(state, {"wanted": wanted, "job": job.id, "service": self.service})
        return job.id

    def _upload(self, examples: Sequence[Example], path: Path) -> str:
        if not examples:
            return ""
        write_atomic(path, "".join(_line(example) for example in examples))
        with path.open("rb") as file:
            return self._client.files.create(file=(path.name, file), purpose="fine-tune").id

    def _wait(self, job_id: str, on_event: Callable[[TrainEvent], None] | None) -> Any:
        """Return the job once it has ended; its events are passed on in their order, each once."""
        told: set[str] = set()
        while True:
            job = self._client.fine_tuning.jobs.retrieve(job_id)
            for event in self._new_events(job_id, told):
                told.add(event.id)
                if on_event is not None and (step := _step(event)) is not None:
                    on_event(step)
            if job.status in _ENDED:
                return job
            time.sleep(self._every_s)

    def _new_events(self, job_id: str, told: set[str]) -> list[Any]:
        """Return the events not told yet, oldest first; the service lists the newest first."""
        new = []
        for event in self._client.fine_tuning.jobs.list_events(job_id, limit=100):
            if event.id in told:
                break
            new.append(event)
        return new[::-1]

    def _fetch(self, file_id: str, folder: Path) -> Path:
        path = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', file_id)}.csv"
        write_atomic(path, self._client.files.content(file_id).read())
        return path


def _line(example: Example) -> str:
    """Return an example as a line of OpenAI's file: a chat, or a preference pair."""
    chat = as_chat(example.messages)
    for turn, message in zip(chat, example.messages, strict=True):
        if not message.trains:
            turn["weight"] = 0
    tools = {"tools": list(example.tools)} if example.tools else {}
    if example.is_preference:
        worse = {"role": "assistant", "content": example.rejected}
        row: dict[str, Any] = {
            "input": {"messages": chat[:-1], **tools},
            "preferred_output": chat[-1:],
            "non_preferred_output": [worse],
        }
    else:
        row = {"messages": chat, **tools}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _method(settings: TrainConfig) -> Any:
    """Return the method with its hyperparameters. The rate is the service's, which knows its model, or a multiple of it."""
    hyperparameters: dict[str, Any] = {
        "n_epochs": settings.epochs,
        "batch_size": settings.batch_size,
    }
    if settings.learning_rate_multiplier != 1.0:
        hyperparameters["learning_rate_multiplier"] = settings.learning_rate_multiplier
    if settings.objective == "dpo":
        hyperparameters["beta"] = settings.dpo_beta
        return {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


def _step(event: Any) -> TrainEvent | None:
    data = event.data if isinstance(event.data, dict) else {}
    found = _STEP.search(event.message)
    step = data.get("step") or (found and int(found[1]))
    if not step:
        return None
    num_steps = int(found[2]) if found and found[2] else int(data.get("total_steps") or 0)
    valid = data.get("full_valid_loss", data.get("valid_loss"))
    right = data.get("train_mean_token_accuracy")
    valid_right = data.get("full_valid_mean_token_accuracy", data.get("valid_mean_token_accuracy"))
    return TrainEvent(int(step), num_steps, data.get("train_loss"), valid, right, valid_right)


def _fields(made: RemoteModel) -> dict[str, Any]:
    return {
        "model": made.model,
        "base": made.base,
        "job": made.job,
        "service": made.service,
        "trained_tokens": made.trained_tokens,
    }


@contextmanager
def _as_ours() -> Iterator[None]:
    """Say what the service or the client says in our words; a job that was begun goes on there."""
    again = "The same command waits for the same job."
    try:
        yield
    except openai.APIConnectionError as error:
        text = f"The fine-tuning service does not answer: {error}"
        raise ModelError(text, hint=f"Look at train.base_url and the network. {again}") from error
    except openai.AuthenticationError as error:
        text = f"The fine-tuning service does not take the key: {error.message}"
        raise ModelError(text, hint="Set OPENAI_API_KEY or AZURE_OPENAI_API_KEY.") from error
    except openai.APIStatusError as error:
        text = f"The fine-tuning service refuses ({error.status_code}): {error.message}"
        raise JobError(text, hint=again if error.status_code >= 500 else "") from error
    except openai.OpenAIError as error:  # no key, no endpoint
        text = f"The fine-tuning service cannot be asked: {str(error).split(chr(10))[0]}"
        raise ModelError(text, hint="Set the variables of OpenAI's client.") from error

"""The names of fine-tuned models and of their checkpoints, in OpenAI's and in Azure's form.

The base in a name is the one that was trained, never an alias, so nobody believes that GPT was.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

from pericia.jobs import Checkpoint, Job, Ledger

_CHAT_ALIASES = (
    "gpt-3.5-turbo*",
    "gpt-35-turbo*",
    "gpt-4o-mini*",
    "gpt-4o",
    "gpt-4o-2024-*",
    "gpt-4.1*",
)
CHAT_ALIASES_SHOWN = ("gpt-3.5-turbo", "gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini")
EMBEDDING_ALIASES = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")


@dataclass(frozen=True, slots=True)
class Tuned:
    """A model that a job has made: the adapter folder on its base."""

    name: str
    job: Job
    folder: Path
    created: float


def is_chat_alias(name: str) -> bool:
    """Return whether a name is one of OpenAI's or Azure's chat models that the base answers for.

    Example:
        >>> is_chat_alias("gpt-4o-mini-2024-07-18"), is_chat_alias("gpt-5")
        (True, False)
    """
    return any(fnmatchcase(name, pattern) for pattern in _CHAT_ALIASES)


def base_label(base: str) -> str:
    """Return a base as it stands in names: lower case, without owner.

    Example:
        >>> base_label("microsoft/Phi-3-mini-4k-instruct")
        'phi-3-mini-4k-instruct'
    """
    return Path(base).name.lower()


def openai_name(job: Job) -> str:
    return f"ft:{base_label(job.base)}:local:{job.suffix}:{job.token}"


def azure_name(job: Job) -> str:
    label = base_label(job.base).replace(".", "")
    return f"{label}.ft-{sha256(job.id.encode()).hexdigest()[:32]}"


def model_name(job: Job) -> str:
    """Return the name that a job reports: the one of the mount that made it."""
    return azure_name(job) if job.dialect == "azure" else openai_name(job)


def openai_checkpoint_name(job: Job, checkpoint: Checkpoint) -> str:
    stem = openai_name(job).rpartition(":")[0]
    return f"{stem}:{checkpoint.id[-8:]}:ckpt-step-{checkpoint.step}"


def checkpoint_name(job: Job, checkpoint: Checkpoint, *, is_newest: bool) -> str:
    """Return the name of a checkpoint; Azure's newest bears the name of the model."""
    if job.dialect != "azure":
        return openai_checkpoint_name(job, checkpoint)
    name = azure_name(job)
    return name if is_newest and job.is_served else f"{name}:ckpt-step-{checkpoint.step}"


def tuned_models(ledger: Ledger) -> dict[str, Tuned]:
    """Return every fine-tuned model and checkpoint by each of its names, newest job first."""
    found: dict[str, Tuned] = {}
    jobs: list[Job] = ledger.all(Job)
    for job in jobs:
        if job.is_served:
            folder = ledger.job_folder(job.id) / "adapter"
            for name in (openai_name(job), azure_name(job)):
                found[name] = Tuned(name, job, folder, job.finished_at or job.created_at)
        checkpoints: list[Checkpoint] = ledger.all(Checkpoint, job_id=job.id)
        for checkpoint in checkpoints:
            names = (
                openai_checkpoint_name(job, checkpoint),
                f"{azure_name(job)}:ckpt-step-{checkpoint.step}",
                checkpoint.id,
            )
            for name in names:
                folder = Path(checkpoint.folder)
                found[name] = Tuned(name, job, folder, checkpoint.created_at)
    return found

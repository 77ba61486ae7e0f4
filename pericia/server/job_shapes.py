"""The shapes of fine-tuning jobs, their events and checkpoints, in OpenAI's dialect and in Azure's."""

from typing import Any

from pericia.jobs import Checkpoint, Event, Job
from pericia.server.names import checkpoint_name, model_name
from pericia.server.wire import Dialect

_COMMON = ("n_epochs", "batch_size", "learning_rate_multiplier")
HYPERPARAMETERS = {"supervised": _COMMON, "dpo": (*_COMMON, "beta")}  # by method
_UNRESOLVED = {"n_epochs": -1, "batch_size": -1, "learning_rate_multiplier": 1, "beta": -1}
_AZURE_STATUS = {"validating": "pending", "queued": "pending"}


def shape(job: Job, dialect: Dialect) -> dict[str, Any]:
    """Return a job as the dialect shows it."""
    names = HYPERPARAMETERS[job.method]
    asked = {name: job.asked.get(name, "auto") for name in names}
    if dialect == "azure":
        asked = {name: _UNRESOLVED[name] if v == "auto" else v for name, v in asked.items()}
    numbers = {name: job.resolved.get(name, asked[name]) for name in names}
    status = _AZURE_STATUS.get(job.status, job.status) if dialect == "azure" else job.status
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": job.model,
        "created_at": int(job.created_at),
        "finished_at": _second(job.finished_at),
        "fine_tuned_model": model_name(job) if job.is_served else None,
        "organization_id": "org-local",
        "result_files": [job.result_file] if job.result_file else [],
        "status": "validating_files" if status == "validating" else status,
        "training_file": job.training_file,
        "validation_file": job.validation_file or None,
        "hyperparameters": numbers if job.method == "supervised" else None,
        "method": {"type": job.method, job.method: {"hyperparameters": numbers}},
        "trained_tokens": job.trained_tokens,
        "error": dict(job.error) or None,
        "seed": job.seed,
        "estimated_finish": _second(job.estimated_finish),
        "integrations": [],
        "metadata": dict(job.labels) or None,
        "user_provided_suffix": job.suffix or None,
        "usage_metrics": None,
        "shared_with_openai": False,
    }


def _second(moment: float | None) -> int | None:
    return None if moment is None else int(moment)


def event_shape(event: Event, dialect: Dialect) -> dict[str, Any]:
    """Return an event as the dialect shows it."""
    level = "warning" if dialect == "azure" and event.level == "warn" else event.level
    return {
        "object": "fine_tuning.job.event",
        "id": event.id,
        "created_at": int(event.created_at),
        "level": level,
        "message": event.message,
        "type": "metrics" if event.metrics else "message",
        "data": dict(event.metrics),
    }


def checkpoint_shape(job: Job, one: Checkpoint, newest: list[Checkpoint]) -> dict[str, Any]:
    """Return a checkpoint as OpenAI shows it; `newest` holds the job's newest one."""
    is_newest = bool(newest) and newest[0].id == one.id
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": one.id,
        "created_at": int(one.created_at),
        "fine_tuned_model_checkpoint": checkpoint_name(job, one, is_newest=is_newest),
        "fine_tuning_job_id": job.id,
        "step_number": one.step,
        "metrics": dict(one.metrics),
    }

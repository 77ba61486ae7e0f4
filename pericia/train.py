"""River 2: examples -> dataset -> pre-flight -> train -> adapter -> registry.

    book         the chats that the product will send, with answers         dataset.closed_book, open_book
    prepare      tokens and labels of each row, layers to adapt             trainers
    pre-flight   what would fail silently stops here                        preflight.check_preparation
    train        the adapter, from the last whole checkpoint                trainers
    record       the adapter and its manifest, listed in one step           registry.record

The same job (base, data, settings, prompts) finds its adapter again instead of training it again.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pericia import registry
from pericia.config import TrainConfig
from pericia.dataset import closed_book, open_book
from pericia.errors import InputError, JobError
from pericia.preflight import check_preparation
from pericia.prompts import PROMPTS_VERSION, prompts_sha256
from pericia.said import said
from pericia.trainers import Trainer
from pericia.trainers import load as load_trainer
from pericia.types import Adapter, Context, Dataset, Preparation, TrainEvent
from pericia.workspace import lock, sha256_of

Kind = Literal["fine_tuned", "rag_fine_tuned"]


def train(
    dataset: Dataset,
    *,
    base: str,
    kind: Kind,
    settings: TrainConfig,
    instruction: str | None,
    folder: Path,
    find: Callable[[str], Context] | None = None,
    on_event: Callable[[TrainEvent], None] | None = None,
    trainer: Trainer | None = None,
    parent: Adapter | None = None,
) -> Adapter:
    """Return the adapter of this job from the registry in `folder`, trained now unless it is there already.

    `find` brings back the passages of a question; the kind `rag_fine_tuned` needs it. `parent` is an adapter to go
    on from. Without `instruction` the chats are trained as they are, not as the arms ask.

    Raises:
        InputError: `find` is missing, or `parent` belongs to another base. PreflightError: training would fail silently. JobError: it failed; the same
            call resumes. ConflictError: the same adapter is being trained by another process.
    """
    if instruction is None:
        book = dataset
    elif kind == "fine_tuned":
        book = closed_book(dataset, instruction)
    elif find is not None:
        book = open_book(dataset, instruction, find)
    else:
        raise InputError(
            said("An adapter that reads passages needs a search."), hint=said("Run: pericia add")
        )
    trainer = trainer or load_trainer()
    preparation = trainer.prepare(book, base, settings)
    _check_parent(parent, base, preparation)
    job = identify(book, preparation, settings, parent)
    id_ = registry.adapter_id(kind, job)
    if registry.has_adapter(folder, id_):
        return registry.find_adapter(folder, id_)
    check_preparation(preparation, truncated_share=settings.truncated_share)
    training = registry.training_folder(folder, id_)
    start = partial(
        trainer.train,
        preparation,
        base,
        settings,
        training,
        parent=Path(parent.path) if parent else None,
    )
    if os.environ.get("RANK", "0") != "0":  # under accelerate launch the first process writes
        start()
        return registry.wait_for(folder, id_)
    with lock(training.parent, f"training of {id_}"):
        recorded = start(on_event=on_event)
        manifest = {**describe(base, book, preparation, settings), **job, **recorded}
        return registry.record(folder, id_, kind, manifest)


def _check_parent(parent: Adapter | None, base: str, preparation: Preparation) -> None:
    known = parent.manifest.get("base_sha256") if parent else None
    if parent and known not in (None, preparation.base_sha256):
        raise InputError(
            said(
                "The adapter '%(id)s' was trained on '%(base)s', whose files are not those of '%(asked)s'.",
                id=parent.id,
                base=parent.base,
                asked=base,
            ),
            hint=said("Go on from an adapter of this base, or take its base: key 'model'."),
        )


def identify(
    book: Dataset, preparation: Preparation, settings: TrainConfig, parent: Adapter | None = None
) -> dict[str, object]:
    """Return everything that the adapter of a job depends on; equal jobs make the same adapter."""
    return {
        "base_sha256": preparation.base_sha256,
        "dataset_sha256": book.sha256,
        "settings": settings.model_dump(),
        "prompts_sha256": prompts_sha256(),
        "template_sha256": preparation.template_sha256,
        "stop_sha256": preparation.stop_sha256,
        "parent": parent.id if parent else None,
    }


def describe(
    base: str, book: Dataset, preparation: Preparation, settings: TrainConfig
) -> dict[str, object]:
    """Return what a manifest says besides the identity of its job and the record of its training."""
    return {
        "base": base,
        "seed": settings.seed,
        "prompts_version": PROMPTS_VERSION,
        "num_train": len(preparation.rows),
        "num_validation": len(preparation.validation_rows),
        "num_too_long": preparation.num_too_long,
        "num_duplicates": book.num_duplicates,
        "sources": sorted({example.source for example in book.train if example.source}),
    }


def take_over(
    trained: Path,
    *,
    kind: Kind,
    job: Mapping[str, object],
    about: Mapping[str, object],
    recorded: Mapping[str, object],
    folder: Path,
) -> Adapter:
    """Return the adapter that a worker has trained in `trained`, copied into the registry as this job's.

    `job` and `about` are what `identify` and `describe` gave before the training. A later `train` of the same job
    finds it.

    Raises:
        JobError: what was trained is not this job: base, template, end markers or settings differ.
    """
    id_ = registry.adapter_id(kind, job)
    if registry.has_adapter(folder, id_):
        return registry.find_adapter(folder, id_)
    for key in ("base_sha256", "template_sha256", "stop_sha256", "settings"):
        if sha256_of(job[key]) != sha256_of(recorded.get(key)):
            raise JobError(
                said(
                    "The adapter in '%(trained)s' was trained with another %(key)s than the job '%(id)s'.",
                    trained=trained,
                    key=key,
                    id=id_,
                ),
                hint=said("Train it again."),
            )
    training = registry.training_folder(folder, id_)
    with lock(training.parent, f"training of {id_}"):
        shutil.rmtree(training, ignore_errors=True)
        shutil.copytree(trained, training)
        kept = {key: value for key, value in recorded.items() if key != "id"}  # of the worker's job
        return registry.record(folder, id_, kind, {**kept, **about, **job})

"""A training rehearsed: everything but the training itself is done, shown, and turned into a job that may start.

examples -> book -> tokens and labels -> pre-flight -> memory -> fine-tuning job
"""

import json
from collections.abc import Mapping
from typing import Any

from pericia import registry, trainers
from pericia.config import Config
from pericia.dataset import closed_book, open_book
from pericia.errors import ConfigError, InputError
from pericia.evaluate.collect import collect_examples, collect_questions
from pericia.evaluate.tools import is_tunable, open_tools
from pericia.examples import as_chat, num_epochs
from pericia.jobs import Job, Ledger, StoredFile, new_id
from pericia.plan import plan
from pericia.preflight import check_preparation, show_row
from pericia.said import Figure, joined, said
from pericia.server.tasks import Tell
from pericia.server.training import copy_files
from pericia.train import Kind, describe, identify
from pericia.types import Dataset, Example, Preparation
from pericia.workspace import Workspace, write_atomic

SHOWN_ROWS = 4


def preflight(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Do everything of a training but the training, show what it would learn, and start it if `start` says so."""
    kind: Kind = params["kind"]
    if not is_tunable(config.model):
        text = said(
            "'%(model)s' cannot be fine-tuned here: its weights are not in this process.",
            model=config.model,
        )
        raise ConfigError(text, hint=said("Choose a base model with weights."), param="model")
    book = _book(workspace, config, kind, tell)
    tell("preflight", said("Tokens and labels of every row"))
    preparation = trainers.load().prepare(book, config.model, config.train)
    check_preparation(preparation, truncated_share=config.train.truncated_share)
    job = identify(book, preparation, config.train)
    id_ = registry.adapter_id(kind, job)
    epochs = num_epochs(config.train, len(preparation.rows))
    found = {
        "kind": kind,
        "adapter": id_,
        "is_trained": registry.has_adapter(workspace.adapters, id_),
        "epochs": epochs,
        "steps": preparation.num_steps,
        **_findings(book, preparation, config),
    }
    if not params.get("start"):
        return found
    if not params.get("anyway"):
        _check_memory(config, max(found["lengths"]))
    arm = {
        "kind": kind,
        "job": job,
        "about": describe(config.model, book, preparation, config.train),
    }
    suffix = str(params.get("suffix") or f"{config.name}-{kind}")[:64]
    rate = preparation.learning_rate
    started = _start(workspace, config, book, epochs, rate, arm, suffix)
    tell("training", f"Started {started.id}")
    return {**found, "job": started.id}


def _book(workspace: Workspace, config: Config, kind: Kind, tell: Tell) -> Dataset:
    """Return the chats to learn, of examples that were checked for faults and for leaks of held-out questions."""
    tools = None
    if kind == "rag_fine_tuned":
        tell("documents", said("Looking for changed documents"))
        tools = open_tools(config, workspace, lambda m, d, t: tell("documents", m, d, t))
        if not tools.sources:
            text = said("An adapter that reads passages needs documents, and there are none.")
            raise ConfigError(text, hint=said("Add documents first."), param="kind")
    tell("examples", said("Checking the examples"))
    questions = collect_questions(config, workspace, ()) if config.questions else ()
    dataset, _ = collect_examples(config, workspace, questions)
    if dataset is None:
        text = said("There are no examples to learn from.")
        raise ConfigError(text, hint=said("Upload or draft some under Examples."), param="examples")
    if tools is None:
        return closed_book(dataset, config.instruction)
    tell("retrieve", said("Finding the passages of every example"))
    return open_book(dataset, config.instruction, tools.find)


def _check_memory(config: Config, longest: int) -> None:
    """Return where the training fits this computer.

    Raises:
        InputError: it does not; the hint names what would, and `param` is `anyway`.
    """
    settings = config.train
    foreseen = plan(
        config.model, method=settings.method, context_tokens=longest, rank=settings.rank
    )
    if not foreseen.fits:
        needed, budget = foreseen.needed_bytes / 1e9, foreseen.budget_bytes / 1e9
        text = said(
            "This training needs %(needed)s GB, and this computer has %(budget)s GB.",
            needed=Figure(needed, 1),
            budget=Figure(budget, 1),
        )
        hint = said("Cheaper: %(changes)s.", changes=joined(foreseen.changes, "; "))
        raise InputError(text, hint=hint, param="anyway")


def _findings(book: Dataset, preparation: Preparation, config: Config) -> dict[str, Any]:
    lengths = [len(row.ids) for row in (*preparation.rows, *preparation.validation_rows)]
    shown = [show_row(row, preparation) for row in preparation.rows[:SHOWN_ROWS]]
    return {
        "num_train": len(preparation.rows),
        "num_validation": len(preparation.validation_rows),
        "num_too_long": preparation.num_too_long,
        "max_tokens": config.train.max_tokens,
        "lengths": lengths,
        "num_learnt": sum(sum(row.mask) for row in preparation.rows),
        "num_trainable": preparation.num_trainable,
        "num_parameters": preparation.num_parameters,
        "targets": list(preparation.target_modules),
        "num_layers": preparation.num_layers,
        "rows": shown,
        "warnings": [f.message for f in book.findings if f.level == "warning"],
    }


def _start(
    workspace: Workspace,
    config: Config,
    book: Dataset,
    n_epochs: int,
    learning_rate: float,
    arm: Mapping[str, Any],
    suffix: str,
) -> Job:
    """Return the fine-tuning job, checked and queued; the server's worker takes it from here."""
    ledger = Ledger(workspace.state / "server")
    try:
        name = f"{config.name}-{arm['kind']}"
        files = [
            _store(ledger, f"{name}-{part}.jsonl", examples)
            for part, examples in (("training", book.train), ("validation", book.validation))
        ]
        id_ = new_id("ftjob-")
        copy_files(ledger, id_, *files)
        numbers = {
            "n_epochs": n_epochs,
            "batch_size": config.train.batch_size,
            "learning_rate_multiplier": 1.0,
        }
        job: Job = ledger.add(
            Job,
            id_,
            status="queued",
            dialect="openai",
            model=config.model,
            base=config.model,
            parent="",
            training_file=files[0],
            validation_file=files[1],
            suffix=suffix,
            seed=config.train.seed,
            asked=numbers,
            resolved={**numbers, "settings": config.train.model_dump(mode="json"), "arm": arm},
            labels={"pericia_arm": str(arm["kind"])},
            lease_until=0.0,
        )
        ledger.tell(id_, f"Created fine-tuning job: {id_}")
        rate = f"learning rate {learning_rate:.2g}"
        ledger.tell(id_, f"{len(book.train)} examples, {n_epochs} epochs, {rate}")
        return job
    finally:
        ledger.close()


def _store(ledger: Ledger, filename: str, examples: tuple[Example, ...]) -> str:
    rows = [
        {
            "messages": as_chat(example.messages),
            "source": example.source,
            "id": example.id,
        }
        for example in examples
    ]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    id_ = new_id("file-")
    write_atomic(ledger.file_path(id_), data)
    ledger.add(StoredFile, id_, filename=filename, purpose="fine-tune", num_bytes=len(data))
    return id_

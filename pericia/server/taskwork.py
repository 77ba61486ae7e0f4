"""The worker of one task, in a process of its own; see `tasks`.

    python -m pericia.server.taskwork LEDGER_FOLDER TASK_ID

A kind of task is a function of `KINDS`: it gets workspace, config, the caller's parameters and a teller of progress,
calls a river, and returns what the page links to.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pericia import embedders, registry, trainers
from pericia import export as exporting
from pericia.config import Config
from pericia.dataset import closed_book, leaks, open_book
from pericia.errors import ConfigError, InputError, JobError, NotFoundError, PericiaError
from pericia.evaluate import run as running
from pericia.evaluate.collect import collect_examples, collect_questions, held_out_chats
from pericia.evaluate.tools import is_tunable, open_tools
from pericia.examples import as_chat, auto_epochs, read_examples
from pericia.index import open_store
from pericia.jobs import Job, Ledger, StoredFile, new_id
from pericia.plan import plan
from pericia.preflight import check_preparation, show_row
from pericia.server.names import tuned_models
from pericia.server.shelf import read_all
from pericia.server.tasks import Tasks
from pericia.server.training import copy_files
from pericia.suggest import DRAFTS, MOST, Draft, add_drafts, propose
from pericia.train import Kind, describe, identify, take_over
from pericia.types import Adapter, Dataset, Example, Message, Preparation, Question
from pericia.workspace import Workspace, write_atomic


class Tell(Protocol):
    """Says how far a task is; `total` is 0 where the end is not known."""

    def __call__(self, stage: str, message: str = "", done: int = 0, total: int = 0) -> None: ...


SHOWN_ROWS = 4
_NICENESS = 5  # an answer on the page goes before work in the background


def run(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Do the whole main job; adapters that were trained on the page are taken over and not trained again."""
    adopt_trained(workspace, tell)
    done = running.run(
        config, workspace, on_event=lambda e: tell(e.stage, e.message, e.done, e.total)
    )
    return {"run": done.folder.name, "num_new": done.num_new, "num_there": done.num_there}


def adopt_trained(workspace: Workspace, tell: Tell) -> None:
    """List the adapters of fine-tuning jobs that the page has started for an arm among those of the workspace."""
    ledger = Ledger(workspace.state / "server")
    try:
        for job in ledger.all(Job):
            arm = job.resolved.get("arm")
            folder = ledger.job_folder(job.id) / "adapter"
            if not arm or not job.is_served or not (folder / registry.MANIFEST).exists():
                continue
            recorded = json.loads((folder / registry.MANIFEST).read_text(encoding="utf-8"))
            try:
                adapter = take_over(
                    folder,
                    kind=arm["kind"],
                    job=arm["job"],
                    about=arm["about"],
                    recorded=recorded,
                    folder=workspace.adapters,
                )
                tell("adapters", f"{arm['kind']}: {adapter.id} was trained by {job.id}")
            except JobError as error:
                tell("adapters", error.message)
    finally:
        ledger.close()


def preflight(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Do everything of a training but the training, show what it would learn, and start it if `start` says so."""
    kind: Kind = params["kind"]
    if not is_tunable(config.model):
        text = f"'{config.model}' cannot be fine-tuned here: its weights are not in this process."
        raise ConfigError(text, hint="Choose a base model with weights.", param="model")
    book = _book(workspace, config, kind, tell)
    tell("preflight", "Tokens and labels of every row")
    preparation = trainers.load().prepare(book, config.model, config.train)
    check_preparation(preparation, truncated_share=config.train.truncated_share)
    job = identify(book, preparation, config.train)
    id_ = registry.adapter_id(kind, job)
    epochs = config.train.epochs
    num_epochs = auto_epochs(len(preparation.rows)) if epochs == "auto" else int(epochs)
    found = {
        "kind": kind,
        "adapter": id_,
        "is_trained": registry.has_adapter(workspace.adapters, id_),
        "epochs": num_epochs,
        "steps": num_epochs * -(-len(preparation.rows) // config.train.batch_size),
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
    started = _start(workspace, config, book, num_epochs, arm, suffix)
    tell("training", f"Started {started.id}")
    return {**found, "job": started.id}


def _book(workspace: Workspace, config: Config, kind: Kind, tell: Tell) -> Dataset:
    """Return the chats to learn, of examples that were checked for faults and for leaks of held-out questions."""
    tools = None
    if kind == "rag_fine_tuned":
        tell("documents", "Looking for changed documents")
        tools = open_tools(config, workspace, lambda m, d, t: tell("documents", m, d, t))
        if not tools.sources:
            text = "An adapter that reads passages needs documents, and none are configured."
            raise ConfigError(text, hint="Add documents first.", param="kind")
    tell("examples", "Checking the examples")
    questions = collect_questions(config, workspace, ()) if config.questions else ()
    dataset, _ = collect_examples(config, workspace, questions)
    if dataset is None:
        text = "There are no examples to learn from."
        raise ConfigError(text, hint="Upload or draft some under Examples.", param="examples")
    if tools is None:
        return closed_book(dataset, config.instruction)
    tell("retrieve", "Finding the passages of every example")
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
        text = f"This training needs {needed:.1f} GB, and this computer has {budget:.1f} GB."
        raise InputError(text, hint=f"Cheaper: {'; '.join(foreseen.changes)}.", param="anyway")


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
    num_epochs: int,
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
            "n_epochs": num_epochs,
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
        rate = config.train.learning_rate
        ledger.tell(id_, f"{len(book.train)} examples, {num_epochs} epochs, rate {rate:g}")
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


def draft(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Draft examples from the indexed documents; a person approves them one by one."""
    tell("documents", "Opening the index")
    store = open_store(workspace.index, config.store, embedders.load(config.embedder))
    chunks = store.chunks()
    if not chunks:
        raise ConfigError("No documents are indexed yet.", hint="Add documents first.")
    questions = collect_questions(config, workspace, ()) if config.questions else ()
    examples = read_examples(workspace.resolve(config.examples))[0] if config.examples else ()
    known = [question.text for question in questions] + [example.question for example in examples]
    tell("draft", "Reading rows and facts", 0, len(chunks))
    drafts = propose(chunks, known=known, most=int(params.get("most") or MOST))
    safe = [draft for draft in drafts if not _leaks(draft, questions)]
    num_new = add_drafts(workspace.state / DRAFTS, safe)
    return {"num_drafts": num_new, "num_leaks": len(drafts) - len(safe)}


def _leaks(draft: Draft, questions: Sequence[Question]) -> bool:
    chat = (Message("user", draft.question), Message("assistant", draft.answer))
    return bool(leaks(Dataset((Example(chat, draft.id, 1),), (), ""), questions))


def export(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Write an adapter as a model of its own and prove on held-out questions that it answers the same."""
    adapter = find_adapter(workspace, str(params["adapter"]))
    name = str(params["format"])
    written = exporting.export(
        adapter,
        name,
        workspace.state / "exports" / f"{adapter.id}-{name}",
        held_out_chats(config, workspace),
        on_step=lambda step: tell("export", step),
    )
    return {"path": written.path, "format": name, "adapter": adapter.id, "failed": written.failed}


def find_adapter(workspace: Workspace, name: str) -> Adapter:
    """Return an adapter of the workspace by its id, or of a fine-tuned model by its name.

    Raises:
        NotFoundError: neither exists.
    """
    if registry.has_adapter(workspace.adapters, name):
        return registry.find_adapter(workspace.adapters, name)
    ledger = Ledger(workspace.state / "server")
    try:
        tuned = tuned_models(ledger).get(name)
    finally:
        ledger.close()
    if tuned is None:
        raise NotFoundError(
            f"There is no adapter '{name}'.", hint="Train one first.", param="adapter"
        )
    manifest = json.loads((tuned.folder / registry.MANIFEST).read_text(encoding="utf-8"))
    return Adapter(tuned.job.id, str(tuned.folder), tuned.job.base, "fine_tuned", manifest)


def read_documents(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Make the index hold what the folders hold."""
    tell("load", config.embedder)
    return read_all(workspace, config, embedders.load(config.embedder), tell)


KINDS: dict[str, Callable[[Workspace, Config, Mapping[str, Any], Tell], dict[str, Any]]] = {
    "run": run,
    "preflight": preflight,
    "draft": draft,
    "export": export,
    "documents": read_documents,
}


def main(folder: Path, id_: str) -> None:
    """Do a task; whatever happens, its last event says how it ended."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    tasks = Tasks(folder)
    order = tasks.order(id_)

    def tell(stage: str, message: str = "", done: int = 0, total: int = 0) -> None:
        tasks.tell(id_, stage, message, done, total)

    try:
        result = KINDS[order.kind](order.workspace, order.config, order.params, tell)
    except PericiaError as error:
        fault = {"message": error.message, "hint": error.hint, "param": error.param}
        tasks.tell(id_, "end", status="failed", error=fault | {"code": error.code})
    except BaseException:
        text = "The work stopped by a fault of its own."
        fault = {"message": text, "hint": f"The log has it: {tasks.folder / f'{id_}.log'}"}
        tasks.tell(id_, "end", status="failed", error=fault | {"param": None, "code": "fault"})
        raise
    else:
        tasks.tell(id_, "end", status="done", result=result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

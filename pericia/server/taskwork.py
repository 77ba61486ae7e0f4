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
from typing import Any

from pericia import embedders, registry
from pericia import export as exporting
from pericia.config import Config
from pericia.dataset import leaks
from pericia.errors import ConfigError, JobError, NotFoundError, PericiaError
from pericia.evaluate import run as running
from pericia.evaluate.collect import collect_questions, held_out_chats
from pericia.examples import read_examples
from pericia.index import open_store
from pericia.jobs import Job, Ledger
from pericia.said import said
from pericia.server.names import tuned_models
from pericia.server.rehearsal import preflight
from pericia.server.shelf import read_all
from pericia.server.tasks import Tasks, Tell
from pericia.suggest import DRAFTS, MOST, Draft, add_drafts, propose
from pericia.train import take_over
from pericia.tune import held_out_prompts
from pericia.types import Adapter, Dataset, Example, Message, Question
from pericia.workspace import Workspace

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


def draft(
    workspace: Workspace, config: Config, params: Mapping[str, Any], tell: Tell
) -> dict[str, Any]:
    """Draft examples from the indexed documents; a person approves them one by one."""
    tell("documents", said("Opening the index"))
    store = open_store(workspace.index, config.store, embedders.load(config.embedder))
    chunks = store.chunks()
    if not chunks:
        raise ConfigError(said("No documents are indexed yet."), hint=said("Add documents first."))
    questions = collect_questions(config, workspace, ()) if config.questions else ()
    examples = read_examples(workspace.resolve(config.examples))[0] if config.examples else ()
    known = [question.text for question in questions] + [example.question for example in examples]
    tell("draft", said("Reading rows and facts"), 0, len(chunks))
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
    prompts_of = held_out_chats if config.questions else held_out_prompts
    written = exporting.export(
        adapter,
        name,
        workspace.state / "exports" / f"{adapter.id}-{name}",
        prompts_of(config, workspace),
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
            said("There is no adapter '%(name)s'.", name=name),
            hint=said("Train one first."),
            param="adapter",
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
        text = said("The work stopped by a fault of its own.")
        hint = said("The log has it: %(path)s", path=tasks.folder / f"{id_}.log")
        fault = {"message": text, "hint": hint}
        tasks.tell(id_, "end", status="failed", error=fault | {"param": None, "code": "fault"})
        raise
    else:
        tasks.tell(id_, "end", status="done", result=result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

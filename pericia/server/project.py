"""GET /api/project and /api/steps: where an industry stands on its way from documents to a deployed expert."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from pericia import registry
from pericia.errors import NotFoundError, PericiaError
from pericia.evaluate.records import latest_run, read_record, read_rows
from pericia.examples import read_examples
from pericia.jobs import ENDED, Deployment, Job
from pericia.machine import look_at_machine
from pericia.server import shelf
from pericia.server.house import House
from pericia.server.workbench import changed_since

State = Literal["empty", "ready", "running", "done", "stale", "error"]
_SECRET = re.compile(r"^(\s*\w*(?:password|key|token|secret)\s*:).*$", re.I | re.M)
_IN_ADDRESS = re.compile(r"(://[^:/@\s]+:)[^@\s]+@")
STEPS = ("documents", "ask", "examples", "train", "compare", "recommendation", "playground")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way. `empty`: something before it is missing; `ready`: it can be done now; `facts` are counts."""

    name: str
    state: State
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What a project is and where it runs; `settings` is the text of its pericia.yaml, empty where it has none."""

    name: str
    folder: str
    model: str
    embedder: str
    store: str
    num_cores: int
    memory_bytes: int
    gpu: str
    disk_bytes: int
    settings: str


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/project")
    def project() -> Response:
        arms = {"arms": house.room.arms(), "arm": house.room.recommended()}
        return JSONResponse({**asdict(about(house)), **arms})

    @router.get("/steps")
    def list_steps() -> Response:
        return JSONResponse({"data": [asdict(step) for step in steps(house)]})

    return router


def about(house: House) -> About:
    """Return what the project is and where it runs; keys and passwords in its settings are left out."""
    config, machine = house.config, look_at_machine()
    file = house.workspace.root / "pericia.yaml"
    used = sum(path.stat().st_size for path in house.workspace.state.rglob("*") if path.is_file())
    return About(
        name=config.name,
        folder=str(house.workspace.root),
        model=config.model,
        embedder=config.embedder,
        store=config.store,
        num_cores=machine.num_cores,
        memory_bytes=machine.memory_bytes,
        gpu=machine.gpu,
        disk_bytes=used,
        settings=_without_secrets(file.read_text(encoding="utf-8")) if file.is_file() else "",
    )


def _without_secrets(settings: str) -> str:
    r"""Return a settings file without what opens something.

    Example:
        >>> _without_secrets("pdf_password: x\nurl: postgresql://me:secret@host/db")
        'pdf_password: (hidden)\nurl: postgresql://me:(hidden)@host/db'
    """
    return _IN_ADDRESS.sub(r"\1(hidden)@", _SECRET.sub(r"\1 (hidden)", settings))


def steps(house: House) -> list[Step]:
    """Return the seven steps in order, each with its state."""
    return list(_steps(house))


def next_step(found: list[Step]) -> Step:
    """Return the step that is most useful now: the first that can be done and is not."""
    wanted = ("stale", "error", "running", "ready")
    return next((step for step in found if step.state in wanted), found[-1])


def _steps(house: House) -> Iterator[Step]:
    catalogue = shelf.catalogue_of(house.workspace)
    num_documents = len(catalogue.files)
    reads = house.tasks.running(shelf.KIND) is not None
    waiting = shelf.num_waiting(house.workspace, house.config)
    read: State = "stale" if waiting and num_documents else "done" if num_documents else "ready"
    facts = {"documents": num_documents, "passages": catalogue.num_chunks, "waiting": waiting}
    yield Step("documents", "running" if reads else read, facts)
    yield Step("ask", "done" if num_documents else "empty", {"arm": house.room.recommended()})

    num_examples, fault = _num_examples(house)
    state: State = "error" if fault else "done" if num_examples else "ready"
    yield Step("examples", state, {"examples": num_examples, "fault": fault})

    jobs: list[Job] = house.ledger.all(Job)
    at_work = [job for job in jobs if job.status not in ENDED]
    num_adapters = len(registry.adapters(house.workspace.adapters))
    num_adapters += sum(job.is_served for job in jobs)
    made: State = "done" if num_adapters else "ready" if num_examples else "empty"
    facts = {"adapters": num_adapters, "running": len(at_work)}
    yield Step("train", "running" if at_work else made, facts)

    arms, num_questions, is_old = _measured(house)
    measured: State = "stale" if is_old else "done"
    ready: State = "ready" if house.config.questions else "empty"
    facts = {"arms": len(arms), "questions": num_questions}
    compares = house.tasks.running("run") is not None
    yield Step("compare", "running" if compares else measured if arms else ready, facts)
    yield Step("recommendation", measured if arms else "empty", {"arm": house.room.recommended()})
    num_deployments = len(house.ledger.all(Deployment))
    yield Step("playground", "ready", {"deployments": num_deployments})


def _num_examples(house: House) -> tuple[int, str]:
    """Return how many examples the workspace has, and what is wrong with their file."""
    if house.config.examples is None:
        return 0, ""
    path = house.workspace.resolve(house.config.examples)
    stat = path.stat() if path.is_file() else None
    return _count_examples(path, stat.st_mtime_ns if stat else 0, stat.st_size if stat else 0)


@lru_cache(maxsize=4)
def _count_examples(path: Path, _mtime_ns: int, _size: int) -> tuple[int, str]:
    try:
        examples, _ = read_examples(path)
    except PericiaError as error:
        return 0, error.message
    return len(examples), ""


def _measured(house: House) -> tuple[tuple[str, ...], int, bool]:
    """Return the arms that the last run measured, on how many questions, and whether it is out of date."""
    try:
        folder = latest_run(house.workspace.runs)
        record = read_record(folder)
    except NotFoundError:
        return (), 0, False
    answered = {row.arm for row in read_rows(folder)}
    arms = tuple(arm for arm in record.arms if arm in answered)
    changed = changed_since(house, record.config, [question.text for question in record.questions])
    return arms, len(record.questions), bool(changed)

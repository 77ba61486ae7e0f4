"""/api/runs: the five arms measured, their differences, every question with every answer, and the advice."""

import shutil
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from pericia.config import ARM_NAMES
from pericia.errors import InputError, JobError, NotFoundError, PericiaError
from pericia.evaluate.page import FILTERS, Asked, asked_questions
from pericia.evaluate.records import latest_run, read_record, read_rows
from pericia.evaluate.report import recompute, report_json, write_report
from pericia.evaluate.scores import RIGHT_FROM
from pericia.said import joined, said
from pericia.server.choice import choose, drop_choice, read_choice
from pericia.server.house import House
from pericia.server.tasks import Task
from pericia.server.workbench import changed_since, held_out, working
from pericia.types import Report

FILES = {
    "report.html": "text/html",
    "report.md": "text/markdown",
    "report.json": "application/json",
    "rows.csv": "text/csv",
}
_FACTS = (
    "detectable",
    "num_families",
    "thoughtless",
    "is_priced",
    "adapters",
    "dataset",
    "left_out",
)


class ChoiceRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    arm: str
    note: str = Field(max_length=2000)


class RunRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    arms: tuple[str, ...] = Field(ARM_NAMES, min_length=1)


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/api/runs")

    @router.get("")
    def list_runs() -> Response:
        return JSONResponse({"data": runs(house)})

    @router.post("")
    def start(body: RunRequest) -> Response:
        return JSONResponse(asdict(begin(house, body.arms)), 202)

    @router.get("/{run_id}")
    def retrieve(run_id: str) -> Response:
        folder = folder_of(house, run_id)
        report = report_of(folder)
        extra = {"stale": stale_reasons(house, report), "facts": _shown_facts(report)}
        return JSONResponse({**report_json(report, folder / "report.html"), **extra})

    @router.get("/{run_id}/arms")
    def arms(run_id: str) -> Response:
        return JSONResponse(progress(folder_of(house, run_id)))

    @router.get("/{run_id}/questions")
    def questions(run_id: str, filter: str = "", q: str = "") -> Response:  # noqa: A002
        report = report_of(folder_of(house, run_id))
        found = asked(report, filter, q)
        return JSONResponse(
            {"data": [question_json(one) for one in found], "filters": filters(report)}
        )

    @router.get("/{run_id}/recommendation")
    def recommendation(run_id: str) -> Response:
        folder = folder_of(house, run_id)
        report, made = report_of(folder), read_choice(folder)
        return JSONResponse(
            {
                **asdict(report.recommendation),
                "stale": stale_reasons(house, report),
                "choice": asdict(made) if made else None,
            }
        )

    @router.put("/{run_id}/choice")
    def take(run_id: str, body: ChoiceRequest) -> Response:
        folder = folder_of(house, run_id)
        return JSONResponse(asdict(choose(folder, report_of(folder), body.arm, body.note)))

    @router.delete("/{run_id}/choice")
    def follow(run_id: str) -> Response:
        drop_choice(folder_of(house, run_id))
        return JSONResponse({"id": run_id, "choice": None})

    @router.get("/{run_id}/files/{name}")
    def download(run_id: str, name: str) -> Response:
        folder = folder_of(house, run_id)
        if name not in FILES:
            hint = said("Available: %(known)s.", known=", ".join(FILES))
            raise NotFoundError(said("A run has no file '%(name)s'.", name=name), hint=hint)
        if not (folder / name).exists():
            write_report(report_of(folder), folder)
        return FileResponse(folder / name, media_type=FILES[name], filename=f"{run_id}-{name}")

    @router.delete("/{run_id}")
    def delete(run_id: str) -> Response:
        folder = folder_of(house, run_id)
        if house.tasks.running("run") is not None:
            raise JobError(said("A comparison is at work."), hint=said("Stop it first."))
        shutil.rmtree(folder)
        return JSONResponse({"id": folder.name, "deleted": True})

    return router


def begin(house: House, arms: tuple[str, ...] = ARM_NAMES) -> Task:
    """Start to measure the arms; what was measured before is not asked again.

    Raises:
        InputError: an arm is unknown, or there are no held-out questions. ConflictError: one is at work.
    """
    unknown = [arm for arm in arms if arm not in ARM_NAMES]
    if unknown:
        hint = said("Known: %(known)s.", known=", ".join(ARM_NAMES))
        raise InputError(
            said("There is no arm '%(unknown)s'.", unknown=unknown[0]), hint=hint, param="arms"
        )
    questions, fault = held_out(house)
    if not questions:
        raise InputError(fault, param="questions")
    config = working(house)
    evaluate = config.evaluate.model_copy(update={"arms": tuple(a for a in ARM_NAMES if a in arms)})
    config = config.model_copy(update={"evaluate": evaluate})
    return house.tasks.start("run", house.workspace, config, {"arms": list(arms)})


def folder_of(house: House, run_id: str) -> Path:
    """Return the folder of a run; `latest` is the one that was worked on last.

    Raises:
        NotFoundError: there is none.
    """
    if run_id == "latest":
        return latest_run(house.workspace.runs)
    folder = house.workspace.runs / run_id
    if Path(run_id).name != run_id or not (folder / "run.json").is_file():
        raise NotFoundError(
            said("There is no run '%(name)s'.", name=run_id), hint=said("See: GET /api/runs")
        )
    return folder


def runs(house: House) -> list[dict[str, Any]]:
    """Return all runs, the newest first."""
    folders = [path.parent for path in house.workspace.runs.glob("*/run.json")]
    folders.sort(key=lambda folder: (folder / "run.json").stat().st_mtime_ns, reverse=True)
    return [progress(folder) for folder in folders]


def progress(folder: Path) -> dict[str, Any]:
    """Return how far a run is, arm by arm; its means are not final before the last answer."""
    record = read_record(folder)
    primary = record.config["evaluate"]["score"]
    scores: dict[str, list[float]] = {arm: [] for arm in record.arms}
    for row in read_rows(folder):
        if row.arm in scores and primary in row.scores:
            scores[row.arm].append(row.scores[primary])
    num = len(record.questions)
    return {
        "id": record.id,
        "changed_at": (folder / "run.json").stat().st_mtime,
        "num_questions": num,
        "primary_score": primary,
        "is_complete": all(len(values) >= num for values in scores.values()),
        "arms": {
            arm: {"n": len(values), "mean": sum(values) / len(values) if values else None}
            for arm, values in scores.items()
        },
    }


def report_of(folder: Path) -> Report:
    """Return the report of a run, recomputed where its rows have changed. Raises as `recompute`."""
    marks = [
        path.stat().st_mtime_ns
        for name in ("run.json", "rows.jsonl")
        if (path := folder / name).exists()
    ]
    return _recomputed(folder, tuple(marks))


@lru_cache(maxsize=8)
def _recomputed(folder: Path, marks: tuple[int, ...]) -> Report:
    return recompute(folder)


def latest_report(house: House) -> tuple[Report | None, str]:
    """Return the newest whole report, and why there is none where there is none."""
    fault = ""
    for one in runs(house):
        try:
            return report_of(house.workspace.runs / one["id"]), ""
        except PericiaError as error:
            fault = fault or joined((error.message, error.hint))
    return None, fault


def asked(report: Report, wanted: str = "", search: str = "") -> list[Asked]:
    """Return the questions that a filter and a search keep.

    Raises:
        InputError: there is no such filter.
    """
    known = [name for name, _, _ in filters(report)]
    if wanted and wanted not in known:
        text = said("There is no filter '%(wanted)s'.", wanted=wanted)
        raise InputError(
            text, hint=said("Known: %(known)s.", known=", ".join(known)), param="filter"
        )
    needle = search.strip().casefold()
    return [
        one
        for one in asked_questions(report)
        if (not wanted or wanted in _classes(one, report)) and (not needle or needle in _text(one))
    ]


def filters(report: Report) -> list[tuple[str, str, int]]:
    """Return name, label and number of questions of each filter that keeps any."""
    every = [_classes(one, report) for one in asked_questions(report)]
    labels = [*FILTERS, *((f"only-{arm}", f"only {arm} right") for arm in report.arms)]
    counted = [(name, label, sum(name in own for own in every)) for name, label in labels]
    return [(name, label, count) for name, label, count in counted if count]


def _classes(one: Asked, report: Report) -> set[str]:
    right = [row.arm for row in one.rows if row.scores[report.primary_score] >= RIGHT_FROM]
    return set(one.classes.split()) | ({f"only-{right[0]}"} if len(right) == 1 else set())


def _text(one: Asked) -> str:
    said = (row.answer.text for row in one.rows)
    return " ".join((one.question.text, *one.question.answers, *said)).casefold()


def question_json(one: Asked) -> dict[str, Any]:
    """Return a question with the rows of all arms."""
    return {
        **asdict(one.question),
        "answerable": one.question.answerable,
        "classes": one.classes.split(),
        "rows": [
            {
                "arm": row.arm,
                "answer": row.answer.text,
                "refused": row.answer.refused,
                "outcome": row.outcome,
                "scores": dict(row.scores),
                "citations": [asdict(citation) for citation in row.answer.citations],
                "usage": asdict(row.answer.usage),
            }
            for row in one.rows
        ],
    }


def stale_reasons(house: House, report: Report) -> list[str]:
    """Return which settings, questions or examples are other than those that the report was made with."""
    before: Any = report.facts["config"]
    return changed_since(house, before, [question.text for question in report.questions])


def _shown_facts(report: Report) -> dict[str, Any]:
    return {name: report.facts[name] for name in _FACTS if name in report.facts}

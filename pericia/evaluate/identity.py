"""What a run is: the values that its answers depend on, and the facts that its report prints beside them."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pericia.config import Config
from pericia.evaluate.lanes import Lane, num_examples
from pericia.evaluate.scores import SCORES_VERSION
from pericia.evaluate.tools import Tools
from pericia.evaluate.tracks import tracks_of
from pericia.machine import look_at_machine
from pericia.prompts import PROMPTS_VERSION, prompts_sha256
from pericia.types import Adapter, Dataset, Finding, Question
from pericia.workspace import sha256_of

_NO_PART_OF_ANSWERS = {
    "prices",
    "smallest_gain",
    "arms",
    "extra_arms",
    "on_leak",
    "judge",
    "probes",
    "gold",
    "learning_curve",
}
LIBRARIES = ("pericia", "torch", "transformers", "peft", "trl", "lancedb", "numpy", "scipy")
MOST_FINDINGS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Found:
    """What is known before anything is asked: arms left out, questions given away, documents alike, earlier runs.

    `same_facts` are questions that an example may answer in other words.
    """

    left_out: Mapping[str, str]
    tainted: Mapping[str, str]
    twins: Mapping[str, str]
    looks: Sequence[str]
    same_facts: Mapping[str, str]


def identify(
    config: Config,
    questions: Sequence[Question],
    dataset: Dataset | None,
    lanes: Sequence[Lane],
    tools: Tools,
) -> dict[str, Any]:
    """Return everything that the answers and their scores depend on; its hash names the run.

    Prices and the use are not part of it: they change the advice and the costs, not the answers.
    """
    evaluate = config.evaluate.model_dump(mode="json", exclude=_NO_PART_OF_ANSWERS)
    sides = [lane.name for lane in lanes if lane.side]
    lanes = [lane for lane in lanes if not lane.side]
    return {
        "arms": [lane.name for lane in lanes],
        **({"sides": sides} if sides else {}),
        "own_arms": [
            [
                lane.name,
                lane.kind,
                lane.tools.model_identity,
                lane.tools.index_identity,
                *([lane.adapter.id] if lane.adapter else []),
            ]
            for lane in lanes
            if lane.name != lane.kind
        ],
        "questions_sha256": sha256_of([asdict(question) for question in questions]),
        "dataset_sha256": dataset.sha256 if dataset else "",
        "index": tools.index_identity,
        "model": tools.model_identity,
        "prompts_sha256": prompts_sha256(),
        "scores_version": SCORES_VERSION,
        "instruction": config.instruction,
        "retrieval": config.retrieval.model_dump(mode="json", exclude={"pdf_password"}),
        "train": config.train.model_dump(mode="json") if dataset else {},
        "evaluate": evaluate,
    }


def describe(
    config: Config,
    identity: Mapping[str, Any],
    questions: Sequence[Question],
    dataset: Dataset | None,
    findings: Sequence[Finding],
    lanes: Sequence[Lane],
    found: Found,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the facts of the report. What `before` says of the first start and of the training stays."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    machine = look_at_machine()
    return {
        "created": before.get("created", now),
        "adapters": before.get("adapters", {}),
        "left_out": dict(found.left_out),
        "kinds": {lane.name: lane.kind for lane in lanes if not lane.side},
        "sides": {lane.name: _side(lane, dataset) for lane in lanes if lane.side},
        "models": {lane.name: lane.config.model for lane in lanes if not lane.side},
        "tracks": tracks_of(questions, dataset, found.twins),
        "twins": dict(found.twins),
        "tainted": dict(found.tainted),
        "same_facts": dict(found.same_facts),
        "looks": before.get("looks", list(found.looks)),
        "labels": [],
        "probes": before.get("probes", {}),
        "peak_memory_bytes": before.get("peak_memory_bytes", 0),
        "hashes": dict(identity),
        "prompts_version": PROMPTS_VERSION,
        "dataset": _card(dataset, findings) if dataset else {},
        "machine": before.get("machine", f"{machine.cpu}: {machine}"),
        "versions": before.get("versions", {"python": platform.python_version(), **_versions()}),
        "seeds": {"resampling": config.evaluate.seed, "training": config.train.seed},
    }


def _side(lane: Lane, dataset: Dataset | None) -> dict[str, Any]:
    count = num_examples(dataset, lane.share) if dataset else 0
    return {"side": lane.side, "of": lane.of, "num_examples": count}


def facts_of_adapter(adapter: Adapter) -> dict[str, object]:
    """Return what the report says of an adapter."""
    kept = (
        "train_s",
        "peak_memory_bytes",
        "foreseen_memory_bytes",
        "num_train",
        "num_validation",
        "num_too_long",
        "dataset_sha256",
        "base_sha256",
    )
    return {"id": adapter.id} | {
        key: adapter.manifest[key] for key in kept if key in adapter.manifest
    }


def _card(dataset: Dataset, findings: Sequence[Finding]) -> dict[str, Any]:
    sources = {
        example.source for example in (*dataset.train, *dataset.validation) if example.source
    }
    return {
        "num_train": len(dataset.train),
        "num_validation": len(dataset.validation),
        "num_sources": len(sources),
        "num_duplicates": dataset.num_duplicates,
        "num_findings": dict(Counter(finding.code for finding in findings)),
        "findings": [asdict(finding) for finding in findings[:MOST_FINDINGS_KEPT]],
        "sha256": dataset.sha256,
    }


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found

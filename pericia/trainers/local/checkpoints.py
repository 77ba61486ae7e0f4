"""Which checkpoint a run goes on from: the newest whole one of this very job."""

import json
import shutil
from pathlib import Path

from pericia.config import TrainConfig
from pericia.types import Preparation
from pericia.workspace import sha256_of, write_json

COMPLETE = "pericia-complete"  # written last into a checkpoint: without it a kill left half of one


def last_checkpoint(
    folder: Path, preparation: Preparation, settings: TrainConfig, parent: Path | None
) -> str | None:
    """Return the newest whole checkpoint of this very job; those of another job and halves are removed."""
    rows = [[row.ids, row.mask] for row in (*preparation.rows, *preparation.validation_rows)]
    job = sha256_of([rows, preparation.base_sha256, settings.model_dump(), str(parent)])
    mark = folder / "job.json"
    if not mark.exists() or json.loads(mark.read_text(encoding="utf-8")) != job:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(mark, job)
        return None
    whole: list[Path] = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).exists():
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    if not whole:
        return None
    return max(map(str, whole), key=step_of)


def step_of(checkpoint: str | None) -> int:
    """Return the optimiser step at which a checkpoint was saved; 0 for none."""
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0

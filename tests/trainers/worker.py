"""One training in a process of its own, which may be killed: python -m tests.trainers.worker REQUEST.json

The request names base, folder and settings. With `kill_step` the process kills itself `delay_s` after that step, so in
the middle of the next one, of an evaluation or of a save, as kill -9 does. `pause_step` raises instead.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pericia import trainers
from pericia.config import TrainConfig
from pericia.dataset import closed_book, make_dataset
from pericia.types import TrainEvent
from tests.gearboxes import gearbox_examples


class PausedError(Exception):
    """Stands for a pause, which the server asks for between two steps."""


def train(request: dict[str, Any]) -> Any:
    """Return what the training recorded, unless it was killed."""
    settings = TrainConfig.model_validate(request["settings"])
    dataset = closed_book(make_dataset(gearbox_examples(), validation_share=0.1, seed=1), "Answer.")
    kill_step = request.get("kill_step")

    def on_event(event: TrainEvent) -> None:
        if event.step == request.get("pause_step"):
            raise PausedError
        if event.loss is not None and event.step == kill_step:
            delay_s = request.get("delay_s", 0.0)
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

    trainer = trainers.load("local")
    preparation = trainer.prepare(dataset, request["base"], settings)
    return trainer.train(
        preparation, request["base"], settings, Path(request["folder"]), on_event=on_event
    )


if __name__ == "__main__":
    asked = Path(sys.argv[1])
    recorded = train(json.loads(asked.read_text(encoding="utf-8")))
    rank = os.environ.get("RANK", "0")
    asked.with_suffix(f".{rank}.out").write_text(json.dumps(recorded), encoding="utf-8")

"""What a run needs from the other two rivers: search, model and training, each as one function."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pericia.models import Model
from pericia.types import Adapter, Answer, Context, Dataset, Prompt, TrainEvent

Kind = Literal["fine_tuned", "rag_fine_tuned"]


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions, and what identifies the things behind them: equal identities give equal answers.

    `load_model` and `find` are called only when something is to be asked, so a run without news starts at once.
    """

    model_identity: str
    index_identity: str
    sources: frozenset[str]  # the documents in the index; empty without documents
    load_model: Callable[[], Model]
    find: Callable[[str], Context]
    answer: Callable[[Prompt, Path | None], Answer]
    train: Callable[[Dataset, Kind, Callable[[TrainEvent], None]], Adapter]
    is_tunable: bool = True

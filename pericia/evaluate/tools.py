"""What a run needs from the other two rivers: search, model and training, each as one function."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pericia.config import Config
from pericia.models import Model
from pericia.types import Adapter, Answer, Context, Dataset, Prompt, TrainEvent
from pericia.workspace import Workspace

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


def open_tools(
    config: Config, workspace: Workspace, on_file: Callable[[str, int, int], None]
) -> Tools:
    """Return the tools of a config, with the index brought up to date; `on_file` hears name, number and total.

    Raises:
        NotFoundError, ConfigError: a document, embedder, store or model does not exist.
    """
    raise NotImplementedError

"""A file of examples made of a workspace's documents. See `make_examples`."""

from pathlib import Path
from typing import Any

from pericia import models
from pericia.answer import find
from pericia.config import Config
from pericia.errors import ConflictError
from pericia.evaluate.questions import read_questions
from pericia.library import open_library
from pericia.make_examples import make_examples
from pericia.types import Context
from pericia.workspace import Workspace, write_json_lines


def write_examples(
    path: Path,
    config: Config,
    workspace: Workspace,
    most: int,
    writer: str | None,
    *,
    with_passages: bool,
) -> dict[str, Any]:
    """Write up to `most` examples made of the indexed documents, and return their counts and the path.

    `writer` is the name of a model; without it forms ask. No example gives a held-out question of the config away.

    Raises:
        ConflictError: the file is there already. InputError: nothing could be made. NotFoundError: nothing is indexed.
    """
    if path.exists():
        hint = "Give another name: examples that people have mended are not overwritten."
        raise ConflictError(f"'{path}' exists already.", hint=hint)
    library = open_library(workspace, config)

    def search(question: str) -> Context:
        return find(question, library, library.embedder.count_tokens)

    questions = read_questions(workspace.resolve(config.questions)) if config.questions else ()
    making = make_examples(
        library.store.chunks(),
        most=most,
        seed=config.train.seed,
        writer=models.load(writer) if writer else None,
        held_out=questions,
        find=search if with_passages else None,
        instruction=config.instruction,
    )
    write_json_lines(path, (one.as_row() for one in making.made))
    return {
        "path": str(path),
        "num_made": len(making.made),
        "num_refusals": sum(one.refuses for one in making.made),
        "left_out": dict(making.left_out),
    }

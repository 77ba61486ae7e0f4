"""Train a recipe and score it on held-out questions, before and after: python examples/recipes/run.py NAME [--model M]

NAME is chat, sql, ingredients, tones, dpo or embedder. To use a real model, change the line `model:` of its
pericia.yaml, or give --model.
"""

import argparse
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pericia import embedders, index, models
from pericia.config import Config, load_config
from pericia.dataset import read_dataset
from pericia.evaluate.matches import set_f1, token_f1
from pericia.evaluate.questions import read_questions
from pericia.prompts import closed_book_prompt
from pericia.train import train
from pericia.tune_embedder import train_embedder
from pericia.types import Adapter, Dataset, Example, Message, Question
from pericia.workspace import Workspace

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from build import HEDGES, database  # noqa: E402

MOST_STEPS = 1_000_000  # of SQLite's machine: a query that runs for ever is wrong


def executes_to(query: str, reference: str) -> bool:
    """Return whether a query only reads, and brings back what the reference brings back, in any order."""
    made = database()
    reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
    wanted = Counter(made.execute(reference).fetchall())
    made.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in reads else sqlite3.SQLITE_DENY
    )
    made.set_progress_handler(lambda: 1, MOST_STEPS)
    try:
        return Counter(made.execute(query).fetchall()) == wanted
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return False
    finally:
        made.close()


def sql_score(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Return the share of queries that execute to the right rows."""
    right = [executes_to(a, q.answers[0]) for a, q in zip(answers, questions, strict=True)]
    return sum(right) / len(right)


def ingredients_score(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Return the mean F1 of the sets of ingredients."""
    scores = [set_f1(a, q.answers, "en") for a, q in zip(answers, questions, strict=True)]
    return sum(scores) / len(scores)


def macro_f1(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Return the mean over all right labels of their F1, so that rare ones count as much as frequent ones."""
    given = [answer.strip().strip(".").lower() for answer in answers]
    right = [question.answers[0] for question in questions]
    scores = []
    for label in sorted(set(right)):
        hits = sum(g == r == label for g, r in zip(given, right, strict=True))
        scores.append(2 * hits / (given.count(label) + right.count(label)))
    return sum(scores) / len(scores)


def chat_score(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Return the mean F1 of the words."""
    scores = [token_f1(a, q.answers, "en") for a, q in zip(answers, questions, strict=True)]
    return sum(scores) / len(scores)


def preferred_share(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Return the share of answers that are nearer to the preferred answer than to every rejected one."""
    nearer = [
        token_f1(a, q.answers, "en") > token_f1(a, HEDGES, "en")
        for a, q in zip(answers, questions, strict=True)
    ]
    return sum(nearer) / len(nearer)


Score = Callable[[Sequence[str], Sequence[Question]], float]
SCORES: dict[str, Score] = {
    "chat": chat_score,
    "sql": sql_score,
    "ingredients": ingredients_score,
    "tones": macro_f1,
    "dpo": preferred_share,
}


def tune(
    name: str, folder: Path, model_name: str = "", most: int | None = None
) -> dict[str, float]:
    """Return the score of the base, of the tuned model and, for `tones`, of always saying the most frequent tone.

    For `dpo` the base has learnt the manners of both answers before.
    """
    config = load_config(folder / "pericia.yaml")
    workspace = Workspace(folder)
    base = model_name or config.model
    dataset, _ = read_dataset(config, workspace)
    assert config.questions is not None
    questions = read_questions(workspace.resolve(config.questions))[:most]
    before = None
    if config.train.objective == "dpo":
        before = _after_logs(dataset, config, base, workspace)
    adapter = train(
        dataset,
        base=base,
        kind="fine_tuned",
        settings=config.train,
        instruction=config.instruction,
        folder=workspace.adapters,
        parent=before,
        on_event=lambda e: print(f"step {e.step}/{e.num_steps} {e.loss or ''}", file=sys.stderr),
    )
    model = models.load(base)
    scores = {}
    for arm, path in (
        ("base", Path(before.path) if before else None),
        ("tuned", Path(adapter.path)),
    ):
        answers = [
            model.generate(
                closed_book_prompt(question.text, config.instruction),
                max_new_tokens=config.evaluate.max_new_tokens,
                adapter=path,
            ).text
            for question in questions
        ]
        scores[arm] = SCORES[name](answers, questions)
    if name == "tones":
        [(often, _)] = Counter(e.answer for e in dataset.train).most_common(1)
        scores["majority"] = macro_f1([often] * len(questions), questions)
    return scores


def _after_logs(dataset: Dataset, config: Config, base: str, workspace: Workspace) -> Adapter:
    """Return the adapter that DPO starts from: it has learnt the desk's logs, where every second answer evades.

    DPO raises one answer above another; a model that would say neither learns nothing of use from it.
    """

    def logged(examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(
            replace(e, rejected="", messages=(*e.messages[:-1], Message("assistant", said)))
            for number, e in enumerate(examples)
            for said in [e.rejected if number % 2 else e.answer]
        )

    logs = replace(dataset, train=logged(dataset.train), validation=logged(dataset.validation))
    changes = {"objective": "sft", "epochs": 6}
    return train(
        logs,
        base=base,
        kind="fine_tuned",
        settings=config.train.model_copy(update=changes),
        instruction=config.instruction,
        folder=workspace.adapters,
    )


def find(folder: Path) -> dict[str, float]:
    """Return how well questions find their notes (MRR), before and after the embedder's training."""
    config = load_config(folder / "pericia.yaml")
    workspace = Workspace(folder)
    index.sync(
        [workspace.resolve(path) for path in config.documents],
        folder=workspace.index,
        store_name=config.store,
        embedder=embedders.load(config.embedder),
        settings=config.retrieval,
        root=workspace.root,
    )
    made = train_embedder(config, workspace)
    return {"base": made.before.mrr, "tuned": made.after.mrr}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*SCORES, "embedder"])
    parser.add_argument("--model", default="")
    parser.add_argument("--questions", type=int, help="only the first so many")
    asked = parser.parse_args()
    folder = HERE / asked.name
    scores = (
        find(folder)
        if asked.name == "embedder"
        else tune(asked.name, folder, asked.model, asked.questions)
    )
    for arm, value in scores.items():
        print(f"{arm:10}{value:.3f}")


if __name__ == "__main__":
    main()

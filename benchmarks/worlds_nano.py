"""The whole pipeline in worlds with known right advice, training included: documents to recommendation, no script.

    OMP_NUM_THREADS=1 python -m benchmarks.worlds_nano [--worlds W0 W1 …] [--seeds 5] [--questions N] [--examples N]
                                                       [--folder DIR] [--epochs N] [--batch-size N]

Right is the world's own advice; honest is "not enough questions to tell", or for a world whose advice is to have more
or better data, an untuned arm with that reason; "no arm is good enough" is honest where the bundled model cannot do
the task at all. Everything else is wrong. A world that is done is not done again, so a killed study goes on.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pericia.config import load_config
from pericia.evaluate.recommend import NOT_GOOD, TOO_FEW
from pericia.evaluate.run import run
from pericia.lab.worlds import WORLDS, write_world
from pericia.types import Report
from pericia.workspace import Workspace

STUDY = ("W0", "W1", "W2", "W3a", "W6", "W7", "W9")
FIRST_SEED = 50_000  # below the seeds that taught the model
HONEST = (TOO_FEW, NOT_GOOD)
UNTUNED = ("prompt", "few_shot", "rag")
# Many small steps: the words of a house are learnt in four readings by twos; by eights twelve are needed.
RECIPE: dict[str, object] = {"batch_size": 2, "epochs": 4, "max_tokens": 2048}


@dataclass(frozen=True)
class Outcome:
    world: str
    seed: int
    wanted: str
    advice: str
    verdict: str  # right, honest or wrong
    sentence: str
    means: dict[str, float]
    wall_s: float


def study(
    name: str,
    seed: int,
    folder: Path,
    *,
    num_questions: int | None = None,
    num_examples: int | None = None,
    train: dict[str, object] | None = None,
) -> Outcome:
    """Return what the main job advises in a world, from its written folder to the recommendation."""
    start = time.time()
    world = write_world(name, seed, folder)
    for file, count in (("questions.jsonl", num_questions), ("examples.jsonl", num_examples)):
        if count is not None:
            _keep(folder / file, count)
    config = load_config(folder / "pericia.yaml")
    settings = config.train.model_copy(update={**RECIPE, **(train or {})})
    config = config.model_copy(update={"train": settings})
    report = run(config, Workspace(folder)).report
    return _outcome(world.advice, name, seed, report, time.time() - start)


def judge(wanted: str, advice: str) -> str:
    """Return "right", "honest" or "wrong".

    Example:
        >>> judge("rag", "rag"), judge("rag", NOT_GOOD), judge("rag", "fine_tuned"), judge("too little data", "rag")
        ('right', 'honest', 'wrong', 'right')
    """
    if advice == wanted or (wanted == "too little data" and advice in UNTUNED):
        return "right"
    return "honest" if advice in HONEST else "wrong"


def _outcome(wanted: str, name: str, seed: int, report: Report, wall_s: float) -> Outcome:
    advice = report.recommendation
    means = {
        arm: round(result.scores[report.primary_score].mean, 3)
        for arm, result in report.arms.items()
    }
    verdict = judge(wanted, advice.arm)
    return Outcome(
        name, seed, wanted, advice.arm, verdict, advice.sentence, means, round(wall_s, 1)
    )


def _keep(path: Path, count: int) -> None:
    """Leave so many lines, spread evenly."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    step = max(1.0, len(lines) / count)
    kept = [lines[int(index * step)] for index in range(min(count, len(lines)))]
    path.write_text("".join(kept), encoding="utf-8")


def confusion(outcomes: Sequence[Outcome]) -> str:
    """Return a table: worlds by what was advised there, and how many were right, honest and wrong."""
    advised = sorted({outcome.advice for outcome in outcomes})
    lines = [
        "| world | right is | " + " | ".join(advised) + " | right | honest | wrong | s a world |",
        "|---" * (len(advised) + 6) + "|",
    ]
    for name in dict.fromkeys(outcome.world for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.world == name]
        given, verdicts = (
            Counter(outcome.advice for outcome in own),
            Counter(outcome.verdict for outcome in own),
        )
        cells = [str(given[a] or "·") for a in advised]
        cells += [str(verdicts[v]) for v in ("right", "honest", "wrong")]
        cells.append(f"{sum(outcome.wall_s for outcome in own) / len(own):.0f}")
        lines.append(f"| {name} | {own[0].wanted} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="+", default=list(STUDY), choices=list(WORLDS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--questions", type=int)
    parser.add_argument("--examples", type=int)
    parser.add_argument("--epochs", type=int, default=RECIPE["epochs"])
    parser.add_argument("--batch-size", type=int, default=RECIPE["batch_size"])
    parser.add_argument("--folder", type=Path, default=Path("worlds"))
    given = parser.parse_args()
    train = {"epochs": given.epochs, "batch_size": given.batch_size}
    outcomes = []
    for name in given.worlds:
        for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
            folder = given.folder / f"{name}-{seed}"
            done = folder / "outcome.json"
            if done.exists():
                outcome = Outcome(**json.loads(done.read_text(encoding="utf-8")))
            else:
                outcome = study(
                    name,
                    seed,
                    folder,
                    num_questions=given.questions,
                    num_examples=given.examples,
                    train=train,
                )
                done.write_text(json.dumps(vars(outcome), indent=2) + "\n", encoding="utf-8")
            outcomes.append(outcome)
            print(
                f"{outcome.world} seed {outcome.seed}: {outcome.verdict}, wanted {outcome.wanted}, "
                f"got {outcome.advice}; {outcome.means}; {outcome.wall_s:.0f} s",
                flush=True,
            )
    print("\n" + confusion(outcomes))
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    print(f"\nright or honest in {verdicts['right'] + verdicts['honest']} of {len(outcomes)}")


if __name__ == "__main__":
    main()

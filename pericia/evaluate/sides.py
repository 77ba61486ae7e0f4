"""What stands beside the verdict and explains it: faults of the search or of reading, more examples, old answers.

Nothing here decides. All is computed from the rows of some questions, as everything in a report.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pericia.evaluate.stats import Interval, difference_interval, mean_interval
from pericia.types import CurvePoint, OldAnswers, Question, Reading, Row, Score

BASE = {"fine_tuned": "prompt", "rag_fine_tuned": "rag"}  # the arm that learnt nothing
Values = Mapping[str, float]  # a score by question


def readings(
    rows: Sequence[Row], part: Sequence[Question], sides: Mapping[str, Any], primary: str
) -> tuple[Reading, ...]:
    """Return each reading arm beside itself given the right passage, on the questions of `part` that name one."""
    found = []
    for name, side in sides.items():
        if side["side"] != "gold":
            continue
        right, own = _values(rows, name, primary), _values(rows, side["of"], primary)
        asked = [question for question in part if question.id in right]
        if asked:
            families = [question.family for question in asked]
            lost = [right[q.id] - own[q.id] for q in asked]
            found.append(
                Reading(
                    side["of"],
                    len(asked),
                    _mean(own, asked),
                    _mean(right, asked),
                    _score(difference_interval(lost, families)),
                )
            )
    return tuple(found)


def learning_curve(
    rows: Sequence[Row],
    part: Sequence[Question],
    sides: Mapping[str, Any],
    primary: str,
    num_train: int,
) -> tuple[CurvePoint, ...]:
    """Return what each tuned arm reaches after no, some and all examples; arms without such lanes are left out."""
    arms = dict.fromkeys(side["of"] for side in sides.values() if side["side"] == "curve")

    def points(arm: str) -> Iterator[tuple[str, int]]:
        yield BASE[arm], 0
        for name, side in sides.items():
            if side["side"] == "curve" and side["of"] == arm:
                yield name, side["num_examples"]
        yield arm, num_train

    return tuple(
        CurvePoint(arm, count, _mean(values, part))
        for arm in arms
        for name, count in points(arm)
        if (values := _values(rows, name, primary))
    )


def old_answers(
    rows: Sequence[Row], part: Sequence[Question], arms: Sequence[str]
) -> tuple[OldAnswers, ...]:
    """Return how often each arm says what was right before the documents changed; nothing without such questions."""
    changed = [question for question in part if question.old_answers]
    if not changed:
        return ()
    found = []
    for arm in arms:
        current = _values(rows, arm, "current")
        said = {question.id: 1.0 - current[question.id] for question in changed}
        found.append(OldAnswers(arm, len(changed), int(sum(said.values())), _mean(said, changed)))
    return tuple(found)


def _values(rows: Sequence[Row], arm: str, score: str) -> Values:
    return {r.question_id: r.scores[score] for r in rows if r.arm == arm and score in r.scores}


def _mean(values: Values, asked: Sequence[Question]) -> Score:
    families = [question.family for question in asked]
    return _score(mean_interval([values[question.id] for question in asked], families, seed=0))


def _score(interval: Interval) -> Score:
    return Score(interval.mean, interval.low, interval.high)

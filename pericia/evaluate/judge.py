"""The optional judge: another model says of each answer whether it means the same as a reference.

It never carries a verdict. What it said is kept word for word beside the rows; a reply that is neither yes nor no is a
class of its own and is never dropped; and its agreement with labels of people is shown beside its shares. Refusals and
questions without an answer need no judge.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pericia.config import JudgeConfig
from pericia.errors import ConfigError, InputError, JobError, ModelError
from pericia.prompts import judge_messages
from pericia.types import Message, Question, Row
from pericia.workspace import read_json_lines, sha256_of

FEWEST_LABELS = 50  # below, agreement with people is not known well enough to be quoted
_WORD = re.compile(r"\b(RIGHT|WRONG)\b")

Ask = Callable[[Sequence[Message]], str]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge said of one answer; `right` is None where its reply could not be read."""

    question_id: str
    arm: str
    answer_sha256: str
    judge: str
    right: bool | None
    reply: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """The judge beside people: `share` of labels it agrees with, unreadable replies counted as disagreement."""

    num_labels: int
    num_unread: int
    share: float
    kappa: float | None


def open_judge(settings: JudgeConfig) -> Ask:
    """Return a function that asks the judge, greedily, through the official client of OpenAI.

    Raises:
        ConfigError: the key's variable is empty where an address other than this machine's is asked.
        ModelError: when called, if the endpoint fails.
    """
    import openai  # here, so that the command line starts without it

    is_near = settings.base_url is not None and re.match(
        r"https?://(localhost|127\.0\.0\.1|\[::1\])[:/]", f"{settings.base_url}/"
    )
    key = os.environ.get(settings.key, "")
    if not key and not is_near:
        raise ConfigError(
            f"The judge needs a key: the variable {settings.key} is empty.",
            hint=f"Run: export {settings.key}=…, or name another variable in evaluate.judge.key.",
        )
    client = openai.OpenAI(api_key=key or "none", base_url=settings.base_url)

    def ask(messages: Sequence[Message]) -> str:
        try:
            done = client.chat.completions.create(
                model=settings.model,
                messages=[{"role": m.role, "content": m.content} for m in messages],  # type: ignore[misc]
                temperature=0,
                max_tokens=settings.max_tokens,
            )
        except openai.OpenAIError as error:
            raise ModelError(
                f"The judge '{settings.model}' failed: {error}.",
                hint="Run again: answers and judgements that are there already are kept.",
            ) from error
        return done.choices[0].message.content or ""

    return ask


def read_reply(reply: str) -> bool | None:
    """Return what a reply says: its last RIGHT or WRONG, None where it holds neither.

    Example:
        >>> read_reply("The value is the same: RIGHT"), read_reply("WRONG."), read_reply("Perhaps.")
        (True, False, None)
    """
    found = _WORD.findall(reply)
    return found[-1] == "RIGHT" if found else None


def needs_judge(row: Row, question: Question) -> bool:
    return question.answerable and not row.answer.refused


def judge_rows(
    rows: Sequence[Row],
    questions: Sequence[Question],
    settings: JudgeConfig,
    ask: Ask,
    known: Mapping[Key, Judgement],
) -> Iterator[Judgement]:
    """Yield a judgement of each answer that needs one and has none by this judge in `known`."""
    question_of = {question.id: question for question in questions}
    for row in rows:
        question = question_of[row.question_id]
        sha256 = sha256_of(row.answer.text)
        before = known.get((row.question_id, row.arm))
        if not needs_judge(row, question) or (
            before is not None and (before.answer_sha256, before.judge) == (sha256, settings.model)
        ):
            continue
        reply = ask(judge_messages(question.text, question.answers, row.answer.text))
        yield Judgement(row.question_id, row.arm, sha256, settings.model, read_reply(reply), reply)


def right_by_judge(row: Row, question: Question, said: Mapping[Key, Judgement]) -> bool | None:
    """Return whether an answer is right by the judge, by the refusal rule where it needs none; None if unread."""
    if not needs_judge(row, question):
        return row.answer.refused != question.answerable
    judgement = said.get((row.question_id, row.arm))
    return judgement.right if judgement else None


# --- agreement with people -----------------------------------------------------------------------------


def read_labels(path: Path) -> dict[Key, bool]:
    """Return what people said of answers, from lines like {"question_id": "q1", "arm": "rag", "right": true}.

    Raises:
        InputError: the file is missing, or a line has another shape.
    """
    labels: dict[Key, bool] = {}
    for line, item in read_json_lines(path):
        keys = ("question_id", "arm", "right")
        if (
            not isinstance(item, dict)
            or set(item) != set(keys)
            or item["right"] not in (True, False)
        ):
            raise InputError(
                f"{path}, line {line}: no label.",
                hint='A line looks like: {"question_id": "q1", "arm": "rag", "right": true}',
            )
        labels[str(item["question_id"]), str(item["arm"])] = bool(item["right"])
    return labels


def agreement(said: Mapping[Key, bool | None], labels: Mapping[Key, bool]) -> Agreement | None:
    """Return how the judge agrees with people on the answers that both have seen, None without any.

    Kappa is agreement beyond chance, over the replies that could be read.

    Source: Cohen, A coefficient of agreement for nominal scales, 1960.

    Example:
        >>> people = {("q1", "a"): True, ("q2", "a"): False, ("q3", "a"): True, ("q4", "a"): True}
        >>> judge = {("q1", "a"): True, ("q2", "a"): False, ("q3", "a"): False, ("q4", "a"): None}
        >>> agreement(judge, people)
        Agreement(num_labels=4, num_unread=1, share=0.5, kappa=0.4)
    """
    both = [(said[key], label) for key, label in labels.items() if key in said]
    if not both:
        return None
    read = [(judge, label) for judge, label in both if judge is not None]
    same = sum(judge == label for judge, label in read)
    return Agreement(len(both), len(both) - len(read), same / len(both), _kappa(read))


def _kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    if not pairs:
        return None
    num = len(pairs)
    seen = sum(a == b for a, b in pairs) / num
    first, second = (sum(pair[side] for pair in pairs) / num for side in (0, 1))
    by_chance = first * second + (1 - first) * (1 - second)
    return None if by_chance == 1.0 else round((seen - by_chance) / (1 - by_chance), 12)


# --- the file ------------------------------------------------------------------------------------------


def append_judgement(folder: Path, judgement: Judgement) -> None:
    """Add a judgement and return when it is on the disk."""
    with (folder / "judge.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(judgement), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_judgements(folder: Path) -> dict[Key, Judgement]:
    """Return the last judgement of each question and arm; a line that a kill cut off is left out.

    Raises:
        JobError: another line is damaged.
    """
    path = folder / "judge.jsonl"
    if not path.exists():
        return {}
    found: dict[Key, Judgement] = {}
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), start=1):
        try:
            item: dict[str, Any] = json.loads(line)
            judgement = Judgement(**item)
        except (ValueError, TypeError) as error:
            raise JobError(
                f"{path}, line {number}: no judgement ({error}).",
                hint="Remove the file and run: pericia run",
            ) from error
        found[judgement.question_id, judgement.arm] = judgement
    return found

"""Example files of other tools become rows in OpenAI's chat shape, each with its line.

Read are JSON Lines, a JSON list, CSV with a header, and InstructLab's qna.yaml; and in them rows of ShareGPT
(`conversations`), Alpaca (`instruction`, `input`, `output`), `prompt` and `completion`, `question` and `answer`.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pericia.errors import InputError

_PAIRS = (("question", "answer"), ("prompt", "completion"), ("prompt", "response"))
_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
GUESSED = "columns taken as question and answer"
_KEPT = ("source", "id")


class NotJsonError(Exception):
    """A line that is no JSON; the message says where in it."""


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield line number and row of a file, recast; a line that is no JSON yields a `NotJsonError` in place of its row.

    In CSV the line is that of the row's end, in a JSON list and in YAML it is the position of the row, from 1.

    Raises:
        InputError: the file is missing or no text, or as a whole no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"There is no file '{path}'.", hint="Mend the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        hint = "Give a text file in UTF-8: JSONL, JSON, CSV or qna.yaml."
        raise InputError(f"'{path}' cannot be read: {error}.", hint=hint) from error
    suffix = path.suffix.lower()
    if suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        rows: Iterator[tuple[int, Any]] = ((reader.line_num, row) for row in reader)
    elif suffix in {".yaml", ".yml"}:
        rows = enumerate(_instructlab(text, path), start=1)
    elif suffix == ".json" and text.lstrip().startswith("["):
        rows = _json_list(text)
    else:
        rows = _json_lines(text)
    return ((line, recast(row)) for line, row in rows)


def recast(row: Any) -> Any:
    """Return a row of another tool in OpenAI's chat shape; a row of no known shape comes back as it is.

    Example:
        >>> recast({"question": "How hot?", "answer": "900 °C", "source": "kiln.md"})["messages"][1]
        {'role': 'assistant', 'content': '900 °C'}
    """
    if not isinstance(row, dict) or "messages" in row:
        return row
    kept = {key: row[key] for key in _KEPT if row.get(key)}
    if (messages := _messages(row)) is not None:
        return {"messages": messages, **kept}
    texts = [key for key, value in row.items() if isinstance(value, str) and key not in _KEPT]
    if len(texts) != 2:
        return row
    # a table of two columns, such as phrase and tone: read, and said
    return {"messages": _pair(*(row[key] for key in texts)), GUESSED: texts, **kept}


def _messages(row: dict[str, Any]) -> list[Any] | None:
    turns = row.get("conversations")
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        return [
            {"role": _SHAREGPT_ROLES.get(t.get("from"), t.get("from")), "content": t.get("value")}
            for t in turns
        ]
    if "instruction" in row and "output" in row:
        more = row.get("input")
        return _pair(
            f"{row['instruction']}\n\n{more}" if more else row["instruction"], row["output"]
        )
    for question, answer in _PAIRS:
        if question in row and answer in row:
            return _pair(row[question], row[answer])
    return None


def _pair(question: Any, answer: Any) -> list[Any]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                yield number, NotJsonError(f"{error.msg} at column {error.colno}")


def _json_list(text: str) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(json.loads(text), start=1)
    except json.JSONDecodeError as error:
        yield error.lineno, NotJsonError(f"{error.msg} at column {error.colno}")


def _instructlab(text: str, path: Path) -> Iterator[Any]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"'{path}' is no YAML: {error}.", hint="Mend the YAML.") from error
    seeds = data.get("seed_examples") if isinstance(data, dict) else None
    if not isinstance(seeds, list):
        raise InputError(f"'{path}' has no 'seed_examples'.", hint="Give an InstructLab qna.yaml.")
    for seed in seeds:
        pairs = seed.get("questions_and_answers", [seed]) if isinstance(seed, dict) else [seed]
        for pair in pairs:
            if not isinstance(pair, dict) or "question" not in pair or "answer" not in pair:
                yield pair
                continue
            question = str(pair["question"]).strip()
            context = str(seed.get("context") or "").strip() if pair is seed else ""
            asked = f"{context}\n\n{question}" if context else question
            yield {"question": asked, "answer": str(pair["answer"]).strip()}

"""A file of held-out questions becomes Questions; every fault is named with its line, all of them at once."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pericia.errors import InputError
from pericia.evaluate.sourcing import is_same_source
from pericia.said import Said, joined, said
from pericia.types import Question
from pericia.workspace import read_json_lines

MOST_FAULTS_SHOWN = 10
_KEYS = frozenset({"id", "question", "answers", "sources", "family", "kind", "old_answers"})
_SHAPE = '{"id": "q1", "question": "…", "answers": ["…"], "sources": ["handbook.md"]}'


def read_questions(
    path: Path, known_sources: Collection[str] | None = None
) -> tuple[Question, ...]:
    """Return the questions of a JSONL file in its order.

    `"answers": []` marks a question that the documents do not answer. Without "family", questions of one source are
    a family; without a source, a question is its own. "old_answers" were right before the documents changed. Sources are looked up in `known_sources` if given.

    Raises:
        InputError: the file is missing, empty or no JSONL, or lines have faults; all are listed with their lines.
    """
    questions: list[Question] = []
    faults: list[str] = []
    line_of: dict[str, int] = {}
    for line, item in read_json_lines(path):
        found = list(_faults(item, known_sources))
        if not found:
            question = _question(item, line)
            if question.id in line_of:
                found = [
                    said(
                        "id '%(id)s' stands already in line %(line)s.",
                        id=question.id,
                        line=line_of[question.id],
                    )
                ]
            line_of.setdefault(question.id, line)
            questions.append(question)
        faults += [
            said("%(path)s, line %(line)s: %(fault)s", path=path, line=line, fault=fault)
            for fault in found
        ]
    if faults:
        shown = faults[:MOST_FAULTS_SHOWN]
        if len(faults) > len(shown):
            shown.append(said("and %(n)s more faults", n=len(faults) - len(shown)))
        raise InputError(
            joined(shown, "\n"), hint=said("A line looks like: %(shape)s", shape=_SHAPE)
        )
    if not questions:
        raise InputError(
            said("'%(path)s' holds no question.", path=path),
            hint=said("A line looks like: %(shape)s", shape=_SHAPE),
        )
    if not any(question.answerable for question in questions):
        raise InputError(
            said(
                "No question of '%(path)s' has an answer, so nothing but refusals could be measured.",
                path=path,
            ),
            hint=said(
                'Give reference answers; "answers": [] is for questions that the documents do not answer.'
            ),
        )
    return tuple(questions)


def _no_texts(key: str, value: object) -> Said:
    return said(
        "'%(key)s' is %(value)s; expected a list of texts that are not empty.",
        key=key,
        value=repr(value),
    )


def _faults(item: Any, known_sources: Collection[str] | None) -> Iterator[str]:
    if not isinstance(item, dict):
        yield said("expected an object, found %(name)s.", name=type(item).__name__)
        return
    for key in sorted(item.keys() - _KEYS):
        near = get_close_matches(key, _KEYS, n=1)
        yield said(
            "unknown key '%(key)s'%(near)s",
            key=key,
            near=said("; did you mean '%(name)s'?", name=near[0]) if near else ".",
        )
    if not _is_text(item.get("question")):
        yield said("'question' is missing or empty.")
    if "answers" not in item:
        yield said("'answers' is missing; [] says that the documents do not answer the question.")
    elif not _is_list_of_texts(item["answers"]):
        yield _no_texts("answers", item["answers"])
    for key in ("id", "family", "kind"):
        if key in item and not _is_text(item[key]):
            yield said(
                "'%(key)s' is %(value)s; expected a text that is not empty.",
                key=key,
                value=repr(item[key]),
            )
    if not _is_list_of_texts(old := item.get("old_answers", [])):
        yield _no_texts("old_answers", old)
    elif both := [text for text in old if text in item.get("answers", ())]:
        yield said(
            "'%(text)s' stands in 'answers' and in 'old_answers'; an old answer is wrong today.",
            text=both[0],
        )
    if not _is_list_of_texts(item.get("sources", [])):
        yield said(
            "'sources' is %(value)s; expected a list of names of documents.",
            value=repr(item["sources"]),
        )
        return
    for source in item.get("sources", []) if known_sources is not None else []:
        if not any(is_same_source(source, known) for known in known_sources or ()):
            near = get_close_matches(source, known_sources or (), n=1, cutoff=0.5)
            yield f"source '{source}' is no document" + (
                f"; did you mean '{near[0]}'?" if near else "."
            )


def _question(item: dict[str, Any], line: int) -> Question:
    sources = tuple(item.get("sources", ()))
    identity = item.get("id", f"line-{line}")
    return Question(
        id=identity,
        text=item["question"],
        answers=tuple(item["answers"]),
        sources=sources,
        family=item.get("family") or (sources[0] if sources else identity),
        kind=item.get("kind", ""),
        old_answers=tuple(item.get("old_answers", ())),
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)

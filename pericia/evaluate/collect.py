"""What a run works on: held-out questions, examples that give none of them away, and the adapters trained on them."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pericia.config import Config
from pericia.dataset import leaks, read_dataset, stop_at_errors
from pericia.duplicates import figures, leaking
from pericia.errors import ConfigError, InputError
from pericia.evaluate.matches import is_label
from pericia.evaluate.normalise import normalise
from pericia.evaluate.questions import read_questions
from pericia.evaluate.scores import SCORES
from pericia.evaluate.sourcing import is_same_source
from pericia.evaluate.tools import Tools, open_tools
from pericia.lookup import unknown_name
from pericia.prompts import closed_book_prompt
from pericia.said import said
from pericia.train import Kind
from pericia.types import Adapter, Dataset, Example, Finding, Message, Question, TrainEvent
from pericia.workspace import Workspace

KINDS: tuple[Kind, ...] = ("fine_tuned", "rag_fine_tuned")


@dataclass(frozen=True, slots=True)
class Event:
    """A line of progress; `total` is 0 where the end is not known."""

    stage: str
    message: str
    done: int = 0
    total: int = 0


def collect_questions(
    config: Config, workspace: Workspace, sources: Collection[str]
) -> tuple[Question, ...]:
    """Return the held-out questions of a config whose deciding score exists; `sources` are the documents there are.

    Raises:
        ConfigError: no questions, or a score that cannot decide. InputError: as `read_questions`, or the questions
        are themselves among the documents.
    """
    if config.questions is None:
        raise ConfigError(
            said("No questions are configured (key 'questions'), so nothing can be measured."),
            hint=said(
                'Name a JSONL file: {"id": "q1", "question": "…", "answers": ["…"], "sources": ["…"]}'
            ),
        )
    try:
        re.compile(config.evaluate.pattern)
    except re.error as error:
        raise ConfigError(
            said("evaluate.pattern is no regular expression: %(error)s.", error=error),
            hint=said("Mend it, or take it out."),
        ) from error
    score = config.evaluate.score
    if score not in SCORES:
        raise unknown_name("score (key evaluate.score)", score, SCORES)
    if not SCORES[score].may_decide:
        able = ", ".join(name for name, kind in SCORES.items() if kind.may_decide)
        raise ConfigError(
            said(
                "evaluate.score is '%(score)s', which does not apply to every answer.", score=score
            ),
            hint=said("A score that decides is one of: %(able)s.", able=able),
        )
    path = workspace.resolve(config.questions)
    questions = read_questions(path, sources or None)
    stop_at_indexed_questions(path, workspace, sources)
    return questions


def stop_at_indexed_questions(
    questions_file: Path, workspace: Workspace, sources: Collection[str]
) -> None:
    """Raise if the held-out questions, or a copy of their file, are among the documents that arms read.

    Raises:
        InputError: such a document is there; retrieval would find the answers with the questions.
    """
    asked = questions_file.stat()
    for source in sorted(sources):
        document = workspace.resolve(source)
        if not document.is_file() or document.stat().st_size != asked.st_size:
            continue
        if document.read_bytes() == questions_file.read_bytes():
            raise InputError(
                said(
                    "The document '%(source)s' is the file of held-out questions, so retrieval would find their answers.",
                    source=source,
                ),
                hint=said("Move it out of the folders under 'documents', and run again."),
            )


def collect_examples(
    config: Config, workspace: Workspace, questions: Sequence[Question]
) -> tuple[Dataset | None, tuple[Finding, ...]]:
    """Return the data set, None without examples, and its findings.

    A leak stops the run before it begins, or is a warning among the findings where `evaluate.on_leak` is "show".
    """
    if config.examples is None:
        return None, ()
    dataset, findings = read_dataset(config, workspace)
    leaks_found = leaks(dataset, questions)
    if config.evaluate.on_leak == "stop":
        stop_at_errors(leaks_found, config.examples)
    shown = [replace(finding, level="warning") for finding in leaks_found]
    return dataset, (*findings, *shown)


def given_away(dataset: Dataset | None, questions: Sequence[Question]) -> dict[str, str]:
    """Return, by id, the questions that examples give away, and the example that does.

    Raises:
        InputError: no question is left.
    """
    examples = (*dataset.train, *dataset.validation) if dataset else ()
    found: dict[str, str] = {}
    left = list(questions)
    while new := {q.id: f"example '{e.id}' {how} it" for e, q, how in leaking(examples, left)}:
        found |= new
        left = [question for question in left if question.id not in found]
    if not left:
        raise InputError(
            said("The examples give away every question, so nothing held out is left."),
            hint=said(
                "Hold out other questions, or take the examples out that 'pericia check' names."
            ),
        )
    return found


def same_facts(dataset: Dataset | None, questions: Sequence[Question]) -> dict[str, str]:
    """Return, by id, the questions whose fact an example may hold in other words, and that example.

    It is about the same document, has the same answer, and asks with the same figures and codes. No words prove it,
    so nothing stops: the results are given without these questions too.
    """
    examples = (*dataset.train, *dataset.validation) if dataset else ()
    by_answer: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.source and not example.is_text and not is_label(example.answer):
            by_answer[normalise(example.answer)].append(example)
    return {
        question.id: example.id
        for question in questions
        for example in _of_the_same_fact(question, by_answer)
    }


def _of_the_same_fact(
    question: Question, by_answer: Mapping[str, Sequence[Example]]
) -> Iterator[Example]:
    for example in (e for a in question.answers for e in by_answer.get(normalise(a), ())):
        is_there = any(is_same_source(example.source, source) for source in question.sources)
        if is_there and figures(example.question) == figures(question.text):
            yield example


def train_adapters(
    arms: Collection[str], dataset: Dataset | None, tools: Tools, tell: Callable[[Event], None]
) -> dict[str, Adapter]:
    """Return the adapters that the arms need by kind, trained now unless they are there already."""
    adapters: dict[str, Adapter] = {}
    for kind in (kind for kind in KINDS if kind in arms):
        assert dataset is not None, "tuned arms are left out without examples"

        def on_step(event: TrainEvent, kind: Kind = kind) -> None:
            loss = "" if event.loss is None else f", loss {event.loss:.3f}"
            tell(Event("train", f"{kind}{loss}", event.step, event.num_steps))

        tell(Event("train", kind))
        adapters[kind] = tools.train(dataset, kind, on_step)
    return adapters


def train_all(
    config: Config, workspace: Workspace, on_event: Callable[[Event], None]
) -> tuple[Adapter, ...]:
    """Return the adapters of a config: one that answers alone and, where there are documents, one that reads.

    Raises:
        ConfigError: no examples, or a model that cannot be tuned. Else as `open_tools` and `train.train`.
    """
    tools = open_tools(config, workspace, lambda m, d, t: on_event(Event("documents", m, d, t)))
    if not tools.is_tunable:
        raise ConfigError(
            said("'%(model)s' cannot be fine-tuned here.", model=config.model),
            hint=said("Set the key 'model'."),
        )
    questions = collect_questions(config, workspace, tools.sources) if config.questions else ()
    dataset, _ = collect_examples(config, workspace, questions)
    if dataset is None:
        raise ConfigError(
            said("No examples are configured (key 'examples'), so there is nothing to learn from."),
            hint=said(
                'Name a JSONL file: {"messages": [{"role": "user", …}, {"role": "assistant", …}]}'
            ),
        )
    return tuple(
        train_adapters(KINDS if tools.sources else KINDS[:1], dataset, tools, on_event).values()
    )


def held_out_chats(config: Config, workspace: Workspace) -> list[tuple[Message, ...]]:
    """Return the held-out questions as chats up to the answer, which an export is compared on."""
    questions = collect_questions(config, workspace, ())
    return [closed_book_prompt(q.text, config.instruction).messages for q in questions]

"""Examples become a Dataset: checked, without duplicates, split by source document, hashed.

`closed_book` and `open_book` then turn each example into the very chat that the product sends when it answers.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from pericia import duplicates
from pericia.config import Config
from pericia.duplicates import alike, contradictions, leaks_between, place, without_duplicates
from pericia.errors import InputError
from pericia.examples import auto_epochs as auto_epochs
from pericia.examples import read_examples as read_examples
from pericia.examples import source_of as source_of
from pericia.examples import stop_at_errors as stop_at_errors
from pericia.prompts import REFUSAL, closed_book_prompt, is_refusal, open_book_prompt
from pericia.recast import Columns
from pericia.rows import find_splits
from pericia.said import said
from pericia.similarity import words
from pericia.types import Context, Dataset, Example, Finding, Message, Question
from pericia.workspace import Workspace, sha256_of


def make_dataset(
    examples: Sequence[Example],
    *,
    validation_share: float,
    seed: int,
    validation: Sequence[Example] | None = None,
) -> Dataset:
    """Return the examples without duplicates, split by source document; those without source are split one by one.

    Whole documents go to validation until its share of the examples is reached, at least one and never all; what asks
    nearly the same stays together. With `validation` these examples are held out instead, and no others.

    Raises:
        InputError: there are fewer than two documents or examples, so nothing can be held out; or the given
            validation examples are none, or stand among the others as well.
    """
    kept, dropped = without_duplicates(examples)
    if validation is not None:
        return _with_validation(kept, dropped, validation)
    families = _families(kept)
    if len(families) < 2:
        raise InputError(
            said(
                "%(n)s examples about %(documents)s documents cannot be split into training and validation.",
                n=len(kept),
                documents=len(families),
            ),
            hint=said('Give examples about at least two documents, or take out the key "source".'),
        )
    order = sorted(families)
    random.Random(seed).shuffle(order)
    wanted = validation_share * len(kept)
    held_out: set[int] = set()
    for name in order[:-1]:
        if held_out and len(held_out) + len(families[name]) / 2 > wanted:
            break
        held_out.update(families[name])
    return _dataset(
        [e for i, e in enumerate(kept) if i not in held_out],
        [e for i, e in enumerate(kept) if i in held_out],
        (*dropped, *contradictions(kept)),
        len(dropped),
    )


def _with_validation(
    train: Sequence[Example], dropped: tuple[Finding, ...], validation: Sequence[Example]
) -> Dataset:
    held_out, also_dropped = without_duplicates(validation)
    if not held_out:
        raise InputError(
            said("The validation split holds no example."), hint=said("Leave it out, or fill it.")
        )
    stop_at_errors(tuple(leaks_between(train, held_out)), said("training split"))
    findings = (*dropped, *also_dropped, *contradictions(train))
    return _dataset(train, held_out, findings, len(dropped) + len(also_dropped))


def _families(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return the positions of examples that must stay together: of one document, or asking nearly the same."""
    names = [f"source {e.source}" if e.source else f"id {e.id} {e.line}" for e in examples]
    leader = {name: name for name in names}

    def head(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for i, j in alike(examples):
        first, second = sorted((head(names[i]), head(names[j])))
        leader[second] = first
    families: defaultdict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        families[head(name)].append(i)
    return families


def read_dataset(config: Config, workspace: Workspace) -> tuple[Dataset, tuple[Finding, ...]]:
    """Return the data set of the keys `examples`, `validation` and `columns`, and everything found in it.

    A folder that names its splits gives both.

    Raises:
        InputError: a source is missing or has faults; or as `make_dataset`.
    """
    assert config.examples is not None, "the caller says what to do without examples"
    columns = Columns(**config.columns.model_dump())
    splits = find_splits(source_of(workspace, config.examples))
    held_out = splits.validation
    if config.validation is not None:
        held_out = source_of(workspace, config.validation)
    examples, findings = read_examples(splits.train, columns)
    stop_at_errors(findings, config.examples)
    settings = config.train
    others = None
    if held_out is not None:
        others, also = read_examples(held_out, columns)
        stop_at_errors(also, config.validation or said("validation split"))
        findings = (*findings, *also)
    check_objective((*examples, *(others or ())), settings.objective, config.examples)
    made = make_dataset(
        examples,
        validation_share=settings.validation_share,
        seed=settings.seed,
        validation=others,
    )
    return made, (*findings, *made.findings)


def check_objective(examples: Sequence[Example], objective: str, name: str) -> None:
    """Return if the examples are of the sort that an objective learns from.

    Raises:
        InputError: pairs are given to another objective than dpo, or dpo gets something else.
    """
    odd = next((e for e in examples if e.is_preference != (objective == "dpo")), None)
    if odd is None:
        return
    found = said("a preference pair") if odd.is_preference else said("no preference pair")
    hint = (
        said("Set train.objective: dpo.") if odd.is_preference else said("Give pairs, or set sft.")
    )
    text = said(
        "%(name)s, %(odd)s: this is %(found)s, and train.objective is %(objective)s.",
        name=name,
        odd=place(odd),
        found=found,
        objective=objective,
    )
    raise InputError(text, hint=hint, param="train.objective")


def closed_book(dataset: Dataset, instruction: str) -> Dataset:
    """Return the chats of the arms `prompt` and `fine_tuned`: instruction, question, answer; plain text stays as it is."""

    def chat(example: Example) -> Example:
        if example.is_text:
            return example
        prompt = closed_book_prompt(example.question, instruction)
        return _with_prompt(example, prompt.messages, example.answer)

    return _mapped(dataset, chat)


def open_book(dataset: Dataset, instruction: str, find: Callable[[str], Context]) -> Dataset:
    """Return the chats of the arms `rag` and `rag_fine_tuned`: instruction, passages as found, answer that cites.

    The citation is the first passage of the example's document that holds the answer, else the best passage of that
    document. If no passage of the document was found, the answer to learn is the refusal; such rows are counted.
    """
    unfound: list[Example] = []

    def chat(example: Example) -> Example:
        if example.is_text:
            return example
        context = find(example.question)
        prompt = open_book_prompt(example.question, context, instruction)
        answer = _cited(example, context)
        if answer == REFUSAL != example.answer:
            unfound.append(example)
        return _with_prompt(example, prompt.messages, answer)

    made = _mapped(dataset, chat)
    if not unfound:
        return made
    text = said(
        "%(num_unfound)s of %(num_train)s examples teach to refuse, because no passage of their document was found.",
        num_unfound=len(unfound),
        num_train=len(dataset.train) + len(dataset.validation),
    )
    finding = Finding(
        "warning", "source_not_found", text, unfound[0].line, said("Look at retrieval first.")
    )
    return replace(made, findings=(*made.findings, finding))


def leaks(dataset: Dataset, questions: Sequence[Question]) -> tuple[Finding, ...]:
    """Return one error for each example that gives away a held-out question. See `duplicates.leaks`."""
    return tuple(duplicates.leaks((*dataset.train, *dataset.validation), questions))


def _with_prompt(example: Example, prompt: Sequence[Message], answer: str) -> Example:
    """Return the example as the product's chat.

    Earlier turns of its own stay between instruction and question, and calls of tools between question and answer.
    """
    question_at = max(i for i, m in enumerate(example.messages) if m.role == "user")
    earlier = [m for m in example.messages[:question_at] if m.role != "system"]
    calls = example.messages[question_at + 1 : -1]
    last = replace(example.messages[-1], content=answer)
    return replace(example, messages=(prompt[0], *earlier, *prompt[1:], *calls, last))


def _cited(example: Example, context: Context) -> str:
    if not example.source or is_refusal(example.answer):
        return example.answer
    own = [n for n, p in enumerate(context.passages, 1) if p.chunk.source == example.source]
    if not own:
        return REFUSAL
    wanted = " ".join(words(example.answer))
    holding = (n for n in own if wanted in " ".join(words(context.passages[n - 1].chunk.text)))
    return f"{example.answer} [{next(holding, own[0])}]"


def _mapped(dataset: Dataset, chat: Callable[[Example], Example]) -> Dataset:
    return _dataset(
        [chat(example) for example in dataset.train],
        [chat(example) for example in dataset.validation],
        dataset.findings,
        dataset.num_duplicates,
    )


def _dataset(
    train: Sequence[Example],
    validation: Sequence[Example],
    findings: tuple[Finding, ...],
    num_duplicates: int,
) -> Dataset:
    rows = [[_identity(example) for example in part] for part in (train, validation)]
    return Dataset(tuple(train), tuple(validation), sha256_of(rows), findings, num_duplicates)


def _identity(example: Example) -> list[object]:
    """Return what an example is, for the hash; what most examples do not have leaves it as it was without."""
    turns = [[m.role, m.content] if m.trains else [m.role, m.content, 0] for m in example.messages]
    calls = [[c.name, c.arguments] for m in example.messages for c in m.tool_calls]
    tools = [dict(tool) for tool in example.tools]
    return [*turns, example.source, *(part for part in (example.rejected, calls, tools) if part)]

"""Examples become a Dataset: checked, without duplicates, split by source document, hashed.

`closed_book` and `open_book` then turn each example into the very chat that the product sends when it answers.
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pericia.errors import InputError
from pericia.examples import auto_epochs as auto_epochs
from pericia.examples import read_examples as read_examples
from pericia.examples import stop_at_errors as stop_at_errors
from pericia.prompts import REFUSAL, closed_book_prompt, is_refusal, open_book_prompt
from pericia.similarity import Gram, grams, jaccard, similar_pairs, words
from pericia.types import Context, Dataset, Example, Finding, Message, Question
from pericia.workspace import sha256_of

NEAR_DUPLICATE = 0.8  # Jaccard of the questions' runs of four words
LEAK_WORDS = 13  # lm-evaluation-harness, docs/decontamination.md


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `pericia check` shows. `tokens` are the lengths of the examples, in their order, if they were counted."""

    num_examples: int
    num_duplicates: int
    num_sources: int
    findings: tuple[Finding, ...]
    epochs: int
    tokens: tuple[int, ...] = ()

    @property
    def num_errors(self) -> int:
        return sum(finding.level == "error" for finding in self.findings)

    @property
    def median_tokens(self) -> float:
        return statistics.median(self.tokens) if self.tokens else 0.0


def check(
    path: Path, count_tokens: Callable[[Sequence[Message]], int] | None = None
) -> CheckReport:
    """Return everything that is to say about a file of examples; faults are findings, not exceptions.

    Raises:
        InputError: the file is missing, empty or no text.
    """
    examples, findings = read_examples(path)
    kept, duplicates = _without_duplicates(examples)
    tokens = tuple(count_tokens(example.messages) for example in examples) if count_tokens else ()
    sources = {example.source for example in examples if example.source}
    return CheckReport(
        num_examples=len(examples),
        num_duplicates=len(duplicates),
        num_sources=len(sources),
        findings=(*findings, *duplicates, *_contradictions(kept)),
        epochs=auto_epochs(max(1, len(kept))),
        tokens=tokens,
    )


def make_dataset(examples: Sequence[Example], *, validation_share: float, seed: int) -> Dataset:
    """Return the examples without duplicates, split by source document; those without source are split one by one.

    Whole documents go to validation until its share of the examples is reached, at least one and never all.

    Raises:
        InputError: there are fewer than two documents or examples, so nothing can be held out.
    """
    kept, duplicates = _without_duplicates(examples)
    families: defaultdict[str, list[Example]] = defaultdict(list)
    for example in kept:
        families[
            f"source {example.source}" if example.source else f"id {example.id} {example.line}"
        ].append(example)
    if len(families) < 2:
        raise InputError(
            f"{len(kept)} examples about {len(families)} documents cannot be split into training and validation.",
            hint='Give examples about at least two documents, or take out the key "source".',
        )
    order = sorted(families)
    random.Random(seed).shuffle(order)
    wanted = validation_share * len(kept)
    held_out: set[str] = set()
    num_held_out = 0
    for name in order[:-1]:
        if held_out and num_held_out + len(families[name]) / 2 > wanted:
            break
        held_out.add(name)
        num_held_out += len(families[name])
    validation_ids = {id(e) for name in held_out for e in families[name]}
    return _dataset(
        [e for e in kept if id(e) not in validation_ids],
        [e for e in kept if id(e) in validation_ids],
        (*duplicates, *_contradictions(kept)),
        len(duplicates),
    )


def closed_book(dataset: Dataset, instruction: str) -> Dataset:
    """Return the chats of the arms `prompt` and `fine_tuned`: instruction, question, answer."""

    def chat(example: Example) -> Example:
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
        context = find(example.question)
        prompt = open_book_prompt(example.question, context, instruction)
        answer = _cited(example, context)
        if answer == REFUSAL != example.answer:
            unfound.append(example)
        return _with_prompt(example, prompt.messages, answer)

    made = _mapped(dataset, chat)
    if not unfound:
        return made
    text = (
        f"{len(unfound)} of {len(dataset.train) + len(dataset.validation)} examples teach to refuse, "
        "because no passage of their document was found."
    )
    finding = Finding(
        "warning", "source_not_found", text, unfound[0].line, "Look at retrieval first."
    )
    return replace(made, findings=(*made.findings, finding))


def leaks(dataset: Dataset, questions: Sequence[Question]) -> tuple[Finding, ...]:
    """Return one error for each example that gives away a held-out question.

    That is: the same question, nearly the same one with the same figures and codes ("kiln 3" is not "kiln 4"), or a
    run of 13 words shared with question and answer.
    """
    by_text = {" ".join(words(q.text)): q for q in questions}
    asked = [grams(q.text, 4) for q in questions]
    runs: dict[Gram, Question] = {}
    for question in questions:
        text = f"{question.text} {' '.join(question.answers)}"
        if len(words(text)) >= LEAK_WORDS:
            runs.update(dict.fromkeys(grams(text, LEAK_WORDS), question))
    hint = "Take the example out: a score on a question that was trained on says nothing."
    findings = []
    for example in (*dataset.train, *dataset.validation):
        found = by_text.get(" ".join(words(example.question)))
        how = "is"
        if found is None:
            own = grams(example.question, 4)
            near = (
                q
                for q, g in zip(questions, asked, strict=True)
                if jaccard(own, g) >= NEAR_DUPLICATE
                and _figures(q.text) == _figures(example.question)
            )
            found, how = next(near, None), "is nearly"
        if found is None:
            own = grams(f"{example.question} {example.answer}", LEAK_WORDS)
            found, how = (
                next((runs[g] for g in sorted(own & runs.keys())), None),
                "shares 13 words with",
            )
        if found is not None:
            text = f"example '{example.id}' {how} the held-out question '{found.id}': {found.text}"
            findings.append(Finding("error", "leak", text, example.line, hint))
    return tuple(findings)


def _without_duplicates(
    examples: Sequence[Example],
) -> tuple[list[Example], tuple[Finding, ...]]:
    """Return the first of each group of equal or nearly equal examples, and a warning for each of the others.

    Nearly equal questions count only if answers and all figures and codes are the same: "kiln 3" is not "kiln 4".
    """
    hint = "It is left out; the first one is kept."
    first: dict[tuple[str, ...], Example] = {}
    findings = []
    for example in examples:
        key = tuple(f"{m.role} {' '.join(words(m.content)) or m.content}" for m in example.messages)
        if key in first:
            text = f"the same example stands in line {first[key].line}."
            findings.append(Finding("warning", "duplicate_example", text, example.line, hint))
        else:
            first[key] = example
    groups: defaultdict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in first.values():
        figures = _figures(example.question)
        before = " ".join(m.content for m in example.messages[:-2])
        groups[before, " ".join(words(example.answer)), *figures].append(example)
    dropped: set[int] = set()
    for group in groups.values():
        for i, j in similar_pairs([grams(e.question, 4) for e in group], NEAR_DUPLICATE):
            if id(group[i]) not in dropped and id(group[j]) not in dropped:
                dropped.add(id(group[j]))
                text = f"nearly the same example stands in line {group[i].line}."
                line = group[j].line
                findings.append(Finding("warning", "near_duplicate_example", text, line, hint))
    findings.sort(key=lambda finding: finding.line or 0)
    return [e for e in first.values() if id(e) not in dropped], tuple(findings)


def _figures(text: str) -> list[str]:
    return sorted(word for word in words(text) if any(letter.isdigit() for letter in word))


def _contradictions(examples: Sequence[Example]) -> tuple[Finding, ...]:
    """Return a warning for each question that has another answer in an earlier line."""
    first: dict[str, Example] = {}
    findings = []
    for example in examples:
        chat = " ".join(" ".join(words(m.content)) for m in example.messages[:-1])
        earlier = first.setdefault(chat, example)
        if words(earlier.answer) != words(example.answer):
            text = f"the same question has another answer in line {earlier.line}."
            hint = "Keep the right one: a model cannot learn both."
            findings.append(Finding("warning", "contradiction", text, example.line, hint))
    return tuple(findings)


def _with_prompt(example: Example, prompt: Sequence[Message], answer: str) -> Example:
    """Return the example as the product's chat; earlier turns of its own stay between instruction and question."""
    question_at = max(i for i, m in enumerate(example.messages) if m.role == "user")
    earlier = [m for m in example.messages[:question_at] if m.role != "system"]
    messages = (prompt[0], *earlier, *prompt[1:], Message("assistant", answer))
    return replace(example, messages=messages)


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
    rows = [
        [[[m.role, m.content] for m in example.messages] + [example.source] for example in part]
        for part in (train, validation)
    ]
    return Dataset(tuple(train), tuple(validation), sha256_of(rows), findings, num_duplicates)

"""Examples that say the same: within a file, across its splits, and against the held-out questions.

What is nearly the same must have the same figures and codes: "kiln 3" is not "kiln 4".
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from pericia.said import Said, joined, said
from pericia.similarity import Gram, grams, nearest_in, similar_pairs, words
from pericia.types import Example, Finding, Question

NEAR_DUPLICATE = 0.8  # Jaccard of the questions' runs of four words
LEAK_WORDS = 13  # lm-evaluation-harness, docs/decontamination.md
COMMON_RUN = 10  # runs in more examples are phrases of the trade, not a leak; same source

_IN_BOTH = said("the same example stands in %(place)s of the validation split.")
_NEARLY_IN_BOTH = said("nearly the same question stands in %(place)s of the validation split.")
_GIVES_AWAY = {
    "is": said("example '%(id)s' is the held-out question '%(question)s': %(text)s"),
    "is nearly": said("example '%(id)s' is nearly the held-out question '%(question)s': %(text)s"),
    "shares 13 words with": said(
        "example '%(id)s' shares 13 words with the held-out question '%(question)s': %(text)s"
    ),
}


def without_duplicates(
    examples: Sequence[Example],
) -> tuple[list[Example], tuple[Finding, ...]]:
    """Return the first of each group of equal or nearly equal examples, and a warning for each of the others.

    Nearly equal questions count only if the answers are the same.
    """
    hint = said("It is left out; the first one is kept.")
    first: dict[tuple[str, ...], Example] = {}
    findings = []
    for example in examples:
        key = _said(example)
        if key in first:
            text = said("the same example stands in %(first)s.", first=place(first[key]))
            findings.append(_warning("duplicate_example", text, example, hint))
        else:
            first[key] = example
    kept = list(first.values())
    own = dict(zip(map(id, kept), _telling_runs([asked(e) for e in kept]), strict=True))
    groups: defaultdict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in kept:
        before = " ".join(m.content for m in example.messages[:-2])
        answers = (" ".join(words(text)) for text in _answers(example))
        groups[before, *answers, *figures(asked(example))].append(example)
    dropped: set[int] = set()
    for group in groups.values():
        for i, j in similar_pairs([own[id(e)] for e in group], NEAR_DUPLICATE):
            if id(group[i]) not in dropped and id(group[j]) not in dropped:
                dropped.add(id(group[j]))
                text = said("nearly the same example stands in %(group)s.", group=place(group[i]))
                findings.append(_warning("near_duplicate_example", text, group[j], hint))
    findings.sort(key=lambda finding: (finding.file, finding.line or 0))
    return [e for e in kept if id(e) not in dropped], tuple(findings)


def contradictions(examples: Sequence[Example]) -> Iterator[Finding]:
    """Yield a warning for each question that has another answer in an earlier line."""
    hint = said("Keep the right one: a model cannot learn both.")
    first: dict[str, Example] = {}
    for example in examples:
        if example.is_text or example.is_preference:
            continue
        chat = " ".join(" ".join(words(m.content)) for m in example.messages[:-1])
        earlier = first.setdefault(chat, example)
        if words(earlier.answer) != words(example.answer):
            text = said(
                "the same question has another answer in %(earlier)s.", earlier=place(earlier)
            )
            yield _warning("contradiction", text, example, hint)


def alike(examples: Sequence[Example]) -> Iterator[tuple[int, int]]:
    """Yield (i, j) of examples that ask the same or nearly the same, whatever they answer: one split must hold both."""
    first: dict[str, int] = {}
    for j, example in enumerate(examples):
        i = first.setdefault(" ".join(words(asked(example))), j)
        if i != j:
            yield i, j
    for i, j in similar_pairs(_telling_runs([asked(e) for e in examples]), NEAR_DUPLICATE):
        if figures(asked(examples[i])) == figures(asked(examples[j])):
            yield i, j


def leaks(examples: Sequence[Example], questions: Sequence[Question]) -> Iterator[Finding]:
    """Yield one error for each example that gives away a held-out question. See `leaking`."""
    hint = said("Take the example out: a score on a question that was trained on says nothing.")
    for example, found, how in leaking(examples, questions):
        values = {"id": example.id, "question": found.id, "text": found.text}
        text = Said(_GIVES_AWAY[how], values)
        yield Finding("error", "leak", text, example.line, hint, example.file)


def leaking(
    examples: Sequence[Example], questions: Sequence[Question]
) -> Iterator[tuple[Example, Question, str]]:
    """Yield each example that gives away a held-out question, that question, and how: "is", "is nearly", "shares".

    That is: the same question, nearly the same one with the same figures and codes, or a run of 13 words shared with
    question and answer, unless that run is a phrase that many examples share.
    """
    by_text = {" ".join(words(q.text)): q for q in questions}
    near: dict[int, Question] = {}
    told = _telling_runs([*(asked(e) for e in examples), *(q.text for q in questions)])
    for i, j in nearest_in(told[: len(examples)], told[len(examples) :], NEAR_DUPLICATE):
        if figures(asked(examples[i])) == figures(questions[j].text):
            near.setdefault(i, questions[j])
    runs: dict[Gram, Question] = {}
    for question in questions:
        text = f"{question.text} {' '.join(question.answers)}"
        if len(words(text)) >= LEAK_WORDS:
            runs.update(dict.fromkeys(grams(text, LEAK_WORDS), question))
    shared = [
        grams(f"{asked(e)} {' '.join(_answers(e))}", LEAK_WORDS) & runs.keys() for e in examples
    ]
    common = Counter(run for found in shared for run in found)
    for i, example in enumerate(examples):
        found = by_text.get(" ".join(words(asked(example))))
        how = "is"
        if found is None:
            found, how = near.get(i), "is nearly"
        if found is None:
            rare = sorted(run for run in shared[i] if common[run] <= COMMON_RUN)
            found, how = (runs[rare[0]] if rare else None), "shares 13 words with"
        if found is not None:
            yield example, found, how


def leaks_between(train: Sequence[Example], validation: Sequence[Example]) -> Iterator[Finding]:
    """Yield an error for each training example that also stands in the validation split, exactly or nearly."""
    hint = said("Take it out of one of them: the best checkpoint could not be told.")
    known = {_said(example): example for example in validation}
    near: dict[int, Example] = {}
    told = _telling_runs([asked(e) for e in (*train, *validation)])
    for i, j in nearest_in(told[: len(train)], told[len(train) :], NEAR_DUPLICATE):
        if figures(asked(train[i])) == figures(asked(validation[j])):
            near.setdefault(i, validation[j])
    for i, example in enumerate(train):
        other, template = known.get(_said(example)), _IN_BOTH
        if other is None:
            other, template = near.get(i), _NEARLY_IN_BOTH
        if other is not None:
            text = Said(template, {"place": place(other)})
            yield Finding("error", "leak_between_splits", text, example.line, hint, example.file)


def asked(example: Example) -> str:
    """Return what an example asks; of plain text, the text."""
    return example.answer if example.is_text else example.question


def figures(text: str) -> list[str]:
    """Return the words with a digit, sorted."""
    return sorted(word for word in words(text) if any(letter.isdigit() for letter in word))


def place(example: Example) -> str:
    """Return where an example stands, as a reader looks it up."""
    line = said("line %(n)s", n=example.line)
    return joined((f"{example.file},", line)) if example.file else line


def _telling_runs(texts: Sequence[str]) -> list[frozenset[Gram]]:
    """Return the runs of four words of each text, without those of a template that a twentieth of the texts share."""
    sets = [grams(text, 4) for text in texts]
    shared = Counter(run for found in sets for run in found)
    limit = max(COMMON_RUN, len(texts) // 20)
    return [frozenset(run for run in found if shared[run] <= limit) for found in sets]


def _said(example: Example) -> tuple[str, ...]:
    turns = [f"{m.role} {' '.join(words(m.content)) or m.content}" for m in example.messages]
    calls = [f"{c.name} {c.arguments}" for m in example.messages for c in m.tool_calls]
    return (*turns, *calls, " ".join(words(example.rejected)))


def _answers(example: Example) -> tuple[str, str, str]:
    calls = " ".join(f"{c.name} {c.arguments}" for c in example.messages[-1].tool_calls)
    return example.answer, example.rejected, calls


def _warning(code: str, text: str, example: Example, hint: str) -> Finding:
    return Finding("warning", code, text, example.line, hint, example.file)

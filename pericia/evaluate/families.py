"""Documents that say nearly the same are one family: a file under two names, or two versions of it.

Questions about them resemble each other, so they count as one observation, and an example about one has shown the
other. Source: Broder, On the resemblance and containment of documents, 1997.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pericia.evaluate.sourcing import is_same_source
from pericia.similarity import grams, similar_pairs
from pericia.types import Dataset, Question

NEAR_DUPLICATE = 0.8  # Jaccard of the runs of five words: one word in 45 may differ
_RUN = 5
_MOST_WORDS = 20_000  # of a document that are compared, from its start


def named_documents(
    questions: Sequence[Question], dataset: Dataset | None, documents: Collection[str]
) -> set[str]:
    """Return those of `documents` that a question or an example names as its source."""
    examples = (*dataset.train, *dataset.validation) if dataset else ()
    named = {source for question in questions for source in question.sources}
    named |= {example.source for example in examples if example.source}
    return {found for name in named if (found := _document(name, documents))}


def near_duplicates(texts: Mapping[str, str]) -> dict[str, str]:
    """Return, for each document that is nearly the same as another, the first of its group by name; `texts` by name.

    Example:
        >>> near_duplicates({"b.md": "The pump holds.", "a.md": "the pump holds", "c.md": "The kiln runs."})
        {'a.md': 'a.md', 'b.md': 'a.md'}
    """
    names = sorted(texts)
    runs = [grams(" ".join(texts[n].split(None, _MOST_WORDS)[:_MOST_WORDS]), _RUN) for n in names]
    leader = {name: name for name in names}
    for i, j in similar_pairs(runs, NEAR_DUPLICATE):
        first, second = sorted((leader[names[i]], leader[names[j]]))
        leader.update({name: first for name in names if leader[name] == second})
    groups = {first for name, first in leader.items() if name != first}
    return {name: first for name, first in leader.items() if first in groups}


def join_families(questions: Sequence[Question], twins: Mapping[str, str]) -> tuple[Question, ...]:
    """Return the questions, those about documents of one group of `near_duplicates` in one family, the first of them."""
    family: dict[str, str] = {question.family: question.family for question in questions}
    first_of: dict[str, str] = {}
    for question in questions:
        document = _document(question.sources[0], twins) if question.sources else ""
        if not document:
            continue
        mine = family[question.family]
        known = first_of.setdefault(twins[document], mine)
        known = family[known]
        family = {name: known if own == mine else own for name, own in family.items()}
    return tuple(replace(question, family=family[question.family]) for question in questions)


def with_twins(names: Collection[str], twins: Mapping[str, str]) -> set[str]:
    """Return the names, and all documents that are nearly the same as one of them."""
    groups = {twins[document] for name in names if (document := _document(name, twins))}
    return {*names, *(document for document, first in twins.items() if first in groups)}


def twins_in_words(twins: Mapping[str, str]) -> str:
    """Return which documents count as one.

    Example:
        >>> twins_in_words({"a.md": "a.md", "b.md": "a.md"})
        'Nearly the same documents count as one family: a.md and b.md.'
    """
    groups = (
        " and ".join(sorted(name for name, own in twins.items() if own == first))
        for first in sorted(set(twins.values()))
    )
    return f"Nearly the same documents count as one family: {'; '.join(groups)}."


def _document(name: str, documents: Collection[str]) -> str:
    """Return the document that a name means, "" if none."""
    if name in documents:
        return name
    return next((document for document in documents if is_same_source(name, document)), "")

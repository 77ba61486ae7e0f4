"""Which of the documents behind the questions training has seen: two tracks that answer different questions.

*Same documents*: examples come from the document of the question, though none asks for the same fact. It measures
knowledge that is put into weights, and needs facts that stay. *New documents*: the document is in the index and in no
example. It measures skill, terms and style, and favours retrieval for facts by construction. Source: Ovadia et al.,
2312.05934, for the first; Balaguer et al., 2401.08406, for the difference.
"""

from collections.abc import Mapping, Sequence

from pericia.evaluate.families import with_twins
from pericia.evaluate.sourcing import is_same_source
from pericia.evaluate.stats import FEWEST_FAMILIES
from pericia.said import said
from pericia.types import Dataset, Question

SAME: str = said("same documents")
NEW: str = said("new documents")
ALL = "all questions"
STABLE = ("never", "yearly")  # how often facts change where knowledge may stay in weights


def tracks_of(
    questions: Sequence[Question],
    dataset: Dataset | None,
    twins: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the track of each question by its id; `ALL` for all of them where no example or question names a source.

    An example about a document has shown its `twins` as well (see `families.near_duplicates`). A question without source goes with its family, and to `NEW` if its family has none: no example is about it.

    Example:
        >>> tracks_of([Question("q1", "?", ("a",), ("a.md",)), Question("u1", "?", ())], None)
        {'q1': 'all questions', 'u1': 'all questions'}
    """
    examples = (*dataset.train, *dataset.validation) if dataset else ()
    learnt = {example.source for example in examples if example.source}
    named = {source for question in questions for source in question.sources}
    if not learnt or not named:
        return {question.id: ALL for question in questions}
    learnt = with_twins(learnt, twins or {})
    seen = {source for source in named if any(is_same_source(source, s) for s in learnt)}
    families = {q.family for q in questions if seen.intersection(q.sources)}
    return {
        q.id: SAME
        if seen.intersection(q.sources) or (not q.sources and q.family in families)
        else NEW
        for q in questions
    }


def deciding_track(
    questions: Sequence[Question], tracks: Mapping[str, str], data_change: str
) -> str:
    """Return the track that the recommendation rests on.

    Stable facts may stay in weights, so *same documents* decides there; where documents come and change, *new
    documents*. A track of too few families for a verdict leaves the decision to the other one.
    """
    families: dict[str, set[str]] = {}
    for question in questions:
        families.setdefault(tracks[question.id], set()).add(question.family)
    wanted = SAME if data_change in STABLE else NEW
    order = sorted(families, key=lambda track: track != wanted)
    return next((t for t in order if len(families[t]) >= FEWEST_FAMILIES), _most(families))


_MEANINGS = {
    SAME: "documents that examples come from too (same documents)",
    NEW: "documents that no example comes from (new documents)",
}
_CHANGES = {"never": "never change", "yearly": "change once a year"}


def in_words(counts: Mapping[str, int], track: str, data_change: str) -> str:
    """Return what the results say about tracks: which there are, and which one decides and why."""
    if track == ALL:
        return (
            "Examples or questions name no source, so nobody can say which documents training saw."
        )
    if len(counts) == 1:
        limit = (
            "so what is learnt about a document counts"
            if track == SAME
            else "which favours retrieval for facts"
        )
        return f"All {counts[track]} questions ask about {_MEANINGS[track]}, {limit}."
    change = _CHANGES.get(data_change, f"change {data_change}")
    wanted = SAME if data_change in STABLE else NEW
    why = (
        f"because the facts {change}"
        if track == wanted
        else f"because the others, which would where facts {change}, are from too few families"
    )
    others = " ".join(
        f"{count} ask about {_MEANINGS[name]}." for name, count in counts.items() if name != track
    )
    return f"{counts[track]} questions ask about {_MEANINGS[track]}; they decide, {why}. {others}"


def _most(families: Mapping[str, set[str]]) -> str:
    return max(sorted(families), key=lambda track: len(families[track]))

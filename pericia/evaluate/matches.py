"""Texts against reference texts: each score is 0..1, higher is better, and takes the best of several references.

The text is an answer without its citation markers (`plain_answer`); words and numbers are compared after
`normalise`, which drops the articles of `language`.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy  # loads its parts when they are first used, so that the command line starts at once
from numpy.typing import NDArray

from pericia.evaluate.normalise import normalise, quantities, says

MARKER = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
_LABEL = re.compile(
    r"(?:^|\b(?:answer|option|respuesta|opción|resposta|opção|отговор)\b[\s:]*(?:is|es|é|е)?)"
    r"[\s:(\[*]*(?P<label>[a-h]|\d)(?![\w'’])",
    re.IGNORECASE,
)
_ITEM_END = re.compile(r"\s*(?:[;\n•]|,\s+(?:and|y|e|и)?\s*|\s(?:and|y|e|и)\s)\s*")


def plain_answer(text: str) -> str:
    """Return the answer as all scores read it: without citation markers and the blanks around them.

    Example:
        >>> plain_answer("Close the valve [2], then wait [1, 3].")
        'Close the valve, then wait.'
    """
    return MARKER.sub("", text).strip()


def exact(text: str, references: Sequence[str], language: str = "en") -> float:
    """Return 1.0 if the words equal those of a reference, else 0.0.

    Source: SQuAD `evaluate-v2.0.py`, with numbers kept whole (see `normalise`).

    Example:
        >>> exact("The 350 bar.", ["350bar", "35 MPa"])
        1.0
    """
    words = normalise(text, language)
    return float(any(words == normalise(reference, language) for reference in references))


def token_f1(text: str, references: Sequence[str], language: str = "en") -> float:
    """Return the harmonic mean of precision and recall over words, for the best reference.

    Source: SQuAD `evaluate-v2.0.py`.

    Example:
        >>> token_f1("red safety valve", ["the safety valve"])  # precision 2/3, recall 2/2
        0.8
    """
    return max((_f1(text, reference, language) for reference in references), default=0.0)


def token_recall(text: str, references: Sequence[str], language: str = "en") -> float:
    """Return the share of a reference's words that the answer holds, for the best reference.

    Long answers inflate it, so it is read beside the tokens of the answer.

    Source: Adlakha et al., Evaluating Correctness and Faithfulness of Instruction-Following Models, TACL 2024.

    Example:
        >>> token_recall("It is the safety valve of line 2", ["safety valve", "relief valve"])
        1.0
    """
    return max((_recall(text, reference, language) for reference in references), default=0.0)


def numeric(text: str, references: Sequence[str], language: str = "en") -> float:
    """Return how well the answer's quantities match those of the best reference: F1 over pairs of equal ones.

    Equal means equal after units and scale words, within 1e-6; a missing unit is allowed, a different one is not.
    A reference without a number is compared by `exact`.

    Source: own; TAT-QA's metric multiplies scales in the same way.

    Example:
        >>> numeric("35 MPa", ["350 bar"]), numeric("350 psi", ["350 bar"]), numeric("3 or 4", ["4"])
        (1.0, 0.0, 0.6666666666666666)
    """
    return max((_numeric(text, reference, language) for reference in references), default=0.0)


def set_f1(text: str, references: Sequence[str], language: str = "en") -> float:
    """Return the F1 of the answer's items and a reference's under the best one-to-one pairing by `token_f1`.

    Items are a JSON list, or parted by semicolon, line, comma and "and".

    Source: TAT-QA `tatqa_metric.py`, after DROP.

    Example:
        >>> set_f1("oil, filter", ["filter; oil; belt"])  # precision 2/2, recall 2/3
        0.8
    """
    return max((_set_f1(text, reference, language) for reference in references), default=0.0)


def choice(text: str, references: Sequence[str], _language: str = "en") -> float:
    """Return 1.0 if the answer's label, A to H or a digit, is that of a reference, else 0.0, also without a label.

    The label is the first one that begins the answer or follows "answer", "option" or their like.

    Source: accuracy of multiple choice, as in MMLU; an answer that shows no label counts as wrong.

    Example:
        >>> choice("B) the valve", ["B"]), choice("The answer is (c).", ["C"]), choice("the valve", ["B"])
        (1.0, 1.0, 0.0)
    """
    label = _label(text)
    return float(label != "" and any(label == _label(reference) for reference in references))


def is_label(text: str) -> bool:
    """Return whether a text is nothing but the label of an option.

    Example:
        >>> is_label("B"), is_label("(3)"), is_label("3 bar")
        (True, True, False)
    """
    return len(re.findall(r"\w", text)) == 1 and _label(text) != ""


def format_json(text: str, references: Sequence[str], _language: str = "en") -> float:
    """Return 1.0 if the answer is a JSON object with exactly the keys of a reference, else 0.0.

    Example:
        >>> format_json('{"part": "P7"}', ['{"part": "P9"}']), format_json("P9", ['{"part": "P9"}'])
        (1.0, 0.0)
    """
    found = json_object(text)
    return float(
        found is not None and any(found.keys() == (json_object(r) or {}).keys() for r in references)
    )


def json_fields(text: str, references: Sequence[str], language: str = "en") -> float:
    """Return the share of a reference's fields that the answer has right by `exact`, for the best reference.

    Example:
        >>> json_fields('{"part": "P9", "days": 3}', ['{"part": "p9", "days": 4}'])
        0.5
    """
    found = json_object(text) or {}
    shares = [
        sum(
            k in found and exact(str(found[k]), [str(v)], language) == 1.0
            for k, v in wanted.items()
        )
        / len(wanted)
        for wanted in map(json_object, references)
        if wanted
    ]
    return max(shares, default=0.0)


def terminology(
    text: str, references: Sequence[str], terms: Sequence[str], language: str = "en"
) -> float | None:
    """Return the share of the house terms of the references that the answer uses, None where they hold none.

    Example:
        >>> terminology("Turn the pump off", ["Idle the impeller unit"], ["impeller unit", "idle"])
        0.0
    """
    due = [term for term in terms if any(says(ref, term, language) for ref in references)]
    return sum(says(text, term, language) for term in due) / len(due) if due else None


def k_precision(text: str, passage_texts: Sequence[str], language: str = "en") -> float | None:
    """Return the share of the answer's words that stand in the passages; None for no words.

    Copying a passage scores 1.0, so it is read beside recall.

    Source: Adlakha et al., TACL 2024 (K-Precision).

    Example:
        >>> k_precision("set 350 bar", ["The relief valve is set to 340 bar."])
        0.6666666666666666
    """
    words = normalise(text, language).split()
    known = set(normalise("\n".join(passage_texts), language).split())
    return sum(word in known for word in words) / len(words) if words else None


def _label(text: str) -> str:
    found = _LABEL.search(text.strip())
    return found["label"].casefold() if found else ""


def _f1(text: str, reference: str, language: str) -> float:
    found, wanted = (Counter(normalise(t, language).split()) for t in (text, reference))
    return _harmonic((found & wanted).total(), found.total(), wanted.total())


def _recall(text: str, reference: str, language: str) -> float:
    found, wanted = (Counter(normalise(t, language).split()) for t in (text, reference))
    return (found & wanted).total() / wanted.total() if wanted else 0.0


def _numeric(text: str, reference: str, language: str) -> float:
    found, wanted = quantities(text, language), quantities(reference, language)
    if not wanted:
        return exact(text, [reference], language)
    if not found:
        return 0.0
    match = np.array(
        [
            [
                abs(f.value - w.value) <= 1e-6 * max(1.0, abs(w.value))
                and (f.unit == w.unit or "" in (f.unit, w.unit))
                for w in wanted
            ]
            for f in found
        ],
        dtype=float,
    )
    return _paired_f1(match)


def _set_f1(text: str, reference: str, language: str) -> float:
    found, wanted = _items(text), _items(reference)
    if not found or not wanted:
        return 0.0
    return _paired_f1(np.array([[_f1(f, w, language) for w in wanted] for f in found]))


def _items(text: str) -> list[str]:
    stripped = text.strip().rstrip(".")
    if stripped.startswith("["):
        try:
            value = json.loads(stripped)
        except json.JSONDecodeError:
            value = []
        if value:
            return [str(item) for item in value]
    return [item for item in _ITEM_END.split(stripped) if item]


def _paired_f1(gains: NDArray[np.float64]) -> float:
    rows, columns = scipy.optimize.linear_sum_assignment(gains, maximize=True)
    return _harmonic(float(gains[rows, columns].sum()), *gains.shape)


def _harmonic(common: float, num_found: int, num_wanted: int) -> float:
    return 2 * common / (num_found + num_wanted) if common else 0.0


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that the whole text is, else None."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

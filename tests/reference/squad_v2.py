"""Exact match and F1 as the SQuAD 2.0 script defines them, written again from its description, for comparison only.

Source: https://rajpurkar.github.io/SQuAD-explorer/ (evaluate-v2.0.py: normalize_answer, compute_exact, compute_f1).
Small letters, punctuation out, the articles a, an and the out, one blank between words.
"""

import re
import string
from collections import Counter

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_words(text: str) -> list[str]:
    without_punctuation = text.lower().translate(_PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", without_punctuation).split()


def squad_exact(text: str, references: list[str]) -> float:
    return max(float(squad_words(text) == squad_words(reference)) for reference in references)


def squad_f1(text: str, references: list[str]) -> float:
    return max(_f1(squad_words(text), squad_words(reference)) for reference in references)


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(found), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)

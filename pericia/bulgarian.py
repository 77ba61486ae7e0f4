"""A light stemmer for Bulgarian, for which Snowball has none: articles, plurals and endings of gender come off.

Source: Savoy, Searching Strategies for the Bulgarian Language, Information Retrieval 10, 2007.
"""

# (shortest word that loses it, ending, what takes its place), the first that fits; two tables, one after the other
_ARTICLES = (
    (7, "ият", ""),
    (6, "ът", ""),
    (6, "то", ""),
    (6, "те", ""),
    (6, "та", ""),
    (6, "ия", ""),
    (5, "ят", ""),
)
_PLURALS = (
    (7, "овци", "о"),
    (7, "ове", ""),
    (7, "еве", "й"),
    (6, "ища", ""),
    (6, "та", ""),
    (6, "ци", "к"),
    (6, "зи", "г"),
    (5, "си", "х"),
    (5, "и", ""),
)


def stem(word: str) -> str:
    """Return the stem of a word in small letters; one of less than four is its own.

    Example:
        >>> stem("помпата"), stem("помпите"), stem("помпи"), stem("градове"), stem("градът")
        ('помп', 'помп', 'помп', 'град', 'град')
    """
    if len(word) < 4:
        return word
    if len(word) > 5 and word.endswith("ища"):
        return word[:-3]
    word = _without_plural(_replaced(word, _ARTICLES))
    if len(word) > 3:
        word = word.removesuffix("я")
        word = word[:-1] if word[-1] in "аое" else word
    if len(word) > 4 and word.endswith("ен"):
        word = f"{word[:-2]}н"
    if len(word) > 5 and word[-2] == "ъ":
        word = word[:-2] + word[-1]
    return word


def _without_plural(word: str) -> str:
    # "лента" and "ленти", but "бяла" and "бели": the vowel changes as well
    if (
        len(word) > 5
        and word[-3] == "е"
        and word[-1] == "и"
        and _replaced(word, _PLURALS[:-2]) == word
    ):
        return f"{word[:-3]}я{word[-2]}"
    return _replaced(word, _PLURALS)


def _replaced(word: str, endings: tuple[tuple[int, str, str], ...]) -> str:
    for shortest, ending, instead in endings:
        if len(word) >= shortest and word.endswith(ending):
            return word[: -len(ending)] + instead
    return word

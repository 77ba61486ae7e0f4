"""Words as search sees them: the same for every store, every leg and every check of an answer.

A text becomes tokens in five steps: NFKC and small letters, words (codes like `A-113/B` whole and in parts), stop
words out, stems or character 4-grams, accents off. Folding comes last because stemmers know accents.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from typing import Literal

import snowballstemmer

from pericia import bulgarian

Unit = Literal["surface", "stem", "grams"]

GRAM_SIZE = 4
MAX_TOKEN_LENGTH = (
    200  # longer runs of letters are no words (encoded data); they are cut, not dropped
)

_WORD = re.compile(r"[^\W_]+(?:[-./,:'’_&+#]+[^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


STOP_WORDS: dict[str, frozenset[str]] = {
    "en": _listed(
        """a about after all also an and any are as at be because been before being between both but by can could did
        do does doing during each for from further had has have having he her here hers him his how i if in into is it
        its just me more most my of on once only or other our out over own s same she should so some such t than that
        the their them then there these they this those through to too under until up very was we were what when where
        which while who whom whose why will with would you your"""
    ),
    "es": _listed(
        """a al ante antes aquel aquella aquellas aquellos así aún como con cual cuales cualquier cuando cuanto cuál
        cuáles cuándo cuánta cuántas cuánto cuántos cómo de del desde donde dónde e el ella ellas ellos en entre era
        eran es esa esas ese eso esos esta estas este esto estos está están fue fueron ha han hasta hay la las le les
        lo los me mi mis muy más o para pero por porque que quien quienes quién quiénes qué se sea ser si sin sobre
        son su sus también te tiene tienen tu tus un una unas uno unos y ya yo él"""
    ),
    "pt": _listed(
        """a ao aos aquela aquelas aquele aqueles aquilo as até com como da das de dela delas dele deles depois do dos
        e ela elas ele eles em entre era eram essa essas esse esses esta estas este estes está estão eu foi foram há
        isso isto já lhe lhes mais mas me mesmo meu meus minha muito na nas nem no nos nossa nosso num numa o onde os
        ou para pela pelas pelo pelos por porque qual quais quando quanto quantos quantas que quem se sem ser será seu
        seus sobre sua suas são também te tem têm ter um uma umas uns você à às é"""
    ),
    "bg": _listed(
        """а аз ако ала без беше би бил била били било бъде в вас ви във все всеки всички г ги го да дали до докато
        докога е ето за защо зад и из или им има имат к как каква какво какви какъв към кога кого кое кои който която
        което които колко кой къде ли м между ми на над нас не него нея ни ние но някой о обаче от по под поне преди
        при през с са само се си след сме според сте съм със също т тази така такъв там те тези ти то това тогава
        този той тук тя у че ще я ѝ"""
    ),
}

NEGATIONS = _listed(
    """not no never none without cannot can't isn't aren't don't doesn't mustn't nunca ningún ninguna sin tampoco não
    nenhum nenhuma sem nem не без никога няма нито"""
)

_SNOWBALL = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "fi": "finnish",
    "fr": "french",
    "hi": "hindi",
    "hu": "hungarian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "tr": "turkish",
}

# Measured (benchmarks/retrieval_units.py): Portuguese gains from 4-grams, English loses by stems. Bulgarian is not
# measured; 4-grams bear its many forms, and the light stemmer is there to be chosen.
_BEST_UNIT: dict[str, Unit] = {"en": "surface", "pt": "grams", "bg": "grams"}


def best_unit(language: str) -> Unit:
    """Return the unit that did best for a language; unmeasured ones take stems, or 4-grams where no stemmer exists."""
    return _BEST_UNIT.get(language, "stem" if language in _SNOWBALL else "grams")


def tokens(text: str, language: str = "en", unit: Unit | None = None) -> list[str]:
    """Return the tokens of a text in order, repeated ones included; `unit` None takes the language's best.

    Example:
        >>> tokens("The kilns' valve A-113/B opens at 10.5 bar", "en", "stem")
        ['kiln', 'valv', 'a-113/b', '113', 'b', 'open', '10.5', '10', '5', 'bar']
        >>> tokens("Validação", "pt", "grams")
        ['=validacao', '_val', 'vali', 'alid', 'lida', 'idac', 'daca', 'acao']
    """
    chosen = unit or best_unit(language)
    stop_words = STOP_WORDS.get(language, frozenset())
    return [
        token[:MAX_TOKEN_LENGTH]
        for word in _words(text)
        if word not in stop_words
        for token in _units(word, language, chosen)
    ]


def surface(text: str, language: str = "en") -> list[str]:
    """Return the words themselves without stop words, accents off; for comparing an answer with a passage."""
    return tokens(text, language, "surface")


def numbers(text: str) -> list[str]:
    """Return the numbers of a text in order of appearance, without separators of thousands.

    Example:
        >>> numbers("From 1,250.50 to 3 % [2] in A-113")
        ['1250.50', '3', '113']
    """
    without_references = re.sub(r"\[\d+\]", " ", text)
    found = re.findall(r"\d+(?:[.,\u00a0\u202f]\d+)*", without_references)
    return [re.sub(r"[,\u00a0\u202f](?=\d{3}(?!\d))", "", number) for number in found]


def guess_language(text: str, among: Collection[str] = tuple(STOP_WORDS)) -> str:
    """Return the code of the language whose stop words are most frequent; without any, the first known one.

    Japanese and Chinese are told by their script ("ja", "zh"); Cyrillic counts as "bg".

    Example:
        >>> guess_language("Onde fica a universidade?"), guess_language("Where is the kiln?")
        ('pt', 'en')
    """
    sample = text[:4000]
    known = [language for language in STOP_WORDS if language in among]
    if _CJK.search(sample) and len("".join(_CJK.findall(sample))) > len(sample) / 4:
        return "ja" if re.search(r"[\u3040-\u30ff]", sample) else "zh"
    if len(_CYRILLIC.findall(sample)) > len(sample) / 4:
        return "bg"
    words = Counter(_words(sample))
    hits = {
        language: sum(words[word] for word in STOP_WORDS[language] if word in words)
        for language in known
    }
    if not any(hits.values()):
        return known[0] if known else next(iter(among), "en")
    return max(known, key=lambda language: hits[language])


def sentences(text: str) -> list[tuple[int, int]]:
    """Return start and end of each sentence or table row, in order, without blanks at the ends.

    A line break ends a sentence where the next line starts anew (a row, a list item, a short line before it), not
    where a paragraph was merely wrapped.

    Example:
        >>> text = "Dr. Ruiz checks it. Valve: V2 | Limit: 10.5 bar"
        >>> [text[a:b] for a, b in sentences(text)]
        ['Dr. Ruiz checks it.', 'Valve: V2 | Limit: 10.5 bar']
    """
    found: list[tuple[int, int]] = []
    start = 0
    for end in [*_sentence_ends(text), len(text)]:
        left, right = start, end
        while left < right and text[left].isspace():
            left += 1
        while right > left and text[right - 1].isspace():
            right -= 1
        if right > left:
            found.append((left, right))
        start = end
    return found


_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]|\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[^\W\d_]|dr|dra|mr|mrs|ms|prof|sr|sra|st|no|nr|art|fig|sec|vol|pp?|vs|etc|approx|max|min|inc"
    r"|ltd|co|e\.g|i\.e|p\.ej|ex|núm|nº|тел|стр|чл|ал)\.$",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,3}\.$")
_WRAPPED_LINE = 50  # characters: a shorter line was ended on purpose


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if match.group() == "\n":
            if not _is_wrapped(text, match.start()):
                yield match.end()
            continue
        before = text[max(0, match.start() - 12) : match.start() + 1]
        if not _ABBREVIATION.search(before) and not _LIST_NUMBER.search(before):
            yield match.end()


def _is_wrapped(text: str, newline: int) -> bool:
    """Return whether the line goes on after its break: it is long and open, or the next begins small."""
    before = text[text.rfind("\n", 0, newline) + 1 : newline].rstrip()
    after_end = text.find("\n", newline + 1)
    after = text[newline + 1 : after_end if after_end >= 0 else len(text)].lstrip()
    if not before or not after or " | " in before or " | " in after:
        return False
    if not after[0].isalnum() and after[0] not in "(\"'“":
        return False
    return len(before) >= _WRAPPED_LINE or after[0].islower()


def _words(text: str) -> Iterator[str]:
    """Yield words in small letters; a code is followed by its parts, and scripts without blanks give pairs."""
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).lower()):
        word = match.group()
        if _CJK.search(word):
            yield from _pairs(word)
            continue
        parts = _PART.findall(word)
        if len(parts) == 1:
            yield word
        elif parts[-1] == "s" and len(parts) == 2:  # the English genitive
            yield parts[0]
        else:
            yield word
            yield from parts


def _pairs(word: str) -> Iterator[str]:
    if len(word) == 1:
        yield word
    for i in range(len(word) - 1):
        yield word[i : i + 2]


def _units(word: str, language: str, unit: Unit) -> list[str]:
    if unit == "surface" or _CJK.search(word):
        return [fold(word)]
    if unit == "stem":
        return [fold(_stem(word, language) if word.isalpha() else word)]
    # The whole word counts as well, and a mark shows where it begins: both were measured to help.
    folded = fold(word)
    marked = f"_{folded}" if word.isalpha() else folded
    last = max(1, len(marked) - GRAM_SIZE + 1)
    return [f"={folded}", *(marked[i : i + GRAM_SIZE] for i in range(last))]


def fold(word: str) -> str:
    """Return the word without accents."""
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@cache
def _stemmer(name: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(name)


@cache
def _stem(word: str, language: str) -> str:
    if language == "bg":
        return bulgarian.stem(word)
    if language not in _SNOWBALL:
        return word
    stem: str = _stemmer(_SNOWBALL[language]).stemWord(word)
    return stem

"""A question that goes on from an earlier one becomes one that can be searched for by itself.

An able model writes it anew. Without one, rules do, by the small words of four languages: a question that points back
("its oil") or leaves something out ("and at North Yard?") borrows the names or the words of the question before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pericia import analyser
from pericia.models import Model
from pericia.prompts import is_refusal, rewrite_request
from pericia.types import Message, Usage

MAX_NEW_TOKENS = 96  # of a question written anew
_TURNS = 6  # of the chat that the model reads; what is older is seldom meant
_TURN_CHARS = 1200
_QUESTION_CHARS = 500
_FRAGMENT_WORDS = 4  # a longer question without a verb is a search by keywords
_OPENING_WORDS = 3  # after "and": a question word among them makes it a whole question

_WORD = re.compile(r"[^\W_]+(?:[-./'’&+#]+[^\W_]+)*")
_REFERENCE = re.compile(r"\[\d+\]")
_CELL_LABEL = re.compile(
    r"(?m)^[\s*-]*[^\W\d][^:\n]{0,40}:(?=\s)"
)  # of a record or a row: "- Oil: L-68"
_LABEL = re.compile(r"^\W*(?:(?:standalone |rewritten )?question|query)\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Language:
    """The small words that show that a question does not stand by itself, and those that ask."""

    pointers: frozenset[str]
    openers: re.Pattern[str]
    asking: frozenset[str]
    empty: frozenset[str]  # words that name nothing


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _opening(words: str) -> re.Pattern[str]:
    return re.compile(rf"^\W*(?:{words})\b", re.IGNORECASE)


_LANGUAGES = {
    "en": _Language(
        _listed(
            """it its itself they them their theirs this these those he him his himself she her hers herself one ones
            other others another same former latter"""
        ),
        _opening("and|but|or|also|then|(?:what|how) about|what of"),
        _listed(
            """who whom whose what which when where why how is are was were do does did can could will would has have
            had should must may give name list tell show say find explain"""
        ),
        _listed(
            "one ones other others another same else many much exactly please thing things about"
        ),
    ),
    "es": _Language(
        _listed(
            """él ella ellos ellas eso esa ese esos esas esto este su sus suyo suya otro otra otros otras mismo misma"""
        ),
        _opening("y|e|pero|o|u|también|qué tal|qué hay de|qué pasa con"),
        _listed(
            """quién quiénes qué cuál cuáles cuándo dónde cuánto cuánta cuántos cuántas cómo es son está están tiene
            tienen hay fue di nombra muestra"""
        ),
        _listed("otro otra otros otras mismo misma cosa favor pasa hay tal"),
    ),
    "pt": _Language(
        _listed(
            """ele ela eles elas isso esse essa esses essas isto este dele dela deles delas seu sua seus suas outro
            outra outros outras mesmo mesma"""
        ),
        _opening("e quanto [àa]o?s?|e|mas|ou|também|que tal"),
        _listed(
            """quem que qual quais quando onde quanto quanta quantos quantas como é são está estão tem têm há foi diga
            mostre"""
        ),
        _listed("outro outra outros outras mesmo mesma coisa favor tal"),
    ),
    "bg": _Language(
        _listed(
            """той тя то те него нея тях неговият негова негово негови нейният нейна нейно нейни техният му ѝ им този
            тази това тези онзи онази друг друга друго други другия другият другата другото другите същия същият
            същата същото"""
        ),
        _opening("а|и|ами|но|или|също"),
        _listed("кой коя кое кои какво какъв каква какви кога къде колко как защо е са има дали"),
        _listed("друг друга друго други другия другият другата другото другите същия същата нещо"),
    ),
}
_THAT = re.compile(r"\bthat(?= one\b|\W*$)", re.IGNORECASE)  # not the "that" of a clause


def by_rules(
    question: str, history: Sequence[Message], language: str, *, always: bool = False
) -> str:
    """Return the question, with what it borrows from the chat in parentheses where it does not stand by itself.

    `always` borrows even where nothing in its words shows that it goes on from the chat.

    Example:
        >>> chat = [Message("user", "How heavy is PX-20?"), Message("assistant", "96 kg [1]")]
        >>> by_rules("And its oil?", chat, "en"), by_rules("And PX-40?", chat, "en")
        ('And its oil? (PX-20)', 'And PX-40? (heavy)')
        >>> by_rules("Who built DM-6?", chat, "en")
        'Who built DM-6?'
    """
    asked = answered = ""
    for turn in history:
        if turn.role == "user":
            asked, answered = _joined(turn.content, asked, answered, language, always=False), ""
        elif turn.role == "assistant":
            answered = "" if is_refusal(turn.content) else turn.content
    return _joined(question, asked, answered, language, always=always)


def by_model(question: str, history: Sequence[Message], model: Model) -> tuple[str, Usage] | None:
    """Return the question as the model writes it anew, and what that cost; None where it writes nothing of use.

    Raises:
        ModelError: the model failed.
    """
    turns = [
        Message(turn.role, turn.content[:_TURN_CHARS])
        for turn in history
        if turn.role in ("user", "assistant")
    ][-_TURNS:]
    prompt = rewrite_request(question, turns)
    while turns and model.count_tokens(prompt.messages) + MAX_NEW_TOKENS > model.context_tokens:
        turns = turns[1:]
        prompt = rewrite_request(question, turns)
    if not turns:
        return None
    said = model.generate(prompt, max_new_tokens=MAX_NEW_TOKENS)
    written = _LABEL.sub("", said.text.strip().partition("\n")[0]).strip(" \"“”'`*")
    is_cut = said.finish_reason == "length" or len(written) > _QUESTION_CHARS
    if not written or is_refusal(written) or is_cut:
        return None
    return written, said.usage


def _joined(question: str, asked: str, answered: str, language: str, *, always: bool) -> str:
    """Return the question with what it borrows from the one asked before it, and from what was answered to that."""
    known = _LANGUAGES.get(language, _LANGUAGES["en"])
    names, content = _names(question, language), _content(question, language)
    opens = known.openers.match(question) is not None and not _asks(question, known)
    points = bool(set(_lower(question)) & known.pointers) or _THAT.search(question) is not None
    if names:
        is_whole = not opens and (bool(content) or _asks(question, known))
    else:
        is_whole = not opens and not points and not _is_fragment(question, known)
    if not asked or (is_whole and not always):
        return question
    earlier = [*_names(asked, language), *_told(asked, answered, language)]
    if names:
        borrowed = _content(asked, language)
    elif content:
        borrowed = earlier or _content(asked, language)
    else:
        borrowed = [*_content(asked, language), *earlier]
    own = set(_lower(question))
    wanted = [word for word in dict.fromkeys(borrowed) if word.lower() not in own]
    return f"{question.strip()} ({' '.join(wanted)})" if wanted else question


def _told(asked: str, answered: str, language: str) -> list[str]:
    """Return the names that an answer brought up: no label, and no code where the question was about one already.

    Example:
        >>> _told("Which oil does PX-40 take?", "- Oil: L-68 [1]", "en")
        []
        >>> _told("Who looks after PX-40?", "- Contact: Anna Berg [1]", "en")
        ['Anna', 'Berg']
    """
    names = _names(_CELL_LABEL.sub(" ", _REFERENCE.sub(" ", answered)), language)
    has_code = any(map(_is_code, _names(asked, language)))
    return [name for name in names if not (has_code and _is_code(name))]


def _names(text: str, language: str) -> list[str]:
    """Return the words of names in their order: codes, capitalised words, and numbers behind such a word.

    Example:
        >>> _names("Which oil does Kiln 2 in Mill Lane take, and PX-20?", "en")
        ['Kiln', '2', 'Mill', 'Lane', 'PX-20']
    """
    stop_words = analyser.STOP_WORDS.get(language, frozenset())
    found: list[str] = []
    for start, end in analyser.sentences(text):
        words = _WORD.findall(text[start:end])
        named = [_is_code(w) or (w[0].isupper() and w.lower() not in stop_words) for w in words]
        for i in range(1, len(words)):
            named[i] |= words[i].isdigit() and named[i - 1]
        if words and not _is_code(words[0]):  # every sentence begins with a capital
            named[0] = named[0] and named[1:2] == [True]
        found += [word for word, is_name in zip(words, named, strict=True) if is_name]
    return found


def _content(text: str, language: str) -> list[str]:
    """Return the words of a question that say something and are no names, in their order."""
    known = _LANGUAGES.get(language, _LANGUAGES["en"])
    small = analyser.STOP_WORDS.get(language, frozenset()) | known.pointers | known.asking
    names = set(_names(text, language))
    return [
        word
        for word in _WORD.findall(text)
        if word not in names and word.lower() not in small | known.empty and not word.isdigit()
    ]


def _is_code(word: str) -> bool:
    return any(c.isdigit() for c in word) and any(c.isalpha() for c in word)


def _is_fragment(question: str, known: _Language) -> bool:
    """Return whether a question is a few words without any that asks, such as "The price?"."""
    words = _lower(question)
    return len(words) <= _FRAGMENT_WORDS and not set(words) & known.asking


def _asks(question: str, known: _Language) -> bool:
    """Return whether a question word stands near the beginning, behind an "and" or the like."""
    opening = known.openers.match(question)
    words = _lower(question[opening.end() if opening else 0 :])
    return bool(set(words[:_OPENING_WORDS]) & known.asking)


def _lower(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]

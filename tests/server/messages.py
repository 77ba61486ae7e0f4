"""The page's sentences and their translations: which there are, and catalogues that hold exactly these.

python -m tests.server.messages     adds what is missing to pericia/locale/LANGUAGE/SCREEN.po, untranslated, and
                                    removes what no screen says any more
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from pericia.config import TrainConfig
from pericia.server.ui.frame import HERE
from pericia.server.ui.words import LANGUAGES, LOCALE

SCREENS = (
    "home",
    "documents",
    "ask",
    "examples",
    "train",
    "compare",
    "recommendation",
    "playground",
)
SHARED = "frame"
ADVICE, ERRORS = "advice", "errors"  # what rivers and routes say, marked by `said`
PACKAGE = HERE.parent
_METHODS = [("templates/**.html", "jinja2.ext:babel_extract"), ("ui/**.py", "python")]
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "sentence": (2,), "marked": None}
_OPTIONS = {"templates/**.html": {"silent": "false", "trimmed": "false"}}
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|\{(\w+)\}")
# Templates that are parts of a screen.
_SMALL = {"source": "documents", "grid": "documents", "set": "home"}
Id = str | tuple[str, str]


@dataclass(frozen=True)
class Sentence:
    """What a screen says; with its plural where it counts something."""

    id: Id
    screen: str

    @property
    def forms(self) -> tuple[str, ...]:
        return self.id if isinstance(self.id, tuple) else (self.id,)


def sentences() -> list[Sentence]:
    """Return every sentence of templates and screens once; one of several screens belongs to the frame."""
    found: dict[Id, set[str]] = {}
    options = {key: dict(value) for key, value in _OPTIONS.items()}
    walk = extract_from_dir(HERE, _METHODS, options, _KEYWORDS)
    for name, _line, said, _comments, _context in walk:
        id_: Id = (said[0], said[1]) if isinstance(said, tuple | list) else said
        found.setdefault(id_, set()).add(_screen(Path(name)))
    for name, _line, said, _comments, _context in extract_from_dir(
        PACKAGE, [("**.py", "python")], {}, {"said": None}
    ):
        assert isinstance(said, str)
        found.setdefault(said, set()).add(ADVICE if name.startswith("evaluate") else ERRORS)
    for text in knobs():
        found.setdefault(text, set()).add("train")
    return [
        Sentence(id_, next(iter(screens)) if len(screens) == 1 else SHARED)
        for id_, screens in sorted(found.items(), key=lambda item: str(item[0]))
    ]


def knobs() -> Iterator[str]:
    """Yield help and unit of every setting of a training, which Train shows beside its field."""
    for field in TrainConfig.model_fields.values():
        extra = field.json_schema_extra
        unit = extra.get("unit") if isinstance(extra, dict) else ""
        yield from (text for text in (field.description, unit) if isinstance(text, str) and text)


def _screen(path: Path) -> str:
    stem = path.stem.partition("_")[0]
    stem = _SMALL.get(stem, stem)
    return stem if stem in SCREENS else SHARED


def placeholders(text: str) -> set[str]:
    """Return the names of the values that are filled into a sentence."""
    return {a or b for a, b in _PLACEHOLDER.findall(text)}


def catalogues(language: str) -> dict[str, Catalog]:
    """Return the catalogues of a language as they lie on the disk, by screen."""
    found = {}
    for path in sorted((LOCALE / language).glob("*.po")):
        with path.open("rb") as file:
            found[path.stem] = read_po(file, locale=language)
    return found


def others() -> Iterator[str]:
    """Yield the languages that need a catalogue: all but that of the sources."""
    yield from (language for language in LANGUAGES if language != "en")


def update() -> int:
    """Make the catalogues hold what is said now, and return how many translations are missing."""
    missing = 0
    said = sentences()
    for language in others():
        known = {
            message.id: message.string
            for catalogue in catalogues(language).values()
            for message in catalogue
            if message.id
        }
        for screen in sorted({sentence.screen for sentence in said}):
            made = Catalog(locale=language, project="Pericia", charset="utf-8", fuzzy=False)
            for sentence in said:
                if sentence.screen == screen:
                    id_ = sentence.id[0] if isinstance(sentence.id, tuple) else sentence.id
                    string = known.get(sentence.id, known.get(id_, ""))
                    made.add(sentence.id, string)
                    missing += not all(string if isinstance(string, tuple | list) else [string])
            _write(LOCALE / language / f"{screen}.po", made)
    return missing


def _write(path: Path, catalogue: Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plural = catalogue.plural_forms
    header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    header += f'"Language: {catalogue.locale_identifier}\\n"\n"Plural-Forms: {plural}\\n"\n\n'
    with path.open("wb") as file:
        file.write(header.encode())
        write_po(file, catalogue, omit_header=True, sort_output=True, width=120)


if __name__ == "__main__":
    print(f"{update()} translations are missing")  # noqa: T201

"""Sentences that came without their parts, such as the events of a job: found again by their form, then translated.

The ledger keeps what OpenAI's clients read, which is English text. A template of the catalogues that fits it whole
gives the values back; of a text of several sentences each is looked up by itself.
"""

import re
from dataclasses import dataclass
from functools import cache

from pericia.said import Said
from pericia.server.ui import words

_VALUE = re.compile(r"%\((\w+)\)s")
_SENTENCE_END = re.compile(r"(?<=[.!?])(\s+)|(\n+)")
_LEAST_LETTERS = 10  # of a template without its values: fewer fit anything


def marked(template: str) -> str:
    """Return a template as it is; the catalogues hold what is marked so."""
    return template


# What jobs tell and refuse, in the words of `fine_tuning`, `training`, `work` and `progress`, which are a contract.
EVENTS = (
    marked("Created fine-tuning job: %(id)s"),
    marked("Validating training file: %(id)s"),
    marked("Files validated, moving job to queued state"),
    marked(
        "%(n)s examples, %(epochs)s epochs, batches of %(batch)s, learning rate multiplier %(factor)s"
    ),
    marked("%(n)s examples, %(epochs)s epochs, learning rate %(rate)s"),
    marked("Fine-tuning job started"),
    marked("%(n)s examples of more than %(tokens)s tokens are left out."),
    marked("The learning rate is %(rate)s after its warm-up."),
    marked("Step %(step)s/%(total)s: training loss=%(loss)s, validation loss=%(valid)s"),
    marked("Step %(step)s/%(total)s: training loss=%(loss)s"),
    marked("Fine-tuning job is pausing"),
    marked("Fine-tuning job paused"),
    marked("Fine-tuning job resumed"),
    marked("Fine-tuning job cancelled"),
    marked("The worker was lost; the job goes on from its last checkpoint."),
    marked("The training stopped by a fault of its own; the log has it."),
    marked("The job cannot go on: changed since it began: %(names)s."),
    marked("Bring it back and resume, or start a new job."),
    marked("New fine-tuned model created: %(name)s"),
    marked("The job has successfully completed"),
    marked("%(name)s is an alias on this server; the model trained is %(model)s"),
    marked("Hyperparameter '%(name)s' is not used."),
    marked("'%(name)s' is not used by this server."),
    marked("Fine-tuning job '%(id)s' is %(status)s."),
    marked("Fine-tuning job '%(id)s' is %(status)s, and its model is served."),
    marked("Cancel it, or delete its model, first."),
    marked("Could not find fine tune: %(id)s"),
    marked("A job cannot '%(act)s'."),
)


@dataclass(frozen=True, slots=True)
class _Form:
    """A template as a pattern; `num_letters` is how much of it a text must hold word by word."""

    template: str
    pattern: re.Pattern[str]
    num_letters: int


def heard(text: str, language: str) -> str:
    """Return an English text in a language, as far as its sentences are known to the catalogue.

    Example:
        >>> heard("Step 3/12: training loss=1.20", "es")
        'Paso 3/12: pérdida de entrenamiento=1.20'
    """
    if language == "en" or not text:
        return text
    whole = _sentence(text, language)
    if whole is not None:
        return whole
    parts = (part for part in _SENTENCE_END.split(text) if part)
    return "".join(_sentence(part, language) or part for part in parts)


def _sentence(text: str, language: str) -> str | None:
    if isinstance(text, Said):
        return words.in_language(text, language)
    known: str = words.translations(language).gettext(text)
    if known != text:
        return known
    found = ((form, form.pattern.fullmatch(text)) for form in _forms(language))
    form, match = next(((form, match) for form, match in found if match), (None, None))
    if form is None or match is None:
        return None
    values = {name: heard(value, language) for name, value in match.groupdict().items()}
    return words.in_language(Said(form.template, values), language)


@cache
def _forms(language: str) -> tuple[_Form, ...]:
    """Return the templates with values of a language's catalogue, those that say most first."""
    ids = (message.id for message in words.read_catalogue(language))
    made = (_form(id_) for id_ in ids if isinstance(id_, str) and _VALUE.search(id_))
    able = [form for form in made if form.num_letters >= _LEAST_LETTERS]
    return tuple(sorted(able, key=lambda form: -form.num_letters))


def _form(template: str) -> _Form:
    pieces = _VALUE.split(template)
    texts, names = pieces[::2], pieces[1::2]
    pattern, seen = re.escape(texts[0].replace("%%", "%")), set[str]()
    for name, text in zip(names, texts[1:], strict=True):
        pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
        pattern += re.escape(text.replace("%%", "%"))
        seen.add(name)
    letters = sum(letter.isalpha() for text in texts for letter in text)
    return _Form(template, re.compile(pattern, re.DOTALL), letters)

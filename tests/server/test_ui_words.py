"""Every sentence of the page in every language, and numbers and dates as each writes them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia import documents
from pericia.catalogue import LeftOut, read_left_out, write_left_out
from pericia.config import TrainConfig
from pericia.errors import InputError
from pericia.said import joined
from pericia.server.ui import words
from pericia.server.ui.ask import NOTES
from pericia.server.ui.heard import EVENTS, heard
from tests.evaluate.scripted import SCRIPTS, advise
from tests.server.messages import PACKAGE, catalogues, others, placeholders, sentences

# What these modules refuse or find is read on the page, so they say nothing in English alone.
SPEAKING = [
    "amend",
    "autotrain",
    "autotrain_lines",
    "check",
    "curate",
    "dataset",
    "draft",
    "duplicates",
    "example_faults",
    "examples",
    "export",
    "index",
    "instructlab",
    "library",
    "lookup",
    "plan",
    "preflight",
    "recast",
    "remedies",
    "row_formats",
    "rows",
    "shapes",
    "tool_calls",
    "train",
    "evaluate/arms",
    "evaluate/collect",
    "evaluate/lanes",
    "evaluate/questions",
    "evaluate/records",
    "trainers/local/checks",
    "trainers/local/layers",
    "trainers/local/rows",
    "trainers/local/trainer",
    "server/rehearsal",
    "server/set_up",
    "server/shelf",
    "server/shelf_changes",
    "server/workbench",
    "server/workbench_examples",
    "server/workbench_questions",
    "server/workbench_runs",
    "server/workbench_serve",
    "server/workbench_train",
]


def numbers(text: str) -> list[str]:
    """Return the digits of every number, whatever separates their groups and decimals."""
    return re.findall(r"\d+", re.sub(r"(?<=\d)[.,\s](?=\d)", "", text))


@pytest.mark.parametrize("language", [*others()])
def test_every_sentence_is_translated_with_the_same_values(language: str) -> None:
    known = {
        (message.id, screen): message
        for screen, catalogue in catalogues(language).items()
        for message in catalogue
        if message.id
    }
    faults = []
    for sentence in sentences():
        message = known.pop((sentence.id, sentence.screen), None)
        if message is None:
            faults.append(f"missing in {sentence.screen}.po: {sentence.id!r}")
            continue
        given = message.string if isinstance(message.string, tuple | list) else [message.string]
        forms = [form or "" for form in given]
        if message.fuzzy or not all(forms):
            faults.append(f"untranslated in {sentence.screen}.po: {sentence.id!r}")
            continue
        wanted = set[str]().union(*map(placeholders, sentence.forms))
        strange = set[str]().union(*map(placeholders, forms)) - wanted
        if strange or wanted - placeholders(forms[-1]):  # a singular may leave its number out
            faults.append(f"other values in {sentence.screen}.po: {sentence.id!r}")
    faults += [f"unused in {screen}.po: {id_!r}" for id_, screen in known]
    assert not faults, "Run: python -m tests.server.messages\n" + "\n".join(faults)


def test_sentences_are_found_in_templates_and_screens() -> None:
    said = {sentence.id: sentence.screen for sentence in sentences()}
    assert said["Drop files or folders here"] == "documents"
    assert said["Type a question first."] == "frame"  # said by Ask and by Documents
    assert said[("%(num)s passage", "%(num)s passages")]


def test_numbers_are_written_as_each_language_does() -> None:
    assert words.number(12345.678, "en", 1) == "12,345.7"
    assert words.number(12345.678, "es", 1) == "12.345,7"
    assert words.percent(0.783, "bg", 1) == "78,3%"
    assert words.size(37_145, "pt") == "37 kB"
    assert "2001" in words.moment(1e9, "bg")
    assert words.duration(7200, "es") == "2 horas"
    assert words.language_name("es", "en") == "Spanish"
    assert words.language_name("xx-nothing", "en") == "xx-nothing"


def test_advice_is_said_in_every_language_with_the_same_numbers() -> None:
    for seed, script in enumerate(SCRIPTS.values()):
        advice = advise(script, (5,) * 30, seed)
        texts = (advice.sentence, advice.confidence, advice.next_step, *advice.reasons)
        for text in (*texts, *advice.would_change):
            assert words.in_language(text, "en") == text
            for language in others():
                said = words.in_language(text, language)
                assert said != text, f"not said in {language}: {text}"
                assert numbers(said) == numbers(text)


def test_why_a_file_was_left_out_is_said_in_every_language(tmp_path: Path) -> None:
    (tmp_path / "old.pdf").touch()
    with pytest.raises(InputError) as caught:
        documents.read(tmp_path / "old.pdf", "old.pdf")
    why = joined([caught.value.message, caught.value.hint])
    write_left_out(tmp_path, LeftOut((("old.pdf", why),), (("a.md", "as it is"),)))
    kept = read_left_out(tmp_path)
    assert kept == LeftOut((("old.pdf", why),), (("a.md", "as it is"),))
    for language in others():
        text = words.in_language(kept.skipped[0][1], language)
        assert "old.pdf" in text
        assert not set(text.split()) & set(why.split()) - {"'old.pdf'"}
        assert words.in_language(kept.notes[0][1], language) == "as it is"


def test_what_an_answer_remarks_is_known_to_the_page() -> None:
    assert set(NOTES) <= {sentence.id for sentence in sentences()}


@given(st.text())
def test_any_accept_language_gives_a_language(header: str) -> None:
    assert words.choose_language(None, header) in words.LANGUAGES


def test_the_choice_counts_more_than_the_browser() -> None:
    assert words.choose_language("bg", "es") == "bg"
    assert words.choose_language("xx", "es;q=0.2, pt;q=0.9") == "pt"
    assert words.choose_language(None, "de, es;q=0") == "en"


@pytest.mark.parametrize("name", SPEAKING)
def test_what_the_page_shows_is_said_so_that_it_can_be_translated(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    raw = [f"{path.name}:{line}: {text}" for line, text in _unsaid(ast.parse(path.read_text()))]
    assert not raw, "Say it by `said`:\n" + "\n".join(raw)


def _unsaid(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the texts of several words that are given to an error or a finding as they are, with their line."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", "")
        if name.endswith("Error") or name in ("Finding", "Line", "BadRow"):
            given = [*call.args, *(word.value for word in call.keywords if word.arg == "hint")]
            for part in given:
                if isinstance(part, ast.JoinedStr | ast.Constant) and " " in ast.unparse(part):
                    yield part.lineno, ast.unparse(part)


def test_a_text_that_is_not_said_is_seen() -> None:
    tree = ast.parse('raise InputError(f"No {x} here.", hint=said("Mend it."))')
    assert [*_unsaid(tree)] == [(1, "f'No {x} here.'")]


@pytest.mark.parametrize("language", [*others()])
def test_what_a_job_tells_is_heard_in_every_language(language: str) -> None:
    for template in EVENTS:
        text = re.sub(r"%\((\w+)\)s", "7", template)
        said = heard(text, language)
        assert said != text
        assert numbers(said) == numbers(text)


def test_a_text_of_several_sentences_is_heard_sentence_by_sentence() -> None:
    text = "'a.jsonl' holds no example. Each line holds one JSON object. Quite unheard of."
    assert heard(text, "es") == (
        "'a.jsonl' no contiene ningún ejemplo. Cada línea contiene un objeto JSON. Quite unheard of."
    )
    assert heard(text, "en") == text


@given(st.text(max_size=80))
def test_any_text_can_be_heard(text: str) -> None:
    assert heard(text, "bg") or not text


def test_help_of_every_setting_of_a_training_is_translated() -> None:
    for field in TrainConfig.model_fields.values():
        assert field.description
        for language in others():
            assert words.in_language(field.description, language) != field.description

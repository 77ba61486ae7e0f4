import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia import analyser


def test_codes_and_numbers_stay_whole_and_can_be_found_by_their_parts() -> None:
    found = analyser.tokens("Valve A-113/B, 10.5 bar, ISO-9001", "en", "surface")
    assert {"a-113/b", "113", "10.5", "iso-9001", "9001", "iso"} <= set(found)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "inspections", "inspection"),
        ("es", "inspecciones", "inspección"),
        ("pt", "requisitos", "requisito"),
        ("bg", "проверките", "проверка"),
    ],
)
def test_forms_of_a_word_share_a_token(language: str, one: str, other: str) -> None:
    unit: analyser.Unit = "grams" if language == "bg" else "stem"
    assert set(analyser.tokens(one, language, unit)) & set(analyser.tokens(other, language, unit))


@pytest.mark.parametrize(
    ("forms", "stem"),
    [
        ("помпа помпата помпи помпите", "помп"),
        ("град градът града градове градовете", "град"),
        ("налягане налягането", "наляган"),
        ("клапан клапанът клапани клапаните", "клапан"),
        ("договор договора договори договорите", "договор"),
        ("срок срока срокът срокове", "срок"),
        ("вид", "вид"),
    ],
)
def test_bulgarian_articles_and_plurals_come_off(forms: str, stem: str) -> None:
    assert {analyser.tokens(form, "bg", "stem")[0] for form in forms.split()} == {stem}


@pytest.mark.parametrize(
    ("language", "question", "words"),
    [
        ("es", "¿Cuál es la presión de la bomba y dónde está?", ["presion", "bomba"]),
        ("pt", "Qual é a pressão da bomba e onde ela está?", ["pressao", "bomba"]),
        ("bg", "Какво е налягането на помпата и къде е тя?", ["налягането", "помпата"]),
    ],
)
def test_the_small_words_of_a_question_are_left_out(
    language: str, question: str, words: list[str]
) -> None:
    assert analyser.surface(question, language) == words


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is the kiln and how hot does it get?", "en"),
        ("¿Cuál es la presión de la bomba?", "es"),
        ("Quais são os requisitos do curso?", "pt"),
        ("Къде е помпата и какво е налягането?", "bg"),
        ("温度はどのくらいですか", "ja"),
        ("42", "en"),
    ],
)
def test_the_language_is_told_by_its_small_words(text: str, language: str) -> None:
    assert analyser.guess_language(text) == language


def test_a_guess_stays_among_the_languages_of_the_documents() -> None:
    assert analyser.guess_language("Where is it?", among=("pt",)) == "pt"


def test_sentences_end_at_rows_and_stops_but_not_at_wrapped_lines() -> None:
    text = (
        "The kiln of Dr. Ruiz, which stands in the second hall, runs\nat 900 degrees. It is old.\n"
        "Model: P-7 | Pressure: 42 bar\nModel: P-8 | Pressure: 10.5 bar\n\n1. Open the valve.\n2. Wait."
    )
    assert [text[a:b] for a, b in analyser.sentences(text)] == [
        "The kiln of Dr. Ruiz, which stands in the second hall, runs\nat 900 degrees.",
        "It is old.",
        "Model: P-7 | Pressure: 42 bar",
        "Model: P-8 | Pressure: 10.5 bar",
        "1. Open the valve.",
        "2. Wait.",
    ]


@given(st.text(alphabet=st.sampled_from("aB é.!?\n|1-x。"), max_size=80))
def test_sentences_lose_no_text(text: str) -> None:
    spans = analyser.sentences(text)
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
    assert all(a < b for a, b in spans)
    assert spans == sorted(spans)


@given(st.text(max_size=60), st.sampled_from(["en", "pt", "bg", "xx"]))
def test_tokens_hold_no_blanks(text: str, language: str) -> None:
    for unit in ("surface", "stem", "grams"):
        assert all(
            t and not any(c.isspace() for c in t) for t in analyser.tokens(text, language, unit)
        )

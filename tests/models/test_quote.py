import pytest

from pericia import models
from pericia.prompts import REFUSAL, closed_book_prompt, open_book_prompt
from pericia.types import Context, Passage
from tests.passages import passage

PASSAGES = (
    passage("The kiln is old. It was built in 1987. Kiln 3 runs at 900 degrees.", 1),
    passage("Pump P-7 holds 42 bar. Pump P-8 holds 10.5 bar.", 2),
    passage("Model: PX-20 | Price: 310 EUR | Weight: 12 kg", 3),
    passage("A licença exige dois anos de trabalho. O prazo é de trinta dias.", 4, language="pt"),
)


def ask(question: str, passages: tuple[Passage, ...] = PASSAGES) -> str:
    model: models.Model = models.load("quote")
    prompt = open_book_prompt(question, Context(passages))
    return model.generate(prompt, max_new_tokens=64).text


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How hot does kiln 3 run?", "Kiln 3 runs at 900 degrees. [1]"),
        ("How much bar does P-8 hold?", "Pump P-8 holds 10.5 bar. [2]"),
        ("What is the weight of the PX-20?", "Weight: 12 kg [3]"),
        ("Qual é o prazo?", "O prazo é de trinta dias. [4]"),
    ],
)
def test_the_sentence_or_cell_that_fits_is_quoted(question: str, expected: str) -> None:
    passages = PASSAGES[3:] if expected.endswith("[4]") else PASSAGES[:3]
    assert ask(question, passages) == (
        expected.replace("[4]", "[1]") if len(passages) == 1 else expected
    )


def test_another_form_of_a_word_is_the_same_word() -> None:
    seen = "If you want to see one at work: PX-20 stands in Mill Lane Works, at the end of the test hall."
    passages = (passage(f"{seen} PX-20 works at 24 bar. Its oil is L-46.", 1),)
    assert ask("At what pressure does PX-20 work?", passages) == "PX-20 works at 24 bar. [1]"


def test_nothing_that_fits_is_a_refusal() -> None:
    assert ask("Who discovered Pluto?") == REFUSAL
    assert ask("How hot is the kiln?", ()) == REFUSAL
    model = models.load("quote")
    assert model.generate(closed_book_prompt("How hot?"), max_new_tokens=9).text == REFUSAL


def test_the_answer_is_streamed() -> None:
    heard: list[str] = []
    prompt = open_book_prompt("How hot does kiln 3 run?", Context(PASSAGES))
    said = models.load("quote").generate(prompt, max_new_tokens=64, on_text=heard.append)
    assert "".join(heard) == said.text

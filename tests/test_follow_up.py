from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia.follow_up import by_model, by_rules
from pericia.prompts import REWRITE
from pericia.types import Message
from tests.fakes import FakeModel

EXAMPLE = Path(__file__).parent.parent / "examples" / "ostermill"


def chat(*turns: str) -> list[Message]:
    """Return turns by user and assistant in alternation."""
    return [Message("assistant" if i % 2 else "user", turn) for i, turn in enumerate(turns)]


@pytest.mark.parametrize(
    ("turns", "question", "language", "borrowed"),
    [
        (["How heavy is PX-20?", "96 kg [1]"], "And its oil?", "en", "PX-20"),
        (["How heavy is PX-20?", "96 kg [1]"], "What oil does it take?", "en", "PX-20"),
        (["How heavy is PX-20?", "96 kg [1]"], "What about PX-40?", "en", "heavy"),
        (["How heavy is PX-20?", "96 kg [1]"], "The price?", "en", "PX-20"),
        (["Give the fire key of North Yard.", "FK-47"], "And for Mill Lane?", "en", "fire key"),
        (["Who leads the service?", "Greta Olsen [1]"], "When did she join?", "en", "Greta Olsen"),
        (
            ["How heavy is PX-20?", "96 kg", "And its oil?", "L-46"],
            "And how much of it?",
            "en",
            "oil PX-20",
        ),
        (["How heavy is it?", "96 kg"], "What about the other one?", "en", "heavy"),
        (["¿Cuánto pesa la PX-20?", "96 kg"], "¿Y su aceite?", "es", "PX-20"),
        (["¿Cuánto pesa la PX-20?", "96 kg"], "¿Y la PX-40?", "es", "pesa"),
        (["Quanto pesa a PX-20?", "96 kg"], "E quanto ao óleo?", "pt", "PX-20"),
        (["Quanto pesa a PX-20?", "96 kg"], "E a PX-40?", "pt", "pesa"),
        (["Колко тежи PX-20?", "96 kg"], "А маслото ѝ?", "bg", "PX-20"),
        (["Колко тежи PX-20?", "96 kg"], "А PX-40?", "bg", "тежи"),
    ],
)
def test_a_follow_up_borrows_the_names_or_the_words_that_it_leaves_out(
    turns: list[str], question: str, language: str, borrowed: str
) -> None:
    assert by_rules(question, chat(*turns), language) == f"{question} ({borrowed})"


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Who built DM-6?", "en"),
        ("And who built DM-6?", "en"),
        ("Which of the parts that visitors touch are hot?", "en"),
        ("What is the night code of Oakfield Plant?", "en"),
        ("¿Quién fabricó la DM-6?", "es"),
        ("Quem fabricou a DM-6?", "pt"),
        ("Кой е произвел DM-6?", "bg"),
    ],
)
def test_a_question_that_stands_by_itself_is_left_alone(question: str, language: str) -> None:
    earlier = chat("How heavy is PX-20?", "96 kg [1]")
    assert by_rules(question, earlier, language) == question
    assert by_rules(question, [], language) == question


def test_a_refusal_lends_no_names() -> None:
    earlier = chat("Who leads the Dry Dock?", "I don't know. Ask Greta Olsen.")
    assert by_rules("And when did they join?", earlier, "en").endswith("(Dry Dock)")


@given(
    st.lists(st.text(max_size=60), max_size=6),
    st.text(max_size=60),
    st.sampled_from(["en", "pt", "ja"]),
)
def test_any_chat_can_be_read_and_the_question_stands_first(
    turns: list[str], question: str, language: str
) -> None:
    for always in (False, True):
        made = by_rules(question, chat(*turns), language, always=always)
        assert made == question or made.startswith(f"{question.strip()} (")


def test_a_model_writes_the_question_anew_from_the_chat() -> None:
    model = FakeModel(['Question: "Which oil does PX-20 take?"\nIt is about oil.'])
    written = by_model("And its oil?", chat("How heavy is PX-20?", "96 kg"), model)
    assert written is not None
    assert written[0] == "Which oil does PX-20 take?"
    assert written[1].tokens_in > 0
    [prompt] = model.prompts
    assert prompt.messages[0].content == REWRITE
    assert prompt.messages[1].content == (
        "User: How heavy is PX-20?\nAssistant: 96 kg\nLast question: And its oil?"
    )


@pytest.mark.parametrize("reply", ["", "I don't know.", "word " * 200])
def test_a_reply_that_is_no_question_is_not_taken(reply: str) -> None:
    assert by_model("And its oil?", chat("How heavy is PX-20?"), FakeModel([reply])) is None


def test_a_chat_too_long_for_the_model_loses_its_oldest_turns() -> None:
    turns = chat("old " * 100, "old " * 100, "How heavy is PX-20?", "96 kg")
    model = FakeModel(["Which oil does PX-20 take?"], context_tokens=170)
    assert by_model("And its oil?", turns, model) is not None
    [prompt] = model.prompts
    assert "old" not in prompt.messages[1].content
    assert by_model("And its oil?", chat("old " * 300), FakeModel(context_tokens=100)) is None

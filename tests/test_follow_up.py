from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericia import embedders, models
from pericia.answer import Library, answer, find, text_counter, understand
from pericia.catalogue import read_catalogue
from pericia.config import RetrievalConfig
from pericia.follow_up import by_model, by_rules
from pericia.index import TABLES, index_folder, open_store, sync
from pericia.prompts import REFUSAL, REWRITE
from pericia.tables import TableStore
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


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The example company's handbook and bulletins, with the bundled embedder."""
    folder = tmp_path_factory.mktemp("index")
    embedder = embedders.load("minilm")
    settings = RetrievalConfig(top_k=3)
    documents = EXAMPLE / "documents"
    sync(
        [documents / "handbook", documents / "sites", documents / "people"],
        folder=folder,
        store_name="lance",
        embedder=embedder,
        settings=settings,
        root=EXAMPLE,
    )
    own = index_folder(folder, embedder.name)
    store = open_store(folder, "lance", embedder)
    return Library(store, embedder, settings, read_catalogue(own), TableStore(own / TABLES))


@pytest.mark.parametrize(
    ("turns", "question", "source"),
    [
        (["How heavy is PX-20?", "96 kg [1]"], "And its oil?", "px-20.pdf"),
        (["How heavy is PX-40?", "210 kg [1]"], "Which oil does it take?", "px-40.pdf"),
        (["How heavy is PX-20?", "96 kg [1]"], "What about PX-65?", "px-65.pdf"),
        (["Which oil does HP-110 take?", "H-32 [1]"], "And who built it?", "hp-110.pdf"),
        (["What is the tank volume of DM-6?", "120 litres [1]"], "Who built it?", "dm-6.docx"),
        (["What is the cooling time for TD-30?", "50 minutes"], "And its weight?", "td-30.html"),
    ],
)
def test_the_example_s_documents_are_found_for_follow_ups(
    library: Library, turns: list[str], question: str, source: str
) -> None:
    quote = models.load("quote")
    meant = understand(question, library, quote, history=chat(*turns))
    assert meant.by_rules
    first = find(meant.question, library, text_counter(quote)).passages[0]
    assert first.chunk.source.endswith(source)


def test_an_answer_in_a_chat_is_about_what_the_chat_is_about_and_says_how_it_was_read(
    library: Library,
) -> None:
    quote = models.load("quote")
    asked = {"instruction": "Answer.", "max_new_tokens": 32}
    turns = chat("How heavy is PX-20?", "96 kg [1]")
    said = answer("And which oil does it take?", library, quote, history=turns, **asked)  # type: ignore[arg-type]
    assert "L-46" in said.text
    assert said.citations[0].source.endswith("px-20.pdf")
    assert said.notes == ("The question was read as: And which oil does it take? (PX-20)",)
    alone = answer("Which oil does HP-110 take?", library, quote, history=turns, **asked)  # type: ignore[arg-type]
    assert "H-32" in alone.text
    assert alone.notes == ()


def test_an_able_model_is_asked_once_for_the_question_and_what_it_spent_counts(
    library: Library,
) -> None:
    model = FakeModel(["Which oil does PX-20 take?", "L-46 [1]"], context_tokens=2000)
    turns = chat("How heavy is PX-20?", "96 kg [1]")
    said = answer(
        "And its oil?", library, model, instruction="Answer.", max_new_tokens=32, history=turns
    )
    rewriting, reading = model.prompts
    assert rewriting.messages[0].content == REWRITE
    assert reading.question == "Which oil does PX-20 take?"
    assert said.text == "L-46 [1]"
    alone = FakeModel(["L-46 [1]"], context_tokens=2000)
    direct = answer(
        reading.question, library, alone, instruction="Answer.", max_new_tokens=32
    ).usage
    assert said.usage.tokens_in == direct.tokens_in + model.count_tokens(rewriting.messages)
    assert said.notes == ("The question was read as: Which oil does PX-20 take?",)


def test_what_finds_nothing_by_itself_is_searched_with_the_chat_before_it_is_refused(
    library: Library,
) -> None:
    turns = chat("How heavy is PX-20?", "96 kg [1]")
    meant = understand("Zubrowka quux xylo frobnicates?", library, FakeModel(), history=turns)
    assert meant.question == "You said: Zubrowka quux xylo frobnicates?"
    rules = RetrievalConfig(top_k=3, follow_ups="rules")
    by_rule = Library(library.store, library.embedder, rules, library.catalogue)
    meant = understand("Zubrowka quux xylo frobnicates?", by_rule, FakeModel(), history=turns)
    assert meant.question == "Zubrowka quux xylo frobnicates? (PX-20)"
    off = Library(
        library.store, library.embedder, RetrievalConfig(follow_ups="off"), library.catalogue
    )
    assert understand("And its oil?", off, FakeModel(), history=turns).question == "And its oil?"
    assert REFUSAL not in meant.question

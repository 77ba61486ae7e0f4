from dataclasses import replace
from pathlib import Path

import pytest

from pericia import embedders, models
from pericia.answer import answer, find, prepare, text_counter
from pericia.catalogue import read_catalogue
from pericia.config import RetrievalConfig
from pericia.index import TABLES, index_folder, open_store, sync
from pericia.library import Library
from pericia.prompts import REWRITE
from pericia.tables import TableStore
from pericia.types import Message
from pericia.understand import Understood, understand, with_chat
from tests.fakes import FakeModel

EXAMPLE = Path(__file__).parent.parent / "examples" / "ostermill"


def chat(*turns: str) -> list[Message]:
    roles = ("user", "assistant")
    return [Message(roles[i % 2], turn) for i, turn in enumerate(turns)]  # type: ignore[arg-type]


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
    assert meant.completed_by == "rules"
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
    question = "Who frobnicated the zubrowka?"
    by_model = FakeModel()
    assert understand(question, library, by_model, history=turns).completed_by == "model"
    rules = RetrievalConfig(top_k=3, follow_ups="rules")
    library = replace(library, settings=rules)
    meant = understand(question, library, FakeModel(), history=turns)
    assert meant == Understood(question)
    asked = prepare(
        question,
        library,
        FakeModel(context_tokens=2000),
        instruction="Answer.",
        max_new_tokens=32,
        history=turns,
    )
    assert asked.understood.question == "Who frobnicated the zubrowka? (PX-20)"
    assert asked.understood.notes == (f"The question was read as: {asked.understood.question}",)
    assert asked.settled is None
    assert asked.context.passages[0].chunk.source.endswith("px-20.pdf")


def test_follow_ups_are_left_alone_where_that_is_set(library: Library) -> None:
    turns = chat("How heavy is PX-20?", "96 kg [1]")
    off = replace(library, settings=RetrievalConfig(follow_ups="off"))
    meant = understand("And its oil?", off, FakeModel(), history=turns)
    assert meant == Understood("And its oil?")
    assert with_chat(meant, turns, off) is None

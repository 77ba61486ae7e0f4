from pathlib import Path

import pytest

from pericia import models
from pericia.answer import answer, find, respond, text_counter
from pericia.catalogue import read_catalogue
from pericia.config import RetrievalConfig
from pericia.errors import InputError
from pericia.index import TABLES, index_folder, open_store, sync
from pericia.library import Library
from pericia.prompts import REFUSAL, open_book_prompt
from pericia.tables import TableStore
from pericia.types import Answer, Context
from tests.fakes import FakeEmbedder, FakeModel
from tests.passages import passage

INSTRUCTION = "Answer in as few words as you can."


@pytest.fixture
def library(tmp_path: Path) -> Library:
    docs = tmp_path / "docs"
    docs.mkdir()
    text = "# Kiln 3\n\nThe kiln runs at 900 degrees.\n\n# Pump\n\nThe pump holds 42 bar.\n"
    (docs / "plant.md").write_text(text, encoding="utf-8")
    (docs / "prices.csv").write_text(
        "Model,Price\nPX-20,310 EUR\nPX-30,420 EUR\n", encoding="utf-8"
    )
    embedder = FakeEmbedder()
    settings = RetrievalConfig(language="en")
    folder = tmp_path / "index"
    sync([docs], folder=folder, store_name="lance", embedder=embedder, settings=settings, root=docs)
    store = open_store(folder, "lance", embedder)
    own = index_folder(folder, embedder.name)
    return Library(store, embedder, settings, read_catalogue(own), TableStore(own / TABLES))


def ask(question: str, library: Library, model: models.Model) -> Answer:
    return answer(question, library, model, instruction=INSTRUCTION, max_new_tokens=32)


def test_the_passages_are_in_the_prompt_that_the_model_reads(library: Library) -> None:
    model = FakeModel(["42 bar [1]"])
    answered = ask("How many bar does the pump hold?", library, model)
    [prompt] = model.prompts
    assert answered.passages
    for number, shown in enumerate(answered.passages, start=1):
        assert f"[{number}]" in prompt.messages[-1].content
        assert shown.chunk.text in prompt.messages[-1].content


def test_an_answer_is_cited_to_its_line_or_cells(library: Library) -> None:
    quote = models.load("quote")
    said = ask("How many bar does the pump hold?", library, quote)
    assert "42 bar" in said.text
    [citation] = said.citations
    assert (citation.source, citation.line, citation.verified) == ("plant.md", 7, True)
    assert citation.quote == "The pump holds 42 bar."

    said = ask("What is the price of the PX-30?", library, quote)
    assert said.text.startswith("Price: 420 EUR [")
    [citation] = said.citations
    assert (citation.source, citation.cell, citation.verified) == ("prices.csv", "A3:B3", True)


def test_a_sum_that_no_table_gave_is_marked_as_read_in_a_passage(library: Library) -> None:
    computed = ask("What is the total price?", library, FakeModel([]))
    assert (computed.text, computed.notes) == ("730 EUR [1]", ())
    said = ask("What is the total price of good pumps?", library, FakeModel(["310 EUR [1]"]))
    assert "may be a part only" in said.notes[0]
    assert ask("What is the price of PX-20?", library, FakeModel(["310 EUR [1]"])).notes == ()


def test_a_file_that_changed_since_makes_its_citation_unverified(library: Library) -> None:
    path = Path(library.catalogue.files["plant.md"].path)
    path.write_text("The pump holds 43 bar.", encoding="utf-8")
    [citation] = ask(
        "How many bar does the pump hold?", library, FakeModel(["It holds [1]"])
    ).citations
    assert not citation.verified
    assert citation.reason == "the file has changed since it was indexed"
    path.unlink()
    [citation] = ask(
        "How many bar does the pump hold?", library, FakeModel(["It holds [1]"])
    ).citations
    assert citation.reason == "the file is gone since it was indexed"


def test_a_question_about_nothing_here_is_refused_without_asking_the_model(
    library: Library,
) -> None:
    model = FakeModel()
    heard: list[str] = []
    said = answer(
        "Who wrote Hyperion?",
        Library(library.store, FarEmbedder(), library.settings, library.catalogue),
        model,
        instruction=INSTRUCTION,
        max_new_tokens=8,
        on_text=heard.append,
    )
    assert (said.text, said.refused, said.citations, heard) == (REFUSAL, True, (), [REFUSAL])
    assert model.prompts == []


class FarEmbedder(FakeEmbedder):
    """Puts every question opposite to every passage."""

    def embed_questions(self, texts):  # type: ignore[no-untyped-def]
        return -super().embed_passages(texts)


def test_a_refusal_of_the_model_has_no_citations() -> None:
    prompt = open_book_prompt("q", Context((passage("text"),)))
    said = respond(prompt, FakeModel(["I don't know. [1]"]), max_new_tokens=9)
    assert said.refused
    assert said.citations == ()
    assert respond(prompt, FakeModel([" "]), max_new_tokens=9).text == REFUSAL


def test_an_empty_question_is_refused_as_input(library: Library) -> None:
    with pytest.raises(InputError, match="empty"):
        ask("  ", library, FakeModel())


def test_the_context_leaves_room_for_the_answer(library: Library) -> None:
    with pytest.raises(InputError, match="No passage fits"):
        ask("How many bar does the pump hold?", library, FakeModel(context_tokens=80))
    small = FakeModel(context_tokens=115)
    said = ask("How many bar does the pump hold?", library, small)
    assert len(said.passages) < len(
        find("How many bar does the pump hold?", library, text_counter(small)).passages
    )
    assert small.prompts

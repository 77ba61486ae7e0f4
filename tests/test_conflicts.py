import os
from dataclasses import replace
from pathlib import Path

import pytest

from pericia import models
from pericia.answer import answer
from pericia.catalogue import read_catalogue
from pericia.config import RetrievalConfig
from pericia.conflicts import are_related, contradicts, newest_first, notes_on
from pericia.editions import edition
from pericia.index import index_folder, open_store, sync
from pericia.library import Library
from pericia.types import Answer, Chunk, Citation
from tests.fakes import FakeEmbedder, FakeModel
from tests.passages import passage


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("Refunds are paid within 30 days.", "A refund is paid within 14 days.", "en"),
        ("PX-20 works at 24 bar.", "PX-20 works at 26 bar.", "en"),
        ("Visitors may enter the hall alone.", "Visitors may not enter the hall alone.", "en"),
        ("Model: PX-20 | Price: 310 EUR", "Model: PX-20 | Price: 335 EUR", "en"),
        ("El plazo de devolución es de 30 días.", "El plazo de devolución es de 14 días.", "es"),
        ("Срокът за връщане е 30 дни.", "Срокът за връщане е 14 дни.", "bg"),
    ],
)
def test_the_same_said_with_another_number_or_a_not_is_a_contradiction(
    one: str, other: str, language: str
) -> None:
    one = one.replace("Refunds are", "A refund is")
    assert contradicts(one, other, language)
    assert contradicts(other, one, language)
    assert not contradicts(one, one, language)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PX-20 works at 24 bar.", "PX-40 works at 26 bar."),
        ("Model: PX-20 | Price: 310 EUR", "Model: PX-40 | Price: 335 EUR"),
        ("Kiln 2 needs a permit of 3 days.", "Kiln 3 needs a permit of 3 days."),
        ("Mill Lane opens at 8.", "North Yard opens at 7."),
        ("The limit is 5.", "A limit is 6."),
        ("The pump holds 42 bar.", "The kiln runs at 900 degrees."),
        ("Bolts: 4 of 12 mm and 6 of 30 mm.", "Bolts: 8 of 16 mm and 6 of 30 mm."),
    ],
)
def test_other_things_and_other_lists_are_none(one: str, other: str) -> None:
    assert not contradicts(one, other, "en")


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        (("px-20.pdf", "Weight"), ("px-40.pdf", "Weight"), False),
        (("hp.pdf", ""), ("hp.docx", ""), True),
        (("travel-2022.md", "Hotels"), ("old/Travel 2024.docx", ""), True),
        (("travel rules.md", "Hotels"), ("rules of 2020.md", "Hotels"), True),
        (("travel rules.md", "Hotels"), ("rules of 2020.md", "Flights"), False),
        (("kiln.md", "Weight"), ("press.md", "Weight"), False),
        (("bulletin-01.md", "Repair"), ("bulletin-02.md", "Repair"), False),
    ],
)
def test_only_documents_about_the_same_are_compared(
    one: tuple[str, str], other: tuple[str, str], related: bool
) -> None:
    first, second = (
        passage("It weighs 96 kg.", source=source, heading=heading).chunk
        for source, heading in (one, other)
    )
    assert are_related(first, second) == are_related(second, first) == related


def test_elsewhere_a_sentence_must_begin_with_the_same_code() -> None:
    one = "PX-20 works at 24 bar."
    assert contradicts(one, "PX-20 works at 26 bar.", "en", related=False)
    assert not contradicts("It weighs 96 kg.", "It weighs 210 kg.", "en", related=False)
    oil = "It takes 12 litres of L-46."
    assert not contradicts(oil, oil.replace("12", "18"), "en", related=False)


OLD = "Refunds need a receipt. Refunds are paid within 30 days."
NEW = "Refunds need a receipt. Refunds are paid within 14 days."


def by_name(chunk: Chunk):  # type: ignore[no-untyped-def]
    return edition(chunk.source, chunk.text, 0)


def test_the_newer_passage_comes_first_and_the_rest_stays() -> None:
    other = passage("Kilns are hot.", source="kilns.md")
    old, new = passage(OLD, source="refunds-v1.md"), passage(NEW, source="refunds-v2.md")
    ordered = newest_first([old, other, new], by_name)
    assert [p.chunk.source for p in ordered] == ["refunds-v2.md", "kilns.md", "refunds-v1.md"]
    assert [p.rank for p in ordered] == [1, 2, 3]
    assert [p.chunk for p in newest_first(ordered, by_name)] == [p.chunk for p in ordered]


def test_a_note_names_each_document_that_says_otherwise() -> None:
    old, new = passage(OLD, source="refunds-v1.md"), passage(NEW, source="refunds-v2.md")
    cited = Citation(1, new.chunk.source, "Refunds are paid within 14 days.", verified=True)
    [note] = notes_on([cited], [new, old], by_name)
    assert note == (
        "An older document says otherwise: “Refunds are paid within 30 days.” (refunds-v1.md)"
    )
    cited = replace(cited, number=2, source=old.chunk.source, quote=OLD.partition(". ")[2])
    [note] = notes_on([cited], [new, old], by_name)
    assert note.startswith("A newer document says otherwise: “Refunds are paid within 14 days.”")
    assert notes_on([replace(cited, verified=False)], [new, old], by_name) == ()
    agreed = replace(cited, quote="Refunds need a receipt.")
    assert notes_on([agreed], [new, old], by_name) == ()


def library_of(folder: Path, texts: dict[str, str], days: dict[str, int]) -> Library:
    docs = folder / "docs"
    docs.mkdir()
    for name, text in texts.items():
        (docs / name).write_text(text, encoding="utf-8")
        written = 1_700_000_000 + 24 * 3600 * days.get(name, 0)
        os.utime(docs / name, (written, written))
    embedder, settings = FakeEmbedder(), RetrievalConfig(language="en")
    sync(
        [docs],
        folder=folder / "index",
        store_name="lance",
        embedder=embedder,
        settings=settings,
        root=docs,
    )
    store = open_store(folder / "index", "lance", embedder)
    catalogue = read_catalogue(index_folder(folder / "index", embedder.name))
    return Library(store, embedder, settings, catalogue)


def ask(library: Library, model: models.Model) -> Answer:
    question = "Within how many days are refunds paid?"
    return answer(question, library, model, instruction="Answer.", max_new_tokens=32)


@pytest.mark.parametrize(
    ("names", "days"),
    [
        (("refunds-2022.md", "refunds-2024.md"), {}),
        (("refunds-v1.md", "refunds-v2.md"), {}),
        (("a-rules.md", "z-rules.md"), {"z-rules.md": 400}),
        (("z-rules.md", "a-rules.md"), {"a-rules.md": 400}),
    ],
)
def test_of_two_policies_the_newer_is_quoted_and_the_older_named(
    tmp_path: Path, names: tuple[str, str], days: dict[str, int]
) -> None:
    old, new = names
    texts = {old: f"# Refunds\n\n{OLD}\n", new: f"# Refunds\n\n{NEW}\n"}
    library = library_of(tmp_path, texts, days)
    said = ask(library, models.load("quote"))
    assert "14 days" in said.text
    [citation] = said.citations
    assert (citation.source, citation.verified) == (new, True)
    [note] = said.notes
    assert note == f"An older document says otherwise: “Refunds are paid within 30 days.” ({old})"

    asked = FakeModel(["Within 30 days [2]"])
    [note] = ask(library, asked).notes
    assert note == f"A newer document says otherwise: “Refunds are paid within 14 days.” ({new})"

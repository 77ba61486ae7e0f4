"""Questions that a table answers: right numbers, their cells, and silence where a word is not understood."""

from pathlib import Path

import pytest

from pericia.documents import read_here
from pericia.draft import Limits
from pericia.table_answer import answer_from_tables
from pericia.tables import TableStore
from pericia.types import Answer

PUMPS = """Model,Site,Price,Pressure (bar)
PX-20,Harbour depot,310 EUR,40
PX-30,Mill Lane,420 EUR,65
PX-40,Harbour depot,420 EUR,80
HP-110,Mill Lane,1280 EUR,110
"""


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return filled(tmp_path, pumps=PUMPS)


def filled(folder: Path, **tables: str) -> TableStore:
    store = TableStore(folder / "tables.sqlite")
    for name, text in tables.items():
        path = folder / f"{name}.csv"
        path.write_text(text, encoding="utf-8")
        store.replace([read_here(path, path.name, "", Limits())])
    return store


def ask(question: str, store: TableStore, language: str = "en") -> Answer | None:
    return answer_from_tables(question, store, language=language)


@pytest.mark.parametrize(
    ("question", "text", "cells"),
    [
        ("How many pumps are there?", "4 [1]", ["A2:A5"]),
        ("How many models cost more than 400 EUR? What price?", None, []),
        ("How many models have a price above 400 EUR?", "3 [1]", ["A3:A5"]),
        ("How many pumps are at the Harbour depot?", "2 [1] [2]", ["A2", "A4"]),
        ("What is the number of sites?", "2 [1]", ["B2:B5"]),
        ("How many pumps have a pressure of at least 80 bar?", "2 [1]", ["D4:D5"]),
        ("How many pumps work above 65 bar?", None, []),
        ("What is the total price of the pumps at Mill Lane?", "1700 EUR [1] [2]", ["C3", "C5"]),
        ("What is the average pressure?", "73.75 bar [1]", ["D2:D5"]),
        ("Which model has the highest price?", "HP-110 (1280 EUR) [1]", ["C5"]),
        ("Which model has the lowest pressure?", "PX-20 (40 bar) [1]", ["D2"]),
        ("What is the highest price at the Harbour depot?", "420 EUR [1]", ["C4"]),
        ("How many pumps have a price below 100 EUR?", "0 [1]", ["C2:C5"]),
    ],
)
def test_a_form_is_computed_and_cites_its_cells(
    question: str, text: str | None, cells: list[str], store: TableStore
) -> None:
    answer = ask(question, store)
    assert (answer and answer.text) == text
    if answer is not None:
        assert [c.cell for c in answer.citations] == cells
        assert {c.source for c in answer.citations} == {"pumps.csv"}
        assert all(c.verified for c in answer.citations)
        assert answer.sql.startswith("SELECT ")


@pytest.mark.parametrize(
    "question",
    [
        "How many spare pumps were sold in May?",  # "spare", "sold" and "May" are not known
        "How many bolts hold the PX-20?",
        "What is the highest mountain?",
        "Which model has the highest average price?",
        "What is the total?",
        "Who repairs the pumps?",
        "What does price mean?",
        "How many?",
        "",
    ],
)
def test_a_question_that_is_not_understood_whole_is_left_to_the_passages(
    question: str, store: TableStore
) -> None:
    assert ask(question, store) is None


def test_an_extreme_that_several_share_names_them_all(tmp_path: Path) -> None:
    store = filled(tmp_path, pumps=PUMPS.replace("1280", "420"))
    answer = ask("Which models have the highest price?", store)
    assert answer is not None
    assert answer.text == "PX-30, PX-40, HP-110 (420 EUR) [1]"
    answer = ask("Which models have the highest price at the Harbour depot?", store)
    assert answer is not None
    assert answer.text == "PX-40 (420 EUR) [1]"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Which is the cheapest pump?", "PX-20 (310 EUR) [1]"),
        ("Which model is the most expensive?", "HP-110 (1280 EUR) [1]"),
        ("What is the cheapest pump at Mill Lane?", "PX-30 (420 EUR) [1]"),
        ("Which is the heaviest pump?", None),
    ],
)
def test_an_extreme_names_its_column(question: str, text: str | None, store: TableStore) -> None:
    answer = ask(question, store)
    assert (answer and answer.text) == text


def test_of_two_columns_an_extreme_says_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path, kilns="Model,Price,Cost\nK-7,10,12\nK-9,20,2\n")
    assert ask("Which is the cheapest model?", store) is None


@pytest.mark.parametrize(
    ("header", "question", "text"),
    [
        ("Price EUR", "What is the total price?", "109000 EUR [1]"),
        ("Price EUR", "What is the sum of all prices?", "109000 EUR [1]"),
        ("price_eur", "What is the average price?", "54500 eur [1]"),
        ("Price in €", "Which model has the highest price?", "K-9 (€61000) [1]"),
        ("Price [USD]", "What is the total price in USD?", "109000 USD [1]"),
        ("Price (€ in thousands)", "What is the total price?", "109000 (€ in thousands) [1]"),
    ],
)
def test_a_head_may_say_the_unit_in_many_ways(
    header: str, question: str, text: str, tmp_path: Path
) -> None:
    answer = ask(question, filled(tmp_path, kilns=f"Model,{header}\nK-7,48000\nK-9,61000\n"))
    assert answer is not None
    assert answer.text == text


def test_of_columns_that_differ_by_their_unit_the_question_says_which(tmp_path: Path) -> None:
    store = filled(tmp_path, kilns="Model,Price EUR,Price USD\nK-7,10,12\nK-9,20,24\n")
    assert ask("What is the total price?", store) is None
    answer = ask("What is the total price in USD?", store)
    assert answer is not None
    assert answer.text == "36 USD [1]"


def test_spanish_and_portuguese_ask_as_well(tmp_path: Path) -> None:
    bombas = "Modelo;Sede;Precio\nPX-20;Bilbao;1.310,50 €\nPX-30;Vigo;420,00 €\n"
    store = filled(tmp_path, bombas=bombas)
    found = ask("¿Cuántas bombas tienen un precio de más de 500 €?", store, "es")
    assert found is not None
    assert found.text == "1 [1]"
    found = ask("¿Qué modelo tiene el menor precio?", store, "es")
    assert found is not None
    assert found.text == "PX-30 (420 €) [1]"
    found = ask("Qual é o total de Precio em Bilbao?", store, "pt")
    assert found is not None
    assert found.text == "1310,5 € [1]"


def test_two_tables_that_differ_are_not_chosen_between(tmp_path: Path) -> None:
    other = PUMPS.replace("1280", "1300")
    store = filled(tmp_path, pumps=PUMPS, pumps_new=other)
    assert ask("What is the highest price?", store) is None
    answer = ask("How many models are there?", store)  # on this they agree
    assert answer is not None
    assert answer.text == "4 [1]"


def test_many_runs_of_cells_are_cited_as_one(tmp_path: Path) -> None:
    rows = "".join(f"P-{i},{'Vigo' if i % 2 else 'Lugo'},{i}\n" for i in range(1, 41))
    store = filled(tmp_path, parts="Part,Site,Pieces\n" + rows)
    answer = ask("What is the sum of the pieces at Vigo?", store)
    assert answer is not None
    assert answer.text == "400 [1]"
    [citation] = answer.citations
    assert citation.cell == "C2:C40"
    assert citation.quote.startswith("Pieces: 1, 3, 5")

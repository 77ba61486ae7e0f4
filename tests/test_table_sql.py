"""SQL by a model: cells are cited, limits hold, and what it writes wrongly or slyly gives no answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from pericia.answer import compute
from pericia.catalogue import Catalogue
from pericia.config import RetrievalConfig
from pericia.library import Library
from pericia.stores import load as load_store
from pericia.table_sql import answer_by_sql
from pericia.tables import TableStore
from pericia.types import Answer
from tests.fakes import FakeEmbedder, FakeModel
from tests.test_table_answer import PUMPS, filled

QUESTION = "By how much do the pumps' prices at the two sites differ?"


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return filled(tmp_path, pumps=PUMPS)


def ask(store: TableStore, reply: dict[str, Any] | str, question: str = QUESTION) -> Answer | None:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    return answer_by_sql(question, store, FakeModel([text]), language="en")


@pytest.mark.parametrize(
    ("clauses", "text", "cells"),
    [
        (
            {"select": 'max("Price") - min("Price")', "where": "\"Site\" = 'Mill Lane'"},
            "860 EUR [1] [2]",
            ["C3", "C5"],
        ),
        (
            {"select": '"Model", "Price"', "order_by": '"Price" DESC', "limit": 1},
            "HP-110, 1280 EUR [1]",
            ["C5"],
        ),
        (
            {"select": '"Site", avg("Price")', "group_by": '"Site"', "order_by": '"Site"'},
            "Harbour depot, 365 EUR; Mill Lane, 850 EUR [1]",
            ["C2:C5"],
        ),
        ({"select": "count(*)", "where": '"Pressure (bar)" > 50'}, "3 [1]", ["D3:D5"]),
        ({"select": "Model", "where": "Price = 310"}, "PX-20 [1]", ["A2"]),
    ],
)
def test_a_statement_s_result_cites_the_cells_of_its_rows(
    store: TableStore, clauses: dict[str, Any], text: str, cells: list[str]
) -> None:
    answer = ask(store, {"table": 1, **clauses})
    assert answer is not None
    assert answer.text == text
    assert [c.cell for c in answer.citations] == cells
    assert all(c.verified and c.source == "pumps.csv" for c in answer.citations)
    assert answer.sql.startswith("SELECT ")
    assert answer.usage.tokens_in > 0


@pytest.mark.parametrize(
    "reply",
    [
        {"table": None},
        {"table": 2, "select": "1"},
        {"table": 1},
        {"table": 1, "select": ["Model"]},
        {"table": 1, "select": "nothing_like_it"},
        {"table": 1, "select": "Model", "where": "1 = 0"},
        {"table": 1, "select": "Model FROM pumps; DROP TABLE pumps; --"},
        {"table": 1, "select": "name FROM sqlite_master --"},
        {"table": 1, "select": "description FROM pericia_tables --"},
        {"table": 1, "select": "(SELECT count(*) FROM pericia_tables)"},
        {"table": 1, "select": "load_extension('x')"},
        {"table": 1, "select": "length(zeroblob(900000000))"},
        {
            "table": 1,
            "select": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n)",
        },
        "I would add the prices up.",
        "{broken",
    ],
)
def test_what_is_no_sound_statement_on_the_table_gives_no_answer(
    store: TableStore, reply: dict[str, Any] | str
) -> None:
    assert ask(store, reply) is None
    assert [table.num_rows for table in store.tables()] == [4]


def test_the_model_sees_columns_units_and_rows_of_tables_that_share_a_word(
    tmp_path: Path,
) -> None:
    store = filled(tmp_path, pumps=PUMPS, staff="Name,Desk\nAda,1\nBo,2\n")
    model = FakeModel(['{"table": null}'])
    assert answer_by_sql(QUESTION, store, model, language="en") is None
    [prompt] = model.prompts
    shown = prompt.messages[-1].content
    assert '"Price" REAL in EUR' in shown
    assert '["PX-20", "Harbour depot", 310.0, 40.0]' in shown
    assert "Ada" not in shown
    silent = FakeModel()
    assert answer_by_sql("Who wrote Hyperion?", store, silent, language="en") is None
    assert silent.prompts == []


def test_only_tables_that_the_groups_may_read_are_shown(tmp_path: Path) -> None:
    store = filled(tmp_path, pumps=PUMPS)
    model = FakeModel([json.dumps({"table": 1, "select": "count(*)"})])
    assert answer_by_sql(QUESTION, store, model, language="en", groups=["x"]) is not None
    assert len(model.prompts) == 1


@pytest.mark.parametrize("tables", ["forms", "model"])
def test_a_form_comes_first_and_the_model_only_where_it_is_wanted(
    store: TableStore, tmp_path: Path, tables: str
) -> None:
    embedder = FakeEmbedder()
    settings = RetrievalConfig.model_validate({"language": "en", "tables": tables})
    vectors = load_store("lance", tmp_path / "index", embedder.name, embedder.num_dimensions)
    library = Library(vectors, embedder, settings, Catalogue(), store)
    clauses = {"table": 1, "select": 'max("Price") - min("Price")'}
    model = FakeModel([json.dumps(clauses)])
    counted = compute("How many pumps are there?", library, model)
    assert counted is not None
    assert (counted.text, model.prompts) == ("4 [1]", [])
    written = compute(QUESTION, library, model)
    assert (written is not None) == (tables == "model") == bool(model.prompts)
    if written is not None:
        assert written.text == "970 EUR [1]"
    bundled = FakeModel()
    bundled.name = "pericia-nano"
    assert compute(QUESTION, library, bundled) is None
    assert bundled.prompts == []

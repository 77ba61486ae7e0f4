from collections.abc import Callable
from pathlib import Path

import pytest

from pericia import analyser
from pericia.config import RetrievalConfig
from pericia.errors import ModelError
from pericia.index import SyncReport, open_store, sync
from pericia.models import Model
from pericia.prompts import SUMMARY
from pericia.summaries import Summarist, summarist
from pericia.types import Generation, Prompt
from tests.fakes import FakeEmbedder, FakeModel

SETTINGS = RetrievalConfig(language="en")
KILN = "A kiln for bricks; its heat and its oil."


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "kiln.md").write_text("# Kiln\n\nThe kiln runs at 900 degrees.\n", encoding="utf-8")
    (folder / "pump.txt").write_text("The pump holds 42 bar.\n", encoding="utf-8")
    return folder


def run(docs: Path, writer: Summarist | None) -> SyncReport:
    return sync(
        [docs],
        folder=docs.parent / "index",
        store_name="lance",
        embedder=FakeEmbedder(),
        settings=SETTINGS,
        root=docs,
        summarist=writer,
    )


def summaries(docs: Path) -> dict[str, str]:
    stored = open_store(docs.parent / "index", "lance", FakeEmbedder()).chunks()
    return {chunk.source: chunk.text for chunk in stored if chunk.kind == "summary"}


def by(model: Model, name: str = "able") -> Summarist:
    return Summarist(name, lambda: model)


def test_a_model_writes_what_is_searched_beside_the_chunks(docs: Path) -> None:
    model = FakeModel([KILN, "A pump."])
    report = run(docs, by(model))
    assert report.notes == ()
    assert summaries(docs) == {"kiln.md": f"Kiln\n{KILN}", "pump.txt": "pump\nA pump."}
    assert [prompt.messages[0].content for prompt in model.prompts] == [SUMMARY, SUMMARY]
    assert "900 degrees" in model.prompts[0].messages[1].content
    store = open_store(docs.parent / "index", "lance", FakeEmbedder())
    assert [
        hit.chunk.source for hit in store.search_lexical(analyser.tokens("bricks", "en"), 5)
    ] == ["kiln.md"]


def test_it_is_asked_once_a_document_and_again_for_another_model(docs: Path) -> None:
    run(docs, by(FakeModel([KILN, "A pump."])))
    assert run(docs, Summarist("able", lambda: pytest.fail("nothing has changed"))).unchanged == 2
    again = run(docs, by(FakeModel(["Another.", "Yet another."]), "abler"))
    assert (again.changed, again.num_embedded) == (2, 2)  # the chunks keep their vectors
    assert summaries(docs)["pump.txt"] == "pump\nYet another."
    assert run(docs, None).changed == 2
    assert summaries(docs)["pump.txt"] == "pump\nThe pump holds 42 bar."


def test_where_it_declines_the_extract_stays_and_the_reason_is_said(docs: Path) -> None:
    report = run(docs, by(FakeModel(["I don't know.", "A pump."])))
    assert report.notes == (("kiln.md", "The model declined to write its summary."),)
    assert summaries(docs)["kiln.md"] == "Kiln\nKiln\nThe kiln runs at 900 degrees."
    assert run(docs, by(FakeModel())).unchanged == 2


class Broken(FakeModel):
    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        raise ModelError("The server does not answer.", hint="Start it.")


def test_where_it_fails_nothing_is_lost_and_the_next_sync_asks_again(docs: Path) -> None:
    report = run(docs, by(Broken()))
    [(source, note), _] = report.notes
    assert (report.added, report.skipped, source) == (2, (), "kiln.md")
    assert note == "It has no summary by the model: The server does not answer. Start it."
    assert summaries(docs)["pump.txt"] == "pump\nThe pump holds 42 bar."
    repaired = run(docs, by(FakeModel([KILN, "A pump."])))
    assert (repaired.changed, repaired.notes) == (2, ())
    assert summaries(docs)["kiln.md"] == f"Kiln\n{KILN}"


def test_after_three_failures_in_a_row_it_is_left_alone(docs: Path) -> None:
    for number in range(4):
        (docs / f"more{number}.txt").write_text(f"Text {number}.\n", encoding="utf-8")
    report = run(docs, by(Broken()))
    reasons = [note for _, note in report.notes]
    assert sum("does not answer" in reason for reason in reasons) == 3
    assert sum("failed 3 times" in reason for reason in reasons) == 3


def test_the_bundled_models_are_not_asked_and_the_report_says_so(docs: Path) -> None:
    for name in ("pericia-nano", "quote"):
        writer = Summarist(name, lambda: pytest.fail("it cannot"))
        report = run(docs, writer)
        assert report.notes == (
            ("summaries", f"'{name}' cannot write them, so they are extracts."),
        )
    assert summaries(docs)["pump.txt"] == "pump\nThe pump holds 42 bar."


def test_a_long_document_is_read_as_far_as_the_model_reads(docs: Path) -> None:
    (docs / "pump.txt").write_text("The pump holds 42 bar. " * 2000, encoding="utf-8")
    model = FakeModel(context_tokens=600)
    assert run(docs, by(model)).notes == ()
    assert len(model.prompts) == 2


def test_summaries_are_extracts_unless_the_config_says_otherwise() -> None:
    assert RetrievalConfig().summaries == "extractive"
    assert summarist("extractive", "openai:gpt") is None
    chosen = summarist("model", "openai:gpt")
    assert chosen is not None
    assert chosen.name == "openai:gpt"

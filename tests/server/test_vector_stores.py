"""Vector stores by the official client: made, filled, searched, filtered, cited, emptied, dropped."""

import time
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fakes import FakeModel
from tests.server.conftest import Start

PUMPS = b"# Pumps\n\nPump P-7 holds a pressure of 42 bar.\n\nPump P-9 holds 12 bar.\n"
KILNS = b"# Kilns\n\nKiln 3 runs at 900 degrees at night.\n"


def filled(client: OpenAI, **files: bytes) -> tuple[str, dict[str, str]]:
    """Return a store with files in it, and their ids by name."""
    ids = {}
    for name, data in files.items():
        made = client.files.create(file=(f"{name}.md", data), purpose="assistants")
        ids[name] = made.id
    store = client.vector_stores.create(name="manuals", metadata={"team": "kiln"})
    for name, id_ in ids.items():
        done = client.vector_stores.files.create_and_poll(
            id_, vector_store_id=store.id, attributes={"about": name, "year": 2020 + len(name)}
        )
        assert done.status == "completed", done.last_error
    return store.id, ids


def test_a_store_is_filled_searched_and_dropped(start: Start, tmp_path: Path) -> None:
    server = start()
    client = server.openai()
    store_id, ids = filled(client, pumps=PUMPS, kilns=KILNS)
    store = client.vector_stores.retrieve(store_id)
    assert (store.name, store.status, store.metadata) == ("manuals", "completed", {"team": "kiln"})
    assert (store.file_counts.completed, store.file_counts.total) == (2, 2)
    assert store.usage_bytes == len(PUMPS) + len(KILNS)
    listed = [one.id for one in client.vector_stores.files.list(store_id, limit=1)]
    assert listed == [ids["kilns"], ids["pumps"]]
    found = client.vector_stores.search(store_id, query="pressure of pump P-7").data
    assert (found[0].file_id, found[0].filename) == (ids["pumps"], "pumps.md")
    assert "42 bar" in found[0].content[0].text
    assert found[0].attributes is not None
    assert found[0].attributes["about"] == "pumps"
    assert 0 <= found[0].score <= 1
    text = client.vector_stores.files.content(ids["kilns"], vector_store_id=store_id).data[0].text
    assert "900 degrees" in (text or "")
    changed = client.vector_stores.update(store_id, name="others")
    assert changed.name == "others"

    client.vector_stores.files.delete(ids["pumps"], vector_store_id=store_id)
    left = client.vector_stores.search(store_id, query="pressure of pump P-7").data
    assert {one.file_id for one in left} <= {ids["kilns"]}
    assert client.vector_stores.delete(store_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(store_id)
    assert not (tmp_path / ".pericia" / "server" / "stores" / store_id).exists()


def test_filters_and_thresholds_leave_what_they_should(start: Start) -> None:
    client = start().openai()
    store_id, ids = filled(client, pumps=PUMPS, kilns=KILNS)
    ask: Any = client.vector_stores.search

    def sources(**options: Any) -> set[str]:
        return {one.file_id for one in ask(store_id, query="pressure at night", **options).data}

    only_kilns = {"type": "eq", "key": "about", "value": "kilns"}
    assert sources(filters=only_kilns) == {ids["kilns"]}
    either = {"type": "or", "filters": [only_kilns, {"type": "gt", "key": "year", "value": 2099}]}
    assert sources(filters=either) == {ids["kilns"]}
    both = {"type": "and", "filters": [only_kilns, {"type": "gt", "key": "year", "value": 2099}]}
    assert sources(filters=both) == set()
    assert sources(filters={"type": "in", "key": "about", "value": ["pumps", "x"]}) == {
        ids["pumps"]
    }
    assert len(ask(store_id, query="bar", max_num_results=1).data) == 1
    assert sources(ranking_options={"score_threshold": 1.0}) == set()


def test_a_batch_reports_files_that_cannot_be_read(start: Start) -> None:
    client = start().openai()
    good = client.files.create(file=("kilns.md", KILNS), purpose="assistants")
    bad = client.files.create(file=("broken.pdf", b"no pdf at all"), purpose="assistants")
    store = client.vector_stores.create(name="mixed")
    batch = client.vector_stores.file_batches.create_and_poll(
        store.id, file_ids=[good.id, bad.id], poll_interval_ms=100
    )
    assert batch.status == "completed"
    assert (batch.file_counts.completed, batch.file_counts.failed) == (1, 1)
    failed = client.vector_stores.files.retrieve(bad.id, vector_store_id=store.id)
    assert failed.last_error is not None
    assert failed.last_error.code == "unsupported_file"
    assert failed.last_error.message
    found = client.vector_stores.search(store.id, query="night").data
    assert {one.file_id for one in found} == {good.id}


def test_files_that_wait_are_read_by_the_next_server(start: Start) -> None:
    client = start().openai()
    store = client.vector_stores.create(name="later")
    file = client.files.create(file=("kilns.md", KILNS), purpose="assistants")
    waiting = client.vector_stores.files.create(store.id, file_id=file.id)
    assert waiting.status == "in_progress"
    second = start().openai()  # on the same state folder
    deadline = time.monotonic() + 60
    while waiting.status == "in_progress" and time.monotonic() < deadline:
        time.sleep(0.1)
        waiting = second.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
    assert waiting.status == "completed"
    assert second.vector_stores.search(store.id, query="night").data


def test_a_model_answers_from_a_store_with_citations(start: Start) -> None:
    server = start(FakeModel(["42 bar [1]"] * 2))
    client = server.openai()
    store_id, ids = filled(client, pumps=PUMPS)
    tool: Any = {"type": "file_search", "vector_store_ids": [store_id], "max_num_results": 2}
    asked: Any = {"model": "fake-base", "tools": [tool], "input": "What pressure does P-7 hold?"}
    done = client.responses.create(include=["file_search_call.results"], **asked)
    assert done.output_text == "42 bar [1]"
    call: Any = done.output[0]
    assert (call.type, call.results[0].file_id) == ("file_search_call", ids["pumps"])
    notes: Any = done.output[1].content[0].annotations
    assert [note.type for note in notes] == ["url_citation", "file_citation"]
    assert (notes[1].file_id, notes[1].filename, notes[1].index) == (ids["pumps"], "pumps.md", 7)
    assert notes[0].url.endswith(f"/v1/files/{ids['pumps']}/content")
    assert server.model.prompts[0].passages
    events = list(client.responses.create(stream=True, **asked))
    kinds = [event.type for event in events]
    assert kinds.index("response.file_search_call.completed") < kinds.index(
        "response.output_text.delta"
    )
    assert "response.output_text.annotation.added" in kinds


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"name": "x", "file_ids": ["file-absent"]}),
        ("", {"name": 3}),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 1}}),
        ("/vs_absent/files", {"file_id": "file-absent"}),
        ("/vs_pumps/files", {"file_id": "file-absent"}),
        ("/vs_absent/search", {"query": "x"}),
        ("/vs_absent/search", {"query": ""}),
        ("/vs_absent/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": 1}}),
        ("/vs_absent/search", {"query": "x", "max_num_results": 0}),
        ("/vs_absent/file_batches", {}),
    ],
)
def test_wrong_requests_are_refused(start: Start, path: str, body: dict[str, Any]) -> None:
    client = start().openai()
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        client.post(f"/vector_stores{path}", body=body, cast_to=object)
    assert refused.value.code

"""The arms of an industry by name: real documents, real search, cited answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from pericia import embedders
from pericia.config import Config
from pericia.index import sync
from pericia.prompts import REFUSAL
from tests.fakes import FakeModel
from tests.server.conftest import Start

CHAT: Any = [{"role": "user", "content": "Which pressure does pump P-7 hold?"}]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace whose index holds two small documents, embedded by their letters."""
    root = tmp_path_factory.mktemp("pumps")
    (root / "pumps.md").write_text("# Pumps\n\nPump P-7 holds a pressure of 42 bar.\n", "utf-8")
    (root / "kilns.md").write_text("# Kilns\n\nKiln 3 runs at 900 °C.\n", "utf-8")
    config = Config(embedder="letters")
    patch = pytest.MonkeyPatch()
    patch.setitem(embedders.EMBEDDERS, "letters", "tests.fakes:FakeEmbedder")
    sync(
        [root / "pumps.md", root / "kilns.md"],
        folder=root / ".pericia" / "index",
        store_name=config.store,
        embedder=embedders.load(config.embedder),
        settings=config.retrieval,
    )
    yield root
    patch.undo()


@pytest.mark.parametrize("name", ["pumps", "pumps:rag"])
def test_an_answer_carries_markers_and_annotations(start: Start, indexed: Path, name: str) -> None:
    server = start(FakeModel(["It holds 42 bar [1]."] * 2), root=indexed, embedder="letters")
    done = server.openai().chat.completions.create(model=name, messages=CHAT)
    message = done.choices[0].message
    assert message.content == "It holds 42 bar [1]."
    assert message.annotations is not None
    note = message.annotations[0]
    span = note.url_citation
    assert message.content[span.start_index : span.end_index] == "[1]"
    assert "pumps.md" in span.url
    about: Any = note.to_dict()["pericia"]
    assert about["verified"] is True
    assert "42 bar" in about["quote"]
    assert "42 bar" in server.model.prompts[0].messages[-1].content

    stream = list(server.chat()(model=name, messages=CHAT, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in stream) == message.content
    last = stream[-1].choices[0].delta.to_dict()
    assert last["annotations"][0]["pericia"] == about


def test_a_question_that_the_documents_do_not_answer_is_refused(
    start: Start, indexed: Path
) -> None:
    server = start(root=indexed, embedder="letters")
    chat: Any = [{"role": "user", "content": "ddd dddd ddddd?"}]
    done = server.openai().chat.completions.create(model="pumps:rag", messages=chat)
    assert done.choices[0].message.content == REFUSAL
    assert server.model.prompts == []


def test_the_callers_instruction_and_earlier_turns_are_kept(start: Start, indexed: Path) -> None:
    server = start(root=indexed, embedder="letters")
    chat: Any = [
        {"role": "system", "content": "Speak like a sailor."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Ahoy"},
        *CHAT,
    ]
    server.openai().chat.completions.create(model="pumps:rag", messages=chat)
    sent = server.model.prompts[-1].messages
    assert sent[0].content.startswith("Speak like a sailor.")
    assert [m.content for m in sent[1:3]] == ["Hello", "Ahoy"]
    assert "42 bar" in sent[3].content


@pytest.mark.parametrize("follow_ups", ["auto", "rules"])
def test_a_follow_up_is_searched_with_what_the_chat_is_about(
    start: Start, indexed: Path, follow_ups: str
) -> None:
    written = ["Which pressure does pump P-7 hold?"] if follow_ups == "auto" else []
    server = start(
        FakeModel([*written, "It holds 42 bar [1]."]),
        root=indexed,
        embedder="letters",
        retrieval={"follow_ups": follow_ups, "top_k": 1},
    )
    chat: Any = [
        {"role": "user", "content": "Where does pump P-7 stand?"},
        {"role": "assistant", "content": "In the hall."},
        {"role": "user", "content": "And which pressure does it hold?"},
    ]
    done = server.openai().chat.completions.create(model="pumps:rag", messages=chat)
    about: Any = done.choices[0].to_dict()["pericia"]
    assert [p["source"] for p in about["passages"]] == ["pumps.md"]
    read_as = written[0] if written else "And which pressure does it hold? (P-7)"
    assert about["notes"] == [f"The question was read as: {read_as}"]
    assert server.model.prompts[-1].question == read_as
    assert len(server.model.prompts) == len(written) + 1


def test_arms_that_cannot_answer_yet_say_so(start: Start) -> None:
    server = start()
    listed = [model.id for model in server.openai().models.list()]
    assert "pumps:prompt" in listed
    assert "pumps:rag" not in listed
    with pytest.raises(openai.NotFoundError) as missing:
        server.openai().chat.completions.create(model="pumps:fine_tuned", messages=CHAT)
    assert "pericia run" in missing.value.message
    last: Any = [*CHAT, {"role": "assistant", "content": "x"}]
    with pytest.raises(openai.BadRequestError) as refused:
        server.openai().chat.completions.create(model="pumps", messages=last)
    assert refused.value.param == "messages[1].role"


def test_responses_search_the_files_and_cite_them(start: Start, indexed: Path) -> None:
    server = start(FakeModel(["It holds 42 bar [1]."] * 2), root=indexed, embedder="letters")
    client = server.openai()
    tool: Any = {"type": "file_search", "vector_store_ids": ["vs_pumps"]}
    asked: Any = {
        "model": "fake-base",
        "input": CHAT[0]["content"],
        "tools": [tool],
        "include": ["file_search_call.results"],
    }
    made = client.responses.create(**asked)
    assert made.output_text == "It holds 42 bar [1]."
    search: Any = made.output[0]
    assert (search.type, search.status) == ("file_search_call", "completed")
    assert search.results[0].filename.endswith("pumps.md")
    message: Any = made.output[1]
    kinds = [note.type for note in message.content[0].annotations]
    assert kinds == ["url_citation", "file_citation"]
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens

    events = list(client.responses.create(**asked, stream=True))
    names = [event.type for event in events]
    assert names[0] == "response.created"
    assert names[-1] == "response.completed"
    assert "response.file_search_call.searching" in names
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == (
        made.output_text
    )
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_responses_of_the_plain_base(start: Start) -> None:
    server = start(FakeModel(["one two three"] * 2))
    client = server.openai()
    parts: Any = [{"role": "user", "content": [{"type": "input_text", "text": "Count"}]}]
    made = client.responses.create(model="gpt-4o-mini", input=parts, instructions="Be short.")
    assert made.output_text == "one two three"
    assert server.model.prompts[0].messages[0].content == "Be short."
    cut = client.responses.create(model="fake-base", input="Count", max_output_tokens=2)
    assert (cut.status, cut.output_text) == ("incomplete", "one two")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="fake-base", input="x", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


def test_the_index_is_a_vector_store(start: Start, indexed: Path) -> None:
    client = start(root=indexed, embedder="letters").openai()
    assert [store.id for store in client.vector_stores.list()] == ["vs_pumps"]
    assert client.vector_stores.retrieve("vs_pumps").file_counts.completed == 2
    found = client.vector_stores.search("vs_pumps", query="pressure of pump P-7", max_num_results=1)
    assert next(r.filename for r in found).endswith("pumps.md")
    assert "42 bar" in found.data[0].content[0].text
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve("vs_other")
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.update("vs_pumps", name="mine")

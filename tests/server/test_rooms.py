"""The arms of an industry by name: real documents, real search, cited answers."""

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
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose index holds two small documents."""
    root = tmp_path_factory.mktemp("pumps")
    (root / "pumps.md").write_text("# Pumps\n\nPump P-7 holds a pressure of 42 bar.\n", "utf-8")
    (root / "kilns.md").write_text("# Kilns\n\nKiln 3 runs at 900 degrees.\n", "utf-8")
    config = Config()
    sync(
        [root / "pumps.md", root / "kilns.md"],
        folder=root / ".pericia" / "index",
        store_name=config.store,
        embedder=embedders.load(config.embedder),
        settings=config.retrieval,
    )
    return root


@pytest.mark.parametrize("name", ["pumps", "pumps:rag"])
def test_an_answer_carries_markers_and_annotations(start: Start, indexed: Path, name: str) -> None:
    server = start(FakeModel(["It holds 42 bar [1]."] * 2), root=indexed)
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
    server = start(root=indexed)
    chat: Any = [{"role": "user", "content": "zxqv wvut plorf?"}]
    done = server.openai().chat.completions.create(model="pumps:rag", messages=chat)
    assert done.choices[0].message.content == REFUSAL
    assert server.model.prompts == []


def test_the_callers_instruction_and_earlier_turns_are_kept(start: Start, indexed: Path) -> None:
    server = start(root=indexed)
    chat: Any = [
        {"role": "system", "content": "Speak like a sailor."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Ahoy"},
        *CHAT,
    ]
    server.openai().chat.completions.create(model="pumps:rag", messages=chat)
    sent = server.model.prompts[0].messages
    assert sent[0].content.startswith("Speak like a sailor.")
    assert [m.content for m in sent[1:3]] == ["Hello", "Ahoy"]
    assert "42 bar" in sent[3].content


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

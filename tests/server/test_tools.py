"""Functions that a chat may call, and answers held to a schema, on the real bundled model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from pericia.config import parse_config
from pericia.server.app import create_app
from pericia.workspace import Workspace
from tests.fakes import FakeModel
from tests.server.conftest import Start, running

ASKED: list[Any] = [{"role": "user", "content": "How hot is kiln 3?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "read_kiln",
        "description": "Read the temperature of a kiln.",
        "parameters": {
            "type": "object",
            "properties": {"kiln": {"type": "integer", "minimum": 1, "maximum": 99}},
            "required": ["kiln"],
            "additionalProperties": False,
        },
    },
}
CALL = '{"name": "read_kiln", "arguments": {"kiln": 3}}'


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of a server with the bundled model."""
    config = parse_config({"name": "kilns", "model": "pericia-nano"}, "test")
    app = create_app(Workspace(tmp_path_factory.mktemp("nano")), config, key="")
    with running(app) as url, OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_a_required_call_has_the_arguments_of_its_schema(nano: OpenAI) -> None:
    done = nano.chat.completions.create(
        model="pericia-nano", messages=ASKED, tools=[TOOL], tool_choice="required"
    )
    choice = done.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls: Any = choice.message.tool_calls
    [call] = calls
    assert call.type == "function"
    assert call.function.name == "read_kiln"
    assert 1 <= json.loads(call.function.arguments)["kiln"] <= 99


def test_an_answer_parses_into_its_class(nano: OpenAI) -> None:
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "reading",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {
                    "state": {"enum": ["cold", "hot"]},
                    "degrees": {"type": "integer", "minimum": 0, "maximum": 2000},
                },
                "required": ["state", "degrees"],
                "additionalProperties": False,
            },
        },
    }
    for stream in (False, True):
        done: Any = nano.chat.completions.create(
            model="pericia-nano", messages=ASKED, response_format=schema, stream=stream
        )
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in done)
        else:
            text = done.choices[0].message.content
        value = json.loads(text)
        assert value["state"] in ("cold", "hot")
        assert 0 <= value["degrees"] <= 2000


def test_logprobs_bias_and_choices_of_the_bundled_model(nano: OpenAI) -> None:
    asked: Any = {"model": "pericia-nano", "messages": ASKED, "max_tokens": 6}
    done = nano.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    content = done.choices[0].logprobs.content
    assert content
    assert all(len(one.top_logprobs) == 2 and one.logprob <= 0 for one in content)
    written = b"".join(bytes(one.bytes or []) for one in content)
    assert written.decode("utf-8", "replace").strip() == done.choices[0].message.content
    drawn = nano.chat.completions.create(**asked, n=3, seed=4, temperature=1.5)
    again = nano.chat.completions.create(**asked, n=3, seed=4, temperature=1.5)
    texts = [choice.message.content for choice in drawn.choices]
    assert texts == [choice.message.content for choice in again.choices]
    older = nano.completions.create(
        model="pericia-nano",
        prompt="How hot is the kiln at Mill Lane?",
        max_tokens=4,
        logprobs=2,
    )
    assert len(older.choices[0].logprobs.tokens or ()) >= 1  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_may_call_or_speak(start: Start, stream: bool) -> None:
    server = start(FakeModel([CALL, "It is hot."]))
    asked: Any = {"model": "fake-base", "messages": ASKED, "tools": [TOOL], "stream": stream}
    called, spoken = server.chat()(**asked), server.chat()(**asked)
    if stream:
        chunks = [chunk.choices[0] for chunk in called]
        calls = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
        assert chunks[-1].finish_reason == "tool_calls"
        assert not any(chunk.delta.content for chunk in chunks)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in spoken)
    else:
        calls = called.choices[0].message.tool_calls
        text = spoken.choices[0].message.content
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("read_kiln", '{"kiln": 3}')
    ]
    assert text == "It is hot."
    system = server.model.prompts[0].messages[0]
    assert system.role == "system"
    assert "read_kiln" in system.content


def test_a_result_goes_back_to_the_model(start: Start) -> None:
    server = start(FakeModel(["900 degrees"]))
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "read_kiln", "arguments": "{}"},
    }
    chat = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "900"},
    ]
    done = server.chat()(model="fake-base", messages=chat, tools=[TOOL])
    assert done.choices[0].message.content == "900 degrees"
    last = server.model.prompts[0].messages[-1]
    assert (last.role, last.content) == ("user", "Result of read_kiln: 900")

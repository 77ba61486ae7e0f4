"""What the official client offers beyond plain calls: helpers that stream, parse, poll and page, and answers sent back."""

import asyncio
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel

from pericia.types import Generation, Prompt, Sampling
from tests.fakes import FakeModel
from tests.server.conftest import Running, Start

ASKED: Any = [{"role": "user", "content": "hello there"}]
MODEL = "fake-base"


class City(BaseModel):
    name: str
    people: int


OSLO = City(name="Oslo", people=7)
CALL = '{"name": "City", "arguments": {"name": "Oslo", "people": 7}}'


class ScriptedSampler(FakeModel):
    """Also says what it is told to say where a request asks how tokens are drawn, or for a schema."""

    def sample(self, prompt: Prompt, sampling: Sampling, **options: Any) -> Generation:
        return self.generate(prompt, **options)


def served(start: Start, *replies: str) -> Running:
    return start(model=ScriptedSampler(replies))


def by_v1(server: Running) -> OpenAI:
    return server.openai()


def by_azure(server: Running) -> OpenAI:
    return server.azure()


def by_deployment(server: Running) -> OpenAI:
    client = AzureOpenAI(
        azure_endpoint=server.url,
        azure_ad_token="entra",
        azure_deployment=MODEL,
        api_version="2025-04-01-preview",
        max_retries=0,
    )
    server.clients.append(client)
    return client


pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
every_class = pytest.mark.parametrize("client_of", [by_v1, by_azure, by_deployment])
ClientOf = Callable[[Running], OpenAI]


@every_class
def test_a_streamed_chat_is_put_together(start: Start, client_of: ClientOf) -> None:
    client = client_of(served(start))
    options: Any = {"stream_options": {"include_usage": True}}
    with client.chat.completions.stream(model=MODEL, messages=ASKED, **options) as stream:
        kinds = [event.type for event in stream]
        whole = stream.get_final_completion()
    assert "content.done" in kinds
    assert whole.choices[0].message.content == "You said: hello there"
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


@every_class
def test_a_chat_is_parsed_into_a_class(start: Start, client_of: ClientOf) -> None:
    client = client_of(served(start, *[OSLO.model_dump_json()] * 2))
    asked: Any = {"model": MODEL, "messages": ASKED, "response_format": City}
    message = client.chat.completions.parse(**asked).choices[0].message
    assert message.parsed == OSLO
    with client.chat.completions.stream(**asked) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == OSLO
    assert say_again(client, message)


@every_class
def test_a_tool_is_called_and_its_result_is_read(start: Start, client_of: ClientOf) -> None:
    server = served(start, CALL, "It has 7.", CALL)
    client = client_of(server)
    tools: Any = [openai.pydantic_function_tool(City)]
    message = (
        client.chat.completions.parse(model=MODEL, messages=ASKED, tools=tools).choices[0].message
    )
    assert message.tool_calls
    call = message.tool_calls[0]
    assert call.function.parsed_arguments == OSLO
    result = {"role": "tool", "tool_call_id": call.id, "content": "seven"}
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[*ASKED, message, result],  # type: ignore[list-item]
        tools=tools,
    )
    assert answer.choices[0].message.content == "It has 7."
    assert "seven" in server.model.prompts[-1].messages[-1].content
    with client.chat.completions.stream(model=MODEL, messages=ASKED, tools=tools) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert streamed.tool_calls
    assert streamed.tool_calls[0].function.parsed_arguments == OSLO
    for past in (streamed, streamed.model_dump(), streamed.to_dict()):
        result = {"role": "tool", "tool_call_id": streamed.tool_calls[0].id, "content": "seven"}
        assert client.chat.completions.create(model=MODEL, messages=[*ASKED, past, result])  # type: ignore[list-item]


def say_again(client: OpenAI, message: Any) -> str:
    """Return the answer to a chat that holds an earlier answer."""
    again = client.chat.completions.create(model=MODEL, messages=[*ASKED, message, *ASKED])
    return again.choices[0].message.content or ""


@pytest.mark.parametrize(
    "form", [lambda m: m, lambda m: m.model_dump(), lambda m: m.to_dict(), dict]
)
def test_an_answer_is_sent_back_in_every_form(start: Start, form: Callable[[Any], Any]) -> None:
    server = served(start)
    client = server.openai()
    message = client.chat.completions.create(model=MODEL, messages=ASKED).choices[0].message
    assert say_again(client, form(message)) == "You said: hello there"
    assert server.model.prompts[-1].messages[1].content == "You said: hello there"


def test_parts_of_a_message_are_read_as_one_text(start: Start) -> None:
    server = served(start)
    parts: Any = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}],
        },
        {"role": "user", "content": "Harm me."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        *ASKED,
    ]
    server.openai().chat.completions.create(model=MODEL, messages=parts)
    told = [(m.role, m.content) for m in server.model.prompts[-1].messages]
    assert told[0] == ("system", "Be kind.")
    assert told[2] == ("assistant", "No.")


def test_a_response_is_streamed_parsed_and_sent_back(start: Start) -> None:
    server = served(start, "plain words", OSLO.model_dump_json(), OSLO.model_dump_json())
    client = server.openai()
    with client.responses.stream(model=MODEL, input="hello") as stream:
        kinds = [event.type for event in stream]
        whole = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert whole.output_text == "plain words"
    assert client.responses.parse(model=MODEL, input="x", text_format=City).output_parsed == OSLO
    with client.responses.stream(model=MODEL, input="x", text_format=City) as parsed:
        assert parsed.get_final_response().output_parsed == OSLO
    turn: Any = {"role": "user", "content": [{"type": "input_text", "text": "go on"}]}
    for form in (list, lambda o: [i.model_dump() for i in o], lambda o: [i.to_dict() for i in o]):
        history: Any = [{"role": "user", "content": "hello"}, *form(whole.output), turn]
        assert client.responses.create(model=MODEL, input=history).output_text
        told = [m.content for m in server.model.prompts[-1].messages]
        assert told == ["hello", "plain words", "go on"]


def test_a_response_that_searched_is_sent_back(start: Start) -> None:
    client = served(start).openai()
    store = client.vector_stores.create(name="pumps").id
    client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("a.md", b"# Pump\n\naaa the pump is red.")
    )
    tools: Any = [{"type": "file_search", "vector_store_ids": [store]}]
    include: Any = ["file_search_call.results"]
    first = client.responses.create(model=MODEL, input="aaa pump?", tools=tools, include=include)
    assert [item.type for item in first.output] == ["file_search_call", "message"]
    turn: Any = {"role": "user", "content": "And the aaa pump?"}
    again = client.responses.create(model=MODEL, input=[*first.output, turn], tools=tools)  # type: ignore[list-item]
    assert again.output[0].queries == ["And the aaa pump?"]  # type: ignore[union-attr]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input=[first.output[0]])  # type: ignore[list-item]
    assert refused.value.param == "input"


def test_raw_answers_have_headers_and_can_be_read_piece_by_piece(start: Start) -> None:
    completions = served(start).openai().chat.completions
    raw = completions.with_raw_response.create(model=MODEL, messages=ASKED)
    assert raw.request_id
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.parse().choices
    with completions.with_streaming_response.create(model=MODEL, messages=ASKED) as streamed:
        assert json.loads("".join(streamed.iter_text()))["choices"]
    with completions.with_streaming_response.create(
        model=MODEL, messages=ASKED, stream=True
    ) as lines:
        assert [line for line in lines.iter_lines() if line][-1] == "data: [DONE]"


@pytest.mark.parametrize("client_of", [by_v1, by_azure])
def test_files_are_waited_for_paged_and_written_to_disk(
    start: Start, client_of: ClientOf, tmp_path: Path
) -> None:
    files = client_of(served(start)).files
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"{}")
    with path.open("rb") as opened:
        made = [files.create(file=given, purpose="user_data") for given in (path, opened, b"{}")]
    assert files.wait_for_processing(made[0].id, poll_interval=0.01).status == "processed"
    files.content(made[0].id).write_to_file(tmp_path / "copy")
    with files.with_streaming_response.content(made[1].id) as content:
        content.stream_to_file(tmp_path / "stream")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "stream").read_bytes() == b"{}"
    ids = [one.id for one in made]
    assert [one.id for one in files.list(limit=1, order="asc", purpose="user_data")] == ids
    page = files.list(limit=2)
    assert page.has_next_page()
    assert [one.id for one in page.get_next_page()] == ids[:1]


@pytest.mark.parametrize("client_of", [by_v1, by_azure])
def test_vector_stores_are_filled_and_paged_by_helpers(start: Start, client_of: ClientOf) -> None:
    stores = client_of(served(start)).vector_stores
    store = stores.create(name="notes", chunking_strategy={"type": "auto"}).id
    one = stores.files.upload_and_poll(vector_store_id=store, file=("a.md", b"# A\n\naaaa aa"))
    assert one.status == "completed"
    more = [("b.md", b"# B\n\nbbbb bb"), ("c.md", b"# C\n\ncccc cc")]
    batch = stores.file_batches.upload_and_poll(store, files=more)
    assert batch.file_counts.completed == 2
    assert len(list(stores.files.list(store, limit=1, order="asc", filter="completed"))) == 3
    assert len(list(stores.file_batches.list_files(batch.id, vector_store_id=store, limit=1))) == 2
    assert [part.text for part in stores.files.content(one.id, vector_store_id=store)]
    stores.files.update(one.id, vector_store_id=store, attributes={"year": 2026, "is_new": True})
    wanted: Any = {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2026}]}
    found = stores.search(store, query=["aaa", "a"], filters=wanted, rewrite_query=True)
    assert {hit.file_id for hit in found} == {one.id}


def ask_at_once(client: AsyncOpenAI) -> None:
    async def ask() -> None:
        async with client:
            async with client.chat.completions.stream(model=MODEL, messages=ASKED) as stream:
                whole = await stream.get_final_completion()
            assert whole.choices[0].message.content == "You said: hello there"
            pieces = await client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
            text = "".join([piece.choices[0].delta.content or "" async for piece in pieces])
            assert text == "You said: hello there"
            async with client.responses.stream(model=MODEL, input="hey") as told:
                assert (await told.get_final_response()).output_text == "You said: hey"
            chats = [client.chat.completions.create(model=MODEL, messages=ASKED) for _ in range(20)]
            assert len(await asyncio.gather(*chats)) == 20
            store = await client.vector_stores.create(name="notes")
            files: Any = [("b.md", b"# B\n\nbbbb")]
            batch = await client.vector_stores.file_batches.upload_and_poll(store.id, files=files)
            assert batch.status == "completed"
            assert [one.id async for one in client.files.list(limit=1)]
            assert [one.id async for one in client.models.list()]

    asyncio.run(ask())


def test_the_asynchronous_clients_do_the_same(start: Start) -> None:
    url = served(start).url
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the client's own classes
        ask_at_once(AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0))
        version = "2024-10-21"
        ask_at_once(AsyncAzureOpenAI(azure_endpoint=url, api_key="any", api_version=version))

"""Chat and completions, with the official client."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from pericia.errors import EnoughError
from pericia.server.wire import kept_alive
from pericia.types import Generation, Prompt, Sampling
from tests.fakes import FakeModel
from tests.server.conftest import Start

ASKED = [{"role": "user", "content": "How hot is kiln 3?"}]


def test_a_chat_is_answered_by_the_base(start: Start) -> None:
    server = start(FakeModel(["It is 900 °C."]))
    done = server.chat()(model="fake-base", messages=ASKED)
    choice = done.choices[0]
    assert choice.message.content == "It is 900 °C."
    assert choice.finish_reason == "stop"
    assert (done.model, done.object) == ("fake-base", "chat.completion")
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens == 9
    assert (done._request_id or "").startswith("req_")
    assert done.system_fingerprint


def test_a_stream_gives_the_same_text_and_the_usage_last(start: Start) -> None:
    server = start(FakeModel(["It is 900 °C."]))
    stream = server.chat()(
        model="fake-base",
        messages=ASKED,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "It is 900 °C."
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [c.choices[0].finish_reason for c in chunks[:-1]]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_never_leaks(start: Start, stream: bool) -> None:
    server = start(FakeModel(["one two three four"] * 2))
    ask = server.chat()
    if stream:
        chunks = list(ask(model="fake-base", messages=ASKED, stop="o three", stream=True))
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
    else:
        done = ask(model="fake-base", messages=ASKED, stop=["o three", "x"])
        text = done.choices[0].message.content
        assert done.usage.completion_tokens == 2
    assert text == "one tw"


def test_limits_and_n(start: Start) -> None:
    server = start(FakeModel(["one two three"] * 4))
    ask = server.chat()
    for limit in ({"max_tokens": 2}, {"max_completion_tokens": 2}):
        done = ask(model="fake-base", messages=ASKED, n=2, **limit)
        assert [c.message.content for c in done.choices] == ["one two"] * 2
        assert {c.finish_reason for c in done.choices} == {"length"}
        assert done.usage.completion_tokens == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "web_search"}]),
        ("tool_choice", "required"),
        ("logit_bias", {"1": 2}),
        ("logit_bias", {"1": 200}),
        ("logit_bias", {"one": 2}),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema"}),
        ("response_format", {"type": "xml"}),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("functions", [{"name": "f"}]),
        ("store", True),
        ("n", 0),
        ("temperature", 3),
        ("max_tokens", 0),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("no_such_field", 1),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_name(
    start: Start, field: str, value: object
) -> None:
    ask = start().chat()
    with pytest.raises(openai.BadRequestError) as refused:
        ask(model="fake-base", messages=ASKED, extra_body={field: value})
    assert (refused.value.param or "").startswith(field)
    assert refused.value.code
    assert refused.value.type == "invalid_request_error"
    assert field in refused.value.message


def test_of_two_possible_types_the_fault_of_the_given_one_is_said(start: Start) -> None:
    with pytest.raises(openai.BadRequestError, match="at most 4 items"):
        start().chat()(model="fake-base", messages=ASKED, stop=list("abcde"))


def test_a_fault_in_a_message_is_named_with_its_place(start: Start) -> None:
    ask = start().chat()
    messages = [*ASKED, {"role": "oracle", "content": "x"}]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(model="fake-base", messages=messages)
    assert refused.value.param == "messages[1].role"


def test_unknown_models_and_long_prompts(start: Start) -> None:
    server = start(FakeModel(context_tokens=20))
    ask = server.chat()
    with pytest.raises(openai.NotFoundError) as missing:
        ask(model="gpt-9", messages=ASKED)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert "fake-base" in missing.value.message
    long = [{"role": "user", "content": "word " * 30}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(model="fake-base", messages=long, stream=stream)
        assert refused.value.code == "context_length_exceeded"


def test_an_alias_answers_with_the_base_and_can_be_turned_off(start: Start) -> None:
    server = start(FakeModel(["yes"]))
    done = server.chat()(model="gpt-4o-mini-2024-07-18", messages=ASKED)
    assert done.choices[0].message.content == "yes"
    assert done.model == "gpt-4o-mini-2024-07-18"
    listed: dict[str, Any] = {m.id: m for m in server.openai().models.list()}
    assert listed["gpt-4o-mini"].to_dict()["pericia"]["alias_of"] == "fake-base"
    without = start(serve={"aliases": False})
    with pytest.raises(openai.NotFoundError):
        without.chat()(model="gpt-4o-mini", messages=ASKED)


def test_completions(start: Start) -> None:
    server = start(FakeModel(["one two", "three four five"]))
    done = server.openai().completions.create(model="fake-base", prompt=["a", "b"], max_tokens=2)
    assert [c.text for c in done.choices] == ["one two", "three four"]
    assert [c.finish_reason for c in done.choices] == ["stop", "length"]
    assert done.object == "text_completion"
    client = server.openai(strict=False)
    stream = client.completions.create(model="fake-base", prompt="hello", stream=True)
    assert "".join(c.choices[0].text for c in stream) == "You said: hello"


def test_too_many_callers_are_sent_away(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(serve={"max_waiting": 1})
    turn = threading.Event()

    def wait(*_: object) -> int:
        turn.wait(5)
        return 1

    monkeypatch.setattr(server.model, "count_tokens", wait)
    ask = server.chat()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, model="fake-base", messages=ASKED)
        time.sleep(0.3)
        with pytest.raises(openai.RateLimitError) as refused:
            ask(model="fake-base", messages=ASKED)
        assert refused.value.response.headers["retry-after"] == "1"
        turn.set()
        assert first.result().choices


def test_a_model_that_cannot_sample_says_so(start: Start) -> None:
    server = start()
    ask = server.chat()
    assert ask(model="fake-base", messages=ASKED, temperature=0, seed=7, top_p=0.5).choices
    with pytest.raises(openai.BadRequestError) as refused:
        ask(model="fake-base", messages=ASKED, temperature=0.7)
    assert refused.value.param == "temperature"


def test_sampling_reaches_the_model_with_a_seed_for_each_choice(start: Start) -> None:
    model = SamplingModel()
    ask = start(model).chat()
    done = ask(model="fake-base", messages=ASKED, temperature=0.5, seed=7, n=2, presence_penalty=1)
    assert len(done.choices) == 2
    assert [s.seed for s in model.asked] == [7, 8]
    assert (model.asked[0].temperature, model.asked[0].presence_penalty) == (0.5, 1)


class SamplingModel(FakeModel):
    """A FakeModel that keeps how it was to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Sampling] = []

    def sample(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        self.asked.append(sampling)
        return self.generate(
            prompt, max_new_tokens=max_new_tokens, adapter=adapter, on_text=on_text
        )


class EndlessModel(FakeModel):
    """Writes on until its caller wants no more, and notes that."""

    def __init__(self) -> None:
        super().__init__()
        self.left = threading.Event()

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        assert on_text is not None
        try:
            while True:
                on_text("word ")
                time.sleep(0.01)
        except EnoughError:
            self.left.set()
            raise


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_leaves_stops_the_generation(start: Start, stream: bool) -> None:
    model = EndlessModel()
    server = start(model)
    body = {"model": "fake-base", "messages": ASKED, "stream": stream}
    with (
        contextlib.suppress(httpx.ReadTimeout),
        httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=2) as answer,
    ):
        next(answer.iter_lines())
    assert model.left.wait(60)
    follower = start(FakeModel(["still here"])).chat()
    assert follower(model="fake-base", messages=ASKED).choices[0].message.content == "still here"


def test_choices_of_a_stream_are_those_of_the_whole(start: Start) -> None:
    server = start(FakeModel(["one two three"] * 6))
    asked: Any = {"model": "fake-base", "messages": ASKED, "n": 3}
    chunks = list(server.chat()(**asked, stream=True, stream_options={"include_usage": True}))
    texts = ["", "", ""]
    for chunk in chunks[:-1]:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
    assert texts == ["one two three"] * 3
    whole = server.chat()(**asked)
    assert [choice.message.content for choice in whole.choices] == texts
    assert chunks[-1].usage == whole.usage


def test_a_silent_stream_is_kept_alive() -> None:
    async def lines() -> AsyncIterator[str]:
        await asyncio.sleep(0.25)
        yield "data: late\n\n"

    async def heard() -> list[str]:
        return [line async for line in kept_alive(lines(), every_s=0.1)]

    *comments, last = asyncio.run(heard())
    assert comments
    assert all(comment.startswith(":") for comment in comments)
    assert last == "data: late\n\n"

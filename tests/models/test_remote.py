"""Another server computes: the bundled model behind a real Pericia server that speaks vLLM's calls for adapters."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from pericia import models
from pericia.config import parse_config
from pericia.errors import ConfigError, EnoughError, InputError, ModelError
from pericia.models import Model, Sampler
from pericia.server.app import create_app
from pericia.types import Message, Prompt, Sampling
from pericia.workspace import Workspace
from tests.server.conftest import running

PROMPT = Prompt((Message("user", "How hot is kiln 3?"),), "How hot is kiln 3?")


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> Model:
    return models.load(str(tiny_model))


@pytest.fixture(scope="module")
def url(local: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that computes with the very model of `local`."""
    settings = {"name": "back", "model": "tiny", "serve": {"takes_adapters": True}}
    app = create_app(
        Workspace(tmp_path_factory.mktemp("back")),
        parse_config(settings, "test"),
        key="",
        load_model=lambda _: local,
    )
    with running(app) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def remote(url: str) -> Iterator[Model]:
    model = models.load("tiny", upstream=url)
    yield model
    model._client.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    folder = tmp_path_factory.mktemp("adapter")
    with warnings.catch_warnings():  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
        chosen = LoraConfig(r=4, target_modules=["qkv_proj"], init_lora_weights=False)
        get_peft_model(base, chosen).save_pretrained(str(folder))
    return folder


def test_the_answer_is_that_of_the_model_behind(local: Model, remote: Model) -> None:
    pieces: list[str] = []
    here = local.generate(PROMPT, max_new_tokens=12)
    there = remote.generate(PROMPT, max_new_tokens=12, on_text=pieces.append)
    assert (there.text, there.finish_reason) == (here.text, here.finish_reason)
    assert "".join(pieces) == there.text
    assert there.usage.tokens_in == here.usage.tokens_in
    assert there.usage.tokens_out == here.usage.tokens_out
    assert remote.context_tokens == local.context_tokens
    assert remote.count_tokens(PROMPT.messages) == local.count_tokens(PROMPT.messages)


def test_an_address_names_server_and_model(local: Model, url: str) -> None:
    name = f"{url}?model=tiny"
    remote = models.load(name)
    assert remote.name == name
    assert (
        remote.generate(PROMPT, max_new_tokens=12).text
        == local.generate(PROMPT, max_new_tokens=12).text
    )
    remote._client.close()  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="does not say which one"):
        models.load(url)


def test_an_adapter_is_handed_over_once(local: Model, remote: Model, adapter: Path) -> None:
    here = local.generate(PROMPT, max_new_tokens=12, adapter=adapter).text
    assert here != local.generate(PROMPT, max_new_tokens=12).text
    for _ in range(2):
        assert remote.generate(PROMPT, max_new_tokens=12, adapter=adapter).text == here
    with pytest.raises(InputError, match="no adapter"):
        remote.generate(PROMPT, max_new_tokens=4, adapter=adapter.parent)


def test_sampling_schema_and_logprobs_go_along(local: Model, remote: Model) -> None:
    assert isinstance(local, Sampler)
    assert isinstance(remote, Sampler)
    drawn = Sampling(temperature=1.3, seed=11, num_logprobs=2)
    here = local.sample(PROMPT, drawn, max_new_tokens=8)
    there = remote.sample(PROMPT, drawn, max_new_tokens=8)
    assert there.text == here.text
    assert [one.data for one in there.logprobs] == [one.data for one in here.logprobs]
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"hot": {"type": "boolean"}},
            "required": ["hot"],
            "additionalProperties": False,
        }
    )
    said = remote.sample(PROMPT, Sampling(0.0, schema=schema), max_new_tokens=30)
    assert isinstance(json.loads(said.text)["hot"], bool)


def test_a_caller_may_end_the_answer(remote: Model) -> None:
    assert isinstance(remote, Sampler)

    def enough(_: str) -> None:
        raise EnoughError

    digits = Sampling(0.0, schema='{"type": "string", "pattern": "^[0-9]{30}$"}')
    ended = remote.sample(PROMPT, digits, max_new_tokens=60, on_text=enough)
    assert len(ended.text) < 30
    assert ended.finish_reason == "stop"


def test_errors_of_the_server_are_ours(remote: Model, url: str) -> None:
    with pytest.raises(InputError, match="refuses"):
        remote.generate(PROMPT, max_new_tokens=0)
    with pytest.raises(ModelError, match="cannot be reached"):
        models.load("tiny", upstream="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="has no model 'absent'"):
        models.load("absent", upstream=url)

"""What an answer may say and how likely it was: schemas, bias, log-probabilities."""

import json
import math
from pathlib import Path

import pytest

from pericia.errors import InputError
from pericia.models import Sampler, load
from pericia.types import Message, Prompt, Sampling

PROMPT = Prompt((Message("user", "How hot is kiln 3?"),), "How hot is kiln 3?")
KILN = {
    "type": "object",
    "properties": {
        "kiln": {"type": "integer", "minimum": 1, "maximum": 9},
        "state": {"enum": ["cold", "hot"]},
    },
    "required": ["kiln", "state"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Sampler:
    model = load(str(tiny_model))
    assert isinstance(model, Sampler)
    return model


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_keeps_to_its_schema(model: Sampler, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, seed=3, schema=json.dumps(KILN))
    said = model.sample(PROMPT, sampling, max_new_tokens=60)
    value = json.loads(said.text)
    assert set(value) == {"kiln", "state"}
    assert 1 <= value["kiln"] <= 9
    assert value["state"] in ("cold", "hot")
    assert said.finish_reason == "stop"


@pytest.mark.parametrize("schema", ['{"type": "no such type"}', "[", '{"$ref": "#/absent"}'])
def test_a_schema_that_cannot_be_followed_is_refused(model: Sampler, schema: str) -> None:
    with pytest.raises(InputError) as refused:
        model.sample(PROMPT, Sampling(schema=schema), max_new_tokens=4)
    assert refused.value.param == "response_format"


def test_logprobs_are_those_of_the_model(model: Sampler) -> None:
    sampling = Sampling(temperature=0.0, num_logprobs=3)
    said = model.sample(PROMPT, sampling, max_new_tokens=6)
    assert len(said.logprobs) == said.usage.tokens_out
    written = b"".join(one.data for one in said.logprobs)
    assert written.decode("utf-8", "replace").strip() == said.text
    for one in said.logprobs:
        assert one.logprob == max(other.logprob for other in one.top) <= 0
        assert [other.logprob for other in one.top] == sorted(
            (other.logprob for other in one.top), reverse=True
        )
        assert sum(math.exp(other.logprob) for other in one.top) <= 1.0001
    assert model.sample(PROMPT, Sampling(0.0), max_new_tokens=6).logprobs == ()


def test_a_bias_brings_a_token_and_bars_another(model: Sampler) -> None:
    plain = model.sample(PROMPT, Sampling(0.0, num_logprobs=2), max_new_tokens=1)
    best, second = plain.logprobs[0].top
    token = model._tokenizer.encode(best.token)[0]  # type: ignore[attr-defined]
    barred = Sampling(0.0, logit_bias={token: -100.0}, num_logprobs=0)
    assert model.sample(PROMPT, barred, max_new_tokens=1).logprobs[0].token == second.token
    with pytest.raises(InputError) as refused:
        model.sample(PROMPT, Sampling(logit_bias={10**6: 1.0}), max_new_tokens=1)
    assert refused.value.param == "logit_bias"

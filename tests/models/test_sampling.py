"""Drawn answers: the same seed repeats, penalties and top_p do what they say."""

from pathlib import Path

import pytest

from pericia.models import Model, Sampler, load
from pericia.types import Message, Prompt, Sampling

PROMPT = Prompt((Message("user", "How hot is kiln 3?"),), "How hot is kiln 3?")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return load(str(tiny_model))


def test_the_same_seed_draws_the_same_answer(model: Model) -> None:
    assert isinstance(model, Sampler)
    drawn = [
        model.sample(PROMPT, Sampling(seed=seed), max_new_tokens=12).text for seed in (1, 1, 2, 3)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_a_tiny_top_p_or_temperature_0_is_the_likeliest_answer(model: Model) -> None:
    assert isinstance(model, Sampler)
    likeliest = model.generate(PROMPT, max_new_tokens=8).text
    for sampling in (Sampling(top_p=1e-6), Sampling(temperature=0.0)):
        assert model.sample(PROMPT, sampling, max_new_tokens=8).text == likeliest


def test_a_penalty_keeps_tokens_from_coming_back(model: Model) -> None:
    assert isinstance(model, Sampler)
    sampling = Sampling(temperature=0.0, presence_penalty=2.0, frequency_penalty=2.0)
    penalised = model.sample(PROMPT, sampling, max_new_tokens=24)
    assert penalised.text != model.generate(PROMPT, max_new_tokens=24).text

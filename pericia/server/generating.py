"""One generation for one caller: the model is asked as the request wants it, and cut where a stop string comes up."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pericia.errors import EnoughError
from pericia.models import Model, Sampler
from pericia.server.turns import CallerGoneError, CutAtStops
from pericia.server.wire import RequestError
from pericia.types import Generation, Message, Prompt, Sampling, TokenLogprob, Usage


def generate(
    model: Model,
    prompt: Prompt,
    sampling: Sampling | None,
    *,
    max_new_tokens: int,
    adapter: Path | None,
    on_text: CutAtStops,
) -> Generation:
    """Return what the model writes, up to the first stop string.

    Raises:
        RequestError: the model only gives its likeliest answer, and more is asked. ModelError: the model failed.
    """
    started = time.perf_counter()
    kept = {"max_new_tokens": max_new_tokens, "adapter": adapter, "on_text": on_text}
    try:
        if sampling is None:
            return _cut(model.generate(prompt, **kept), on_text)  # type: ignore[arg-type]
        if isinstance(model, Sampler):
            return _cut(model.sample(prompt, sampling, **kept), on_text)  # type: ignore[arg-type]
    except CallerGoneError:
        raise
    except EnoughError:  # a model that cannot end early by itself
        written = model.count_tokens([Message("user", on_text.text)])
        frame = model.count_tokens([Message("user", "")])
        latency_ms = (time.perf_counter() - started) * 1000
        tokens_in = model.count_tokens(prompt.messages)
        return Generation(on_text.text, Usage(tokens_in, max(0, written - frame), latency_ms))
    param = _asked_by(sampling)
    text = f"'{model.name}' always gives its likeliest answer, so '{param}' cannot be honoured."
    hint = f"Leave '{param}' out."
    raise RequestError(text, code="unsupported_parameter", param=param, hint=hint)


def _cut(generation: Generation, on_text: CutAtStops) -> Generation:
    """Return the generation as far as it was passed on."""
    if not on_text.is_cut:
        on_text.finish()
        return generation
    kept = _logprobs_of(generation.logprobs, on_text.text)
    return replace(generation, text=on_text.text, finish_reason="stop", logprobs=kept)


def _asked_by(sampling: Sampling) -> str:
    """Return the parameter of a request that asks for more than the likeliest answer."""
    asked = {
        "response_format": sampling.schema,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.num_logprobs is not None,
        "temperature": sampling.temperature,
        "frequency_penalty": sampling.frequency_penalty,
    }
    return next((name for name, value in asked.items() if value), "presence_penalty")


def _logprobs_of(logprobs: Sequence[TokenLogprob], text: str) -> tuple[TokenLogprob, ...]:
    """Return those of the tokens that the text begins with; the one that a stop string begins in is left out."""
    data = text.encode()
    kept: list[TokenLogprob] = []
    written = b""
    for one in logprobs:
        written += one.data
        if not data.startswith(written.lstrip()):
            break
        kept.append(one)
    return tuple(kept)

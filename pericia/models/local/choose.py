"""The next token of an answer: the likeliest or a drawn one, within what a JSON Schema allows, and how likely it was."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer

from pericia.errors import InputError, ModelError
from pericia.types import Sampling, TokenLogprob

# One blank after commas and colons, as Python writes JSON: free blanks let a weak model go on with blanks for ever.
_JSON_STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Vocabulary:
    """The tokens of a model as bytes, and what compiles a JSON Schema to a mask over them."""

    def __init__(self, tokenizer: Any, size: int, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self.size = size
        self.stop_ids = stop_ids

    @cached_property
    def _tokens(self) -> LLTokenizer:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            text = "This model's tokenizer is not of the library tokenizers, so its tokens have no bytes."
            raise ModelError(text, hint="Leave response_format, tools and logprobs out.")
        return LLTokenizer(backend.to_str(), n_vocab=self.size, eos_token=sorted(self.stop_ids))

    def bytes_of(self, token: int) -> bytes:
        """Return what a token writes; an end marker writes itself."""
        return self._tokens.decode_bytes([token])

    def matcher(self, schema: str) -> LLMatcher:
        """Return what allows exactly the JSON that matches a JSON Schema.

        Raises:
            InputError: the schema is not valid, or uses what cannot be compiled.
        """
        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_JSON_STYLE)
            matcher = LLMatcher(self._tokens, grammar, log_level=0)
            fault = matcher.get_error()
        except ValueError as error:
            fault = str(error)
        if fault:
            reason = fault.strip().split("\n")[0]
            raise InputError(
                f"The JSON Schema cannot be followed: {reason}",
                hint="Mend it, or leave the keyword out.",
                param="response_format",
            )
        return matcher


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token, its log-probability, and the likeliest tokens with theirs, best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Chooser:
    """Chooses the tokens of one answer, in order."""

    sampling: Sampling
    matcher: LLMatcher | None
    generator: torch.Generator
    seen: Counter[int] = field(default_factory=Counter)
    chosen: list[Chosen] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether the schema leaves nothing more to write."""
        return self.matcher is not None and self.matcher.is_stopped()

    def choose(self, logits: torch.Tensor) -> int:
        """Return the next token from the logits (vocabulary,) of the next position.

        Raises:
            ModelError: the schema needs more memory or time than its limits.
        """
        logits = logits.float().cpu()
        weighed = self._weighed(logits)
        token = _drawn(weighed, self.sampling, self.generator)
        if self.sampling.num_logprobs is not None:
            self.chosen.append(_with_logprobs(logits, token, self.sampling.num_logprobs))
        self.seen[token] += 1
        if self.matcher is not None and not self.matcher.consume_token(token):
            reason = self.matcher.get_error().strip().split("\n")[0]
            raise ModelError(f"The JSON Schema became too complex to follow: {reason}")
        return token

    def _weighed(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits after penalties and bias, minus infinity where the schema forbids the token."""
        sampling = self.sampling
        logits = logits.clone()
        if sampling.frequency_penalty or sampling.presence_penalty:
            for token, count in self.seen.items():
                logits[token] -= sampling.frequency_penalty * count + sampling.presence_penalty
        for token, bias in sampling.logit_bias.items():
            logits[token] += bias
        if self.matcher is not None:
            bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.unpackbits(bits, bitorder="little")[: len(logits)].astype(bool)
            logits[: len(allowed)].masked_fill_(torch.from_numpy(~allowed), -torch.inf)
            logits[len(allowed) :] = -torch.inf
        return logits


def make_chooser(sampling: Sampling, vocabulary: Vocabulary) -> Chooser:
    """Return the chooser of one answer.

    Raises:
        InputError: the bias names a token that does not exist, or the schema cannot be followed.
    """
    for token in sampling.logit_bias:
        if not 0 <= token < vocabulary.size:
            text = (
                f"'logit_bias' names the token {token}; this model has 0 to {vocabulary.size - 1}."
            )
            raise InputError(text, hint="Token ids are the model's own.", param="logit_bias")
    generator = torch.Generator()
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    matcher = vocabulary.matcher(sampling.schema) if sampling.schema else None
    return Chooser(sampling, matcher, generator)


def read_logprobs(chooser: Chooser, vocabulary: Vocabulary) -> tuple[TokenLogprob, ...]:
    """Return the tokens chosen so far with their log-probabilities; an end marker is no part of the answer."""

    def shown(token: int, logprob: float) -> TokenLogprob:
        data = vocabulary.bytes_of(token)
        return TokenLogprob(data.decode("utf-8", "replace"), logprob, data)

    found = []
    for one in chooser.chosen:
        if one.token in vocabulary.stop_ids:
            continue
        top = tuple(shown(token, logprob) for token, logprob in one.top)
        own = shown(one.token, one.logprob)
        found.append(TokenLogprob(own.token, own.logprob, own.data, top))
    return tuple(found)


def _drawn(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    if sampling.temperature == 0:
        return int(logits.argmax())
    chances, tokens = torch.softmax(logits / sampling.temperature, -1).sort(descending=True)
    before = chances.cumsum(-1) - chances  # the likeliest token always stays
    chances[before >= sampling.top_p] = 0.0
    return int(tokens[torch.multinomial(chances, 1, generator=generator)])


def _with_logprobs(logits: torch.Tensor, token: int, num_top: int) -> Chosen:
    """Return the token with its log-probability under the model itself, before bias, penalties and temperature."""
    logprobs = torch.log_softmax(logits, -1)
    values, tokens = logprobs.topk(min(num_top, len(logprobs)))
    top = tuple(zip(tokens.tolist(), values.tolist(), strict=True))
    return Chosen(token, float(logprobs[token]), top)

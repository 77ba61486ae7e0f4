"""Embedders behind HTTP: OpenAI, Jina, and any server of `/v1/embeddings`.

    openai:text-embedding-3-small?dimensions=512
    jina:jina-embeddings-v3?late_chunking=true
    https://gpu.example.org/v1?model=e5-small&query_prefix=query: &passage_prefix=passage: &max_tokens=512

Keys come from the environment alone. The official client repeats what failed for a passing reason (429, 5xx, broken
connections), with growing pauses or the one that the server asks for. Every reply is checked: one vector a text, of the
expected length. Sources: OpenAI's and Jina's API references of 2026-11.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import openai
from numpy.typing import NDArray
from openai.types import CreateEmbeddingResponse

from pericia.errors import ConfigError, ModelError
from pericia.lookup import unknown_name

MAX_INPUTS = 2048  # texts a request
REQUEST_TOKENS = 100_000  # a third of what OpenAI takes: tokens are estimated
JINA_REQUEST_TOKENS = 8192
MAX_RETRIES = 8  # half a minute of pauses in all
TIMEOUT_S = 120
BYTES_A_TOKEN = 3  # English has four, other languages two to four: the estimate is rather too long

_BASES = {
    "openai": ("OPENAI_BASE_URL", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "jina": ("JINA_BASE_URL", "https://api.jina.ai/v1", "JINA_API_KEY"),
}
_OWN_KEY = "EMBEDDINGS_API_KEY"  # of any other server; many need none
_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "jina-embeddings-v3": 1024,
    "jina-embeddings-v4": 2048,
}
_PRICES = {  # USD a million tokens
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
    "text-embedding-ada-002": 0.10,
}


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand behind the `?` of a name. `price` is in USD a million tokens."""

    model: str = ""
    dimensions: int = 0
    task: str = ""
    late_chunking: bool = False
    max_tokens: int = 8191
    query_prefix: str = ""
    passage_prefix: str = ""
    price: float = 0.0


def load(name: str) -> "RemoteEmbedder":
    """Return the embedder of a name as in the module's text.

    Raises:
        ConfigError: the name or an option is wrong, or the key is not in the environment.
    """
    address, _, query = name.partition("?")
    options = _read_options(name, query)
    kind, _, model = address.partition(":")
    if kind not in _BASES:
        if not options.model:
            raise ConfigError(
                f"The embedder '{name}' does not say which model.",
                hint=f"Write: {address}?model=NAME",
            )
        key = os.environ.get(_OWN_KEY, "none")
        return RemoteEmbedder("other", address, key, options)
    base_variable, base, key_variable = _BASES[kind]
    key = os.environ.get(key_variable, "")
    if not key:
        raise ConfigError(
            f"The embedder '{name}' needs a key.", hint=f"Run: export {key_variable}=…"
        )
    return RemoteEmbedder(
        kind, os.environ.get(base_variable, base), key, replace(options, model=model)
    )


class RemoteEmbedder:
    """See `Embedder` and `Metered`."""

    def __init__(self, kind: str, base_url: str, key: str, options: Options) -> None:
        if urlsplit(base_url).hostname is None:
            raise ConfigError(f"'{base_url}' is no address.", hint="Write: https://HOST/v1")
        self._kind = kind
        self._options = options
        self._key = key
        self._client = openai.OpenAI(
            base_url=base_url, api_key=key, max_retries=MAX_RETRIES, timeout=TIMEOUT_S
        )
        where = kind if kind in _BASES else base_url
        shaping = ("dimensions", "task", "late_chunking", "query_prefix", "passage_prefix")
        chosen = [f"{name}={value}" for name in shaping if (value := getattr(options, name))]
        self.name = "&".join([f"{where}:{options.model}", *chosen])
        self.max_tokens = options.max_tokens
        self.reads_context = options.late_chunking
        self.num_tokens_sent = 0

    @cached_property
    def num_dimensions(self) -> int:
        """The length of a vector; of an unknown model it is asked for once."""
        known = self._options.dimensions or _DIMENSIONS.get(self._options.model, 0)
        return known or self._request(["dimensions"], "passage").shape[1]

    @property
    def cost_usd(self) -> float | None:
        """What was spent so far, None where the price is not known."""
        price = self._options.price or _PRICES.get(self._options.model)
        return None if price is None else self.num_tokens_sent * price / 1e6

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed_passages`. With late chunking, the texts are one document in its order."""
        return self._embed([self._options.passage_prefix + text for text in texts], "passage")

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed_questions`."""
        return self._embed([self._options.query_prefix + text for text in texts], "query")

    def count_tokens(self, text: str) -> int:
        """See `Embedder.count_tokens`; estimated, as the tokenizer is on the server."""
        return -(-len(text.encode()) // BYTES_A_TOKEN)

    def _embed(self, texts: Sequence[str], side: str) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.num_dimensions), dtype=np.float32)
        for start, end in self._requests(texts):
            found = self._request(texts[start:end], side)
            if found.shape[1] != self.num_dimensions:
                raise ModelError(
                    f"{self._where} gave vectors of {found.shape[1]} dimensions instead of {self.num_dimensions}.",
                    hint="Another model answers there now, or it cannot shorten its vectors; leave out 'dimensions'.",
                )
            vectors[start:end] = found
        return vectors

    def _requests(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield start and end of the texts that go into one request."""
        budget = JINA_REQUEST_TOKENS if self.reads_context else REQUEST_TOKENS
        start = used = 0
        for place, text in enumerate(texts):
            size = self.count_tokens(text)
            if place > start and (used + size > budget or place - start == MAX_INPUTS):
                yield start, place
                start, used = place, 0
            used += size
        if texts:
            yield start, len(texts)

    def _request(self, texts: Sequence[str], side: str) -> NDArray[np.float32]:
        """Return the vectors of one request, (len(texts), dimensions), each of length 1."""
        body: dict[str, Any] = {
            "model": self._options.model,
            "input": [text if text.strip() else "-" for text in texts],  # empty ones are refused
        }
        if self._options.dimensions:
            body["dimensions"] = self._options.dimensions
        if self._kind == "jina":
            # An input that is too long is an error instead of being cut in silence.
            body |= {"embedding_type": "float", "normalized": True, "truncate": False}
            body["task"] = self._options.task or f"retrieval.{side}"
            body["late_chunking"] = self._options.late_chunking and side == "passage"
        else:
            body["encoding_format"] = "float"
            if self._options.task:
                body["task"] = self._options.task
        try:
            reply = self._client.post("/embeddings", body=body, cast_to=CreateEmbeddingResponse)
        except openai.APIError as error:
            raise self._translated(error) from error
        return self._checked(reply, len(texts))

    def _checked(self, reply: CreateEmbeddingResponse, num_texts: int) -> NDArray[np.float32]:
        if not isinstance(reply, CreateEmbeddingResponse):
            raise ModelError(
                f"{self._where} gave no embeddings.", hint="Look at the address: it ends in /v1."
            )
        rows = sorted(reply.data or (), key=lambda row: row.index if row.index is not None else -1)
        lengths = {len(row.embedding or ()) for row in rows}
        if [row.index for row in rows] != list(range(num_texts)) or len(lengths) != 1:
            raise ModelError(
                f"{self._where} gave {len(rows)} vectors of {len(lengths)} lengths for {num_texts} texts."
            )
        self.num_tokens_sent += reply.usage.total_tokens if reply.usage else 0
        vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise ModelError(
                f"{self._where} gave a vector without a direction (zeros or no numbers)."
            )
        unit: NDArray[np.float32] = vectors / norms
        return unit

    @property
    def _where(self) -> str:
        return f"The embedder '{self._options.model}' at {self._client.base_url.host}"

    def _translated(self, error: openai.APIError) -> ModelError:
        reason = str(error.message).replace(self._key, "…").strip().split("\n")[0]
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            hint = (
                f"Look at the key in {_BASES[self._kind][2] if self._kind in _BASES else _OWN_KEY}."
            )
        elif isinstance(error, openai.RateLimitError):
            hint = "Wait, or ask the provider for a higher limit; what is embedded already is kept."
        elif isinstance(error, openai.APIStatusError) and error.status_code < 500:
            hint = "Look at the model's name and its options."
        else:
            hint = "Look at the address and the network, and run the same command again: it goes on from there."
        return ModelError(f"{self._where} does not answer: {reason}", hint=hint)


def _read_options(name: str, query: str) -> Options:
    known = MappingProxyType({field.name: field.type for field in fields(Options)})
    values: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in known:
            unknown = unknown_name("option of an embedder", key, known)
            raise ConfigError(unknown.message, hint=unknown.hint)
        try:
            values[key] = _READ[type(getattr(Options(), key))](text)
        except (ValueError, KeyError) as error:
            raise ConfigError(
                f"'{name}': {key} is '{text}'.", hint="Give a number, or true or false."
            ) from error
    return Options(**values)


_READ: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: {"true": True, "false": False}.__getitem__,
}

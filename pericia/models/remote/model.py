"""Models behind an OpenAI-compatible server: OpenAI, Azure, vLLM, Ollama, llama.cpp, another Pericia.

An adapter is handed over by vLLM's load_lora_adapter and unload_lora_adapter, so the server must see the same files.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import openai

from pericia.errors import EnoughError, InputError, ModelError
from pericia.examples import as_chat
from pericia.types import FinishReason, Generation, Message, Prompt, Sampling, TokenLogprob, Usage

MAX_LOADED = 16  # adapters on the server at once; the one used least recently makes room
_CONTEXT_TOKENS = 4096  # where the server does not say
_BYTES_PER_TOKEN = 3  # a careful guess where nobody counts: English has 4, other languages fewer
_TOKENS_PER_MESSAGE = 4
_TAKES_NONE = (
    "vLLM: --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True. Pericia: serve.takes_adapters."
)


class RemoteModel:
    """See `Model` and `Sampler`."""

    def __init__(self, name: str, model: str, client: openai.OpenAI) -> None:
        self.name = name
        self._model = model
        self._client = client
        self._loaded: OrderedDict[str, None] = OrderedDict()
        self._loading = threading.Lock()
        counted = self._counted([Message("user", "")])
        self._counts = counted is not None
        self.context_tokens = int((counted or {}).get("max_model_len") or _CONTEXT_TOKENS)

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """See `Model.generate`."""
        return self._generate(prompt, {"temperature": 0}, max_new_tokens, adapter, on_text)

    def sample(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """See `Sampler.sample`."""
        return self._generate(prompt, _options(sampling), max_new_tokens, adapter, on_text)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See `Model.count_tokens`; a guess that is rather too high where the server does not count."""
        counted = self._counted(messages) if self._counts else None
        if counted is not None:
            return int(counted["count"])
        size = sum(len(message.content.encode()) for message in messages)
        return size // _BYTES_PER_TOKEN + _TOKENS_PER_MESSAGE * (len(messages) + 1)

    def _generate(
        self,
        prompt: Prompt,
        options: dict[str, Any],
        max_new_tokens: int,
        adapter: Path | None,
        on_text: Callable[[str], None] | None,
    ) -> Generation:
        with as_ours(self.name):
            try:
                return self._asked(prompt, options, max_new_tokens, adapter, on_text)
            except openai.NotFoundError:  # a server that was started anew knows no adapter any more
                if adapter is None:
                    raise
                self._forget(adapter)
                return self._asked(prompt, options, max_new_tokens, adapter, on_text)

    def _asked(
        self,
        prompt: Prompt,
        options: dict[str, Any],
        max_new_tokens: int,
        adapter: Path | None,
        on_text: Callable[[str], None] | None,
    ) -> Generation:
        started = time.perf_counter()
        pieces: list[str] = []
        logprobs: list[TokenLogprob] = []
        reason: FinishReason = "stop"
        first_token_ms = None
        counted = None
        model = self._model if adapter is None else self._hand_over(adapter)
        create: Any = self._client.chat.completions.create  # its overloads know no shared options
        stream = create(
            model=model,
            messages=as_chat(prompt.messages),
            max_tokens=max_new_tokens,
            stream=True,
            stream_options={"include_usage": True},
            **options,
        )
        with stream:
            for chunk in stream:
                counted = chunk.usage or counted
                for choice in chunk.choices:
                    logprobs += _read_logprobs(choice.logprobs)
                    if choice.finish_reason == "length":
                        reason = "length"
                    if not choice.delta.content:
                        continue
                    first_token_ms = first_token_ms or (time.perf_counter() - started) * 1000
                    pieces.append(choice.delta.content)
                    try:
                        if on_text is not None:
                            on_text(choice.delta.content)
                    except EnoughError:
                        return self._result(prompt, pieces, None, started, first_token_ms)
        made = self._result(prompt, pieces, counted, started, first_token_ms)
        return Generation(made.text, made.usage, reason, tuple(logprobs))

    def _result(
        self,
        prompt: Prompt,
        pieces: Sequence[str],
        counted: Any,
        started: float,
        first_token_ms: float | None,
    ) -> Generation:
        """Return the answer; without the server's count a piece is a token."""
        tokens_in = counted.prompt_tokens if counted else self.count_tokens(prompt.messages)
        tokens_out = counted.completion_tokens if counted else len(pieces)
        latency_ms = (time.perf_counter() - started) * 1000
        return Generation("".join(pieces), Usage(tokens_in, tokens_out, latency_ms, first_token_ms))

    def _hand_over(self, adapter: Path) -> str:
        """Return the name under which the server has the adapter, loaded now if need be."""
        name = _name_of(adapter)
        with self._loading:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return name
            body = {"lora_name": name, "lora_path": str(adapter.resolve())}
            try:
                self._post("/load_lora_adapter", body)
            except openai.BadRequestError as error:
                if "already" not in str(error):  # loaded by a server before this one
                    raise
            except openai.NotFoundError as error:
                raise self._not_taken(adapter, error) from error
            except openai.PermissionDeniedError as error:
                text = f"The server of '{self.name}' does not take adapters: {error.message}"
                raise ModelError(text, hint=_TAKES_NONE) from error
            self._loaded[name] = None
            while len(self._loaded) > MAX_LOADED:
                oldest, _ = self._loaded.popitem(last=False)
                with suppress(openai.NotFoundError):  # it is gone already
                    self._post("/unload_lora_adapter", {"lora_name": oldest})
        return name

    def _not_taken(self, adapter: Path, error: openai.NotFoundError) -> ModelError:
        """Return why an adapter was not found there: the call is unknown, or the folder is."""
        if "adapter" not in error.message.lower():
            text = f"The server of '{self.name}' does not take adapters."
            return ModelError(text, hint=_TAKES_NONE)
        text = f"The server of '{self.name}' does not find the adapter '{adapter.resolve()}'."
        return ModelError(text, hint="Both servers must see this folder under the same path.")

    def _forget(self, adapter: Path) -> None:
        with self._loading:
            self._loaded.pop(_name_of(adapter), None)

    def _counted(self, messages: Sequence[Message]) -> dict[str, Any] | None:
        """Return what the server says of a chat's length, None where it does not count (vLLM and Pericia do)."""
        root = str(self._client.base_url).rstrip("/").removesuffix("/v1")
        body = {"model": self._model, "messages": as_chat(messages)}
        with as_ours(self.name):
            try:
                counted = self._post(f"{root}/tokenize", body).json()
            except (openai.APIStatusError, ValueError):
                return None
        return counted if isinstance(counted, dict) and "count" in counted else None

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Return the answer to what the official client has no method for."""
        return self._client.post(path, body=body, cast_to=httpx.Response)


def _name_of(adapter: Path) -> str:
    """Return the name that an adapter has on the server; weights trained anew in the same folder have another one.

    Raises:
        InputError: the folder holds no adapter.
    """
    weights = adapter / "adapter_model.safetensors"
    if not weights.exists():
        text = f"'{adapter}' is no adapter: it has no {weights.name}."
        raise InputError(text, hint="Train it again, or mend the path.")
    mark = f"{adapter.resolve()} {weights.stat().st_mtime_ns}"
    return f"pericia-{sha256(mark.encode()).hexdigest()[:16]}"


def _options(sampling: Sampling) -> dict[str, Any]:
    options: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    if sampling.seed is not None:
        options["seed"] = sampling.seed
    if sampling.logit_bias:
        options["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    if sampling.num_logprobs is not None:
        options |= {"logprobs": True, "top_logprobs": sampling.num_logprobs}
    if sampling.schema:
        named = {"name": "answer", "strict": True, "schema": json.loads(sampling.schema)}
        options["response_format"] = {"type": "json_schema", "json_schema": named}
    return options


def _read_logprobs(logprobs: Any) -> Iterator[TokenLogprob]:
    for one in (logprobs.content if logprobs else None) or ():
        top = tuple(
            TokenLogprob(t.token, t.logprob, bytes(t.bytes or b"")) for t in one.top_logprobs
        )
        yield TokenLogprob(one.token, one.logprob, bytes(one.bytes or b""), top)


@contextmanager
def as_ours(name: str) -> Iterator[None]:
    """Raise errors of the client as ours; no key is ever part of one."""
    try:
        yield
    except openai.APIConnectionError as error:
        raise _unreachable(name, error) from error
    except openai.BadRequestError as error:
        raise InputError(f"The server of '{name}' refuses: {error.message}") from error
    except openai.APIStatusError as error:
        text = f"The server of '{name}' answers {error.status_code}: {error.message}"
        raise ModelError(text, hint="See its log.") from error
    except openai.APIError as error:  # in the middle of a stream, or an answer that cannot be read
        text = f"The server of '{name}' broke off: {error.message}"
        raise ModelError(text, hint="See its log.") from error
    except openai.OpenAIError as error:  # no key, or no address
        raise ModelError(str(error), hint="Set the variables of OpenAI's client.") from error


def _unreachable(name: str, error: Exception) -> ModelError:
    failed = ModelError(f"The server of '{name}' cannot be reached: {error}", hint="Is it running?")
    failed.retryable = True
    return failed

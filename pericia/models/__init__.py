"""Models: a prompt becomes a text. `quote` uses no language model; `local` any causal LM in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from pericia.lookup import load_object
from pericia.types import Generation, Message, Prompt, Sampling, TextLoss


class Model(Protocol):
    name: str
    context_tokens: int  # prompt and answer together

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Return the greedy answer; with an `adapter` folder, of the base with that adapter on.

        `on_text` receives the answer piece by piece while it grows; it may raise EnoughError to end it. Calls from
        several threads may be answered together.

        Raises:
            InputError: prompt and answer do not fit `context_tokens`. ModelError: the model failed.
        """
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the length of a chat as the model sees it, template included."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """What a model is as well if it can draw its answers; arms never do."""

    def sample(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Return a drawn answer. See `Model.generate`."""
        ...


@runtime_checkable
class Rater(Protocol):
    """What a model is as well if it can say how likely a text is to it."""

    def text_loss(
        self, text: str, *, prompt: Prompt | None = None, adapter: Path | None = None
    ) -> TextLoss:
        """Return the loss of a text after a prompt, or by itself; what exceeds the context is left out.

        Without a prompt and without a token that begins texts, the first token is not scored.
        """
        ...


MODELS = {
    "quote": "pericia.models.quote:load_quote",
    "pericia-nano": "pericia.models.local.model:load_bundled",
}


_ANY_FOLDER = {"folder": "pericia.models.local.model:load_folder"}
_REMOTE = {  # what stands before a ":"
    "openai": "pericia.models.remote.services:load_openai",
    "azure": "pericia.models.remote.services:load_azure",
}
_ADDRESS = {"address": "pericia.models.remote.services:load_address"}
_UPSTREAM = {"upstream": "pericia.models.remote.services:load_upstream"}


def load(name: str, upstream: str = "") -> Model:
    """Return a model: a name of `MODELS`, `openai:NAME`, `azure:DEPLOYMENT`, https://HOST/v1?model=NAME, a folder, or a hub name.

    With `upstream`, the address of an OpenAI-compatible server, that server computes for the model.

    Raises:
        NotFoundError: the folder holds no causal language model. ModelError: its files are damaged, or the server
            does not answer. ConfigError: an address names no model.
    """
    kind, colon, there = name.partition(":")
    if upstream:
        model: Model = load_object(_UPSTREAM, "upstream", "model")(name, upstream)
    elif name in MODELS:
        model = load_object(MODELS, name, "model")()
    elif colon and kind in _REMOTE:
        model = load_object(_REMOTE, kind, "model")(there)
    elif kind in ("http", "https"):
        model = load_object(_ADDRESS, "address", "model")(name)
    else:
        model = load_object(_ANY_FOLDER, "folder", "model")(name)
    return model

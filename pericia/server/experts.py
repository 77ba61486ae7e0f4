"""Names become answers: the base, its fine-tuned models and the five arms, side by side on one base in memory.

An arm answers as it was measured: the same prompt, passages, examples and adapter as in `pericia run`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pericia.config import ARM_NAMES, Config
from pericia.jobs import Deployment, Ledger
from pericia.models import Model
from pericia.said import said
from pericia.server.generating import generate
from pericia.server.names import (
    CHAT_ALIASES_SHOWN,
    EMBEDDING_ALIASES,
    is_chat_alias,
    tuned_models,
)
from pericia.server.served import ArmRoom, Ask, Asked, Decoding, Served
from pericia.server.turns import CutAtStops, OnText
from pericia.server.wire import RequestError
from pericia.types import Answer, Generation, Message, Prompt, Usage


class Experts:
    """Everything that has a name here. The base is loaded when it is first asked."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        load_model: Callable[[str], Model],
        room: ArmRoom,
        on_usage: Callable[[Usage], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._load_model = load_model
        self._room = room
        self._on_usage = on_usage
        self._model: Model | None = None
        self._loading = threading.Lock()
        self._lent: dict[str, Path] = {}
        self._started = time.time()

    @property
    def base(self) -> str:
        return self._config.model

    def model(self) -> Model:
        """Return the base, loaded now if need be."""
        with self._loading:
            if self._model is None:
                self._model = self._load_model(self.base)
            return self._model

    def lend(self, name: str, adapter: Path) -> None:
        """Serve an adapter of another server under a name, until it is given back or this server ends."""
        self._lent[name] = adapter

    def give_back(self, name: str) -> bool:
        """Serve such an adapter no longer; return whether it was."""
        return self._lent.pop(name, None) is not None

    def served(self) -> list[Served]:
        """Return every model in the order in which a list shows them: industry, arms, base, tuned, aliases."""
        return [*self._arms(), *self._fixed(), *self._tuned(), *self._aliases()]

    def _arms(self) -> Iterator[Served]:
        name, base, born = self._config.name, self.base, self._started
        advised, state = self._room.recommended(), self._room.state
        yield Served(name, "arm", base, born, arm=advised, state=state(advised))
        for arm in self._room.arms():
            yield Served(f"{name}:{arm}", "arm", base, born, arm=arm, state=state(arm))

    def _fixed(self) -> Iterator[Served]:
        embedder = self._config.embedder
        yield Served(self.base, "base", self.base, self._started)
        yield Served(embedder, "embedder", embedder, self._started)

    def _tuned(self) -> Iterator[Served]:
        for one in tuned_models(self._ledger).values():
            yield Served(one.name, "tuned", one.job.base, one.created, adapter=one.folder)
        for lent, adapter in list(self._lent.items()):
            yield Served(lent, "tuned", self.base, self._started, adapter=adapter)

    def _aliases(self) -> Iterator[Served]:
        if not self._config.serve.aliases:
            return
        base, embedder, born = self.base, self._config.embedder, self._started
        for alias in CHAT_ALIASES_SHOWN:
            yield Served(alias, "base", base, born, alias_of=base)
        for alias in EMBEDDING_ALIASES:
            yield Served(alias, "embedder", embedder, born, alias_of=embedder)

    def find(self, name: str, *, in_deployments: bool = False) -> Served:
        """Return what a name stands for; the names of deployments count last, with `in_deployments` first.

        Raises:
            RequestError: nothing has this name; the hint lists what does.
        """
        if in_deployments and (deployed := self._deployed(name)) is not None:
            return deployed
        if (one := self.model_named(name)) is not None:
            return one
        if (deployed := self._deployed(name)) is not None:
            return deployed
        known = [one for one in self.served() if not one.alias_of and one.kind != "embedder"]
        shown = ", ".join(one.name for one in known)
        arm = name.removeprefix(f"{self._config.name}:")
        hint = said("Served here: %(shown)s.", shown=shown)
        if arm in ARM_NAMES:
            hint = said(
                "The arm '%(arm)s' cannot answer yet: run the comparison first with pericia run. %(hint)s",
                arm=arm,
                hint=hint,
            )
        code = "DeploymentNotFound" if in_deployments else "model_not_found"
        raise RequestError(
            said("The model '%(name)s' does not exist.", name=name),
            code=code,
            status=404,
            param="model",
            hint=hint,
        )

    def model_named(self, name: str) -> Served | None:
        """Return the model of this name, None where there is none; deployments are not looked at."""
        # the industry's own names come first; others need not look at its index and its runs
        parts: list[Callable[[], Iterator[Served]]] = [self._fixed, self._aliases, self._tuned]
        if name.partition(":")[0] == self._config.name:
            parts.insert(0, self._arms)
        for part in parts:
            for one in part():
                if one.name == name:
                    return one
        if self._config.serve.aliases and is_chat_alias(name):
            return Served(name, "base", self.base, self._started, alias_of=self.base)
        return None

    def _deployed(self, name: str) -> Served | None:
        """Return what a deployment stands for: a model, and never another deployment."""
        for deployment in self._ledger.all(Deployment):
            if deployment.id == name:
                model = self.model_named(deployment.model)
                return None if model is None else replace(model, name=name)
        return None

    def check_prompt(self, served: Served, chat: Sequence[Message], decoding: Decoding) -> int:
        """Return how many new tokens there is room for, at most as many as wanted.

        Raises:
            RequestError: the prompt alone fills the context.
        """
        model = self.model()
        num_tokens = model.count_tokens(chat)
        room = model.context_tokens - num_tokens
        if room < 1:
            raise RequestError(
                said(
                    "The messages have %(num_tokens)s tokens; '%(name)s' reads at most %(context_tokens)s, answer included.",
                    num_tokens=num_tokens,
                    name=served.name,
                    context_tokens=model.context_tokens,
                ),
                code="context_length_exceeded",
                param="messages",
                hint=said("Shorten the messages."),
            )
        return min(room, decoding.max_new_tokens or room)

    def answer(
        self,
        served: Served,
        chat: Sequence[Message],
        decoding: Decoding,
        on_text: OnText,
        ask: Ask | None = None,
    ) -> Answer:
        """Return the answer to the last message; blocks while the model generates.

        `ask` makes the prompt of a question, an instruction and the chat before; an arm has its own, and without any the chat is it.

        Raises:
            RequestError: the chat does not fit, or has no question. ModelError: the model failed.
        """
        model = self.model()
        cut = CutAtStops(decoding.stops, on_text)
        if served.kind == "arm":
            ask = partial(self._room.ask, served.arm)
        if ask is not None:
            asked = self._ask(served, chat, ask)
        else:
            question = next((m.content for m in reversed(chat) if m.role == "user"), "")
            asked = Asked(
                Prompt(tuple(chat), question), served.adapter, model.context_tokens, _plain
            )
        if asked.refusal is not None:
            on_text(asked.refusal.text)
            return asked.refusal
        wanted = decoding.max_new_tokens or asked.max_new_tokens
        limit = self.check_prompt(
            served, asked.prompt.messages, replace(decoding, max_new_tokens=wanted)
        )
        generation = generate(
            model,
            asked.prompt,
            decoding.sampling,
            max_new_tokens=limit,
            adapter=asked.adapter,
            on_text=cut,
        )
        answer = replace(asked.cite(generation), logprobs=generation.logprobs)
        self._on_usage(answer.usage)
        if answer.text and not cut.text.strip():
            on_text(answer.text)  # an empty reply counts as a refusal, which has words
        return answer

    def _ask(self, served: Served, chat: Sequence[Message], ask: Ask) -> Asked:
        """Return the prompt that `ask` makes of the last question.

        A system message of the caller takes the place of the configured instruction; earlier turns stand before the
        question, and nothing is left out.
        """
        if chat[-1].role != "user":
            raise RequestError(
                said(
                    "'%(name)s' answers questions, and the last message is by the %(role)s.",
                    name=served.name,
                    role=chat[-1].role,
                ),
                code="invalid_value",
                param=f"messages[{len(chat) - 1}].role",
                hint=said("End with a message by the user."),
            )
        instruction = "\n".join(m.content for m in chat if m.role == "system")
        earlier = [m for m in chat[:-1] if m.role != "system"]
        asked = ask(chat[-1].content, instruction, self.model(), earlier)
        own = asked.prompt.messages
        first_turn = next(i for i, m in enumerate(own) if m.role != "system")
        messages = (*own[:first_turn], *earlier, *own[first_turn:])
        return replace(asked, prompt=replace(asked.prompt, messages=messages))


def _plain(generation: Generation) -> Answer:
    return Answer(generation.text, usage=generation.usage, finish_reason=generation.finish_reason)

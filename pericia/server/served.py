"""What is served: a name, how it is to answer, what it sends to the model, and the room of one industry's arms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pericia.errors import NotFoundError
from pericia.library import Library
from pericia.models import Model
from pericia.said import said
from pericia.types import Answer, Generation, Message, Prompt, Sampling
from pericia.workspace import sha256_of


@dataclass(frozen=True, slots=True)
class Served:
    """What a name stands for. `alias_of` is set where the name is OpenAI's and the model is ours."""

    name: str
    kind: Literal["base", "tuned", "arm", "embedder"]
    base: str
    created: float
    arm: str = ""
    adapter: Path | None = None
    alias_of: str = ""
    state: str = ""  # of what an arm answers from, as a hash

    @property
    def fingerprint(self) -> str:
        """Change whenever the same question may get another answer."""
        parts = [self.kind, self.base, self.arm, str(self.adapter), self.state]
        return f"fp_{sha256_of(parts)[:12]}"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How to decode. `max_new_tokens` None: as many as fit, or for an arm as many as were measured.

    `sampling` None: the likeliest token each time, as in every measurement.
    """

    max_new_tokens: int | None = None
    stops: tuple[str, ...] = ()
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What an arm sends to the model, and how its reply becomes a cited answer.

    `refusal` is set where the model is not asked at all: the passages cannot hold an answer, or a table gave it.
    """

    prompt: Prompt
    adapter: Path | None
    max_new_tokens: int
    cite: Callable[[Generation], Answer]
    refusal: Answer | None = None


# what makes the prompt of a question, an instruction and the chat before
Ask = Callable[[str, str, Model, Sequence[Message]], Asked]


class ArmRoom:
    """The arms of one industry. The server's own is `rooms.Industry`; this one has none and says so."""

    def arms(self) -> tuple[str, ...]:
        """Return the arms that can be asked now."""
        return ()

    def recommended(self) -> str:
        """Return the arm that answers when only the industry is named."""
        return "prompt"

    def library(self) -> Library:
        """Return the industry's index.

        Raises:
            NotFoundError: nothing is indexed.
        """
        raise NotFoundError(
            said("No documents are indexed yet."), hint=said("Run: pericia add PATH")
        )

    def state(self, arm: str) -> str:
        """Return a hash of all that the arm answers from: index, examples, settings, adapter."""
        return ""

    def ask(
        self,
        arm: str,
        question: str,
        instruction: str,
        model: Model,
        history: Sequence[Message] = (),
    ) -> Asked:
        """Return what the arm sends; `instruction` "" means the configured one, `history` is the chat before.

        Raises:
            NotFoundError: the arm cannot answer here. InputError: there is no room for a passage.
        """
        raise NotFoundError(
            said("The arm '%(arm)s' cannot answer here.", arm=arm), hint=said("Run: pericia run")
        )

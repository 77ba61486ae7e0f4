"""Stand-ins for models, embedders and trainers: their answers can be told by eye, and they need no weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pericia.embedders import Vectors
from pericia.errors import InputError
from pericia.types import Generation, Message, Prompt, Usage


class FakeModel:
    """Answers with the scripted replies in turn, else with an echo of the question; a token is a word.

    It keeps the prompts and adapters that it was given.
    """

    name = "fake"

    def __init__(self, replies: Sequence[str] = (), context_tokens: int = 512) -> None:
        self.context_tokens = context_tokens
        self.replies = list(replies)
        self.prompts: list[Prompt] = []
        self.adapters: list[Path | None] = []

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        num_in = self.count_tokens(prompt.messages)
        if num_in + max_new_tokens > self.context_tokens:
            raise InputError(f"{num_in} + {max_new_tokens} tokens do not fit.")
        self.prompts.append(prompt)
        self.adapters.append(adapter)
        reply = self.replies.pop(0) if self.replies else f"You said: {prompt.question}"
        words = reply.split(" ")
        kept = words[:max_new_tokens]
        for index, word in enumerate(kept):
            if on_text is not None:
                on_text(word if index == 0 else f" {word}")
        reason = "stop" if kept == words else "length"
        return Generation(" ".join(kept), Usage(num_in, len(kept), 1.0, 1.0), reason)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)


class FakeEmbedder:
    """Counts the letters a, b, c and d: texts with the same letters are near."""

    name = "letters"
    num_dimensions = 4
    max_tokens = 100

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        counts = [[text.count(letter) + 0.01 for letter in "abcd"] for text in texts]
        vectors = np.array(counts, dtype=np.float32).reshape(-1, 4)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed_passages(texts)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

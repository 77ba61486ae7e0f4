"""Stand-ins for models, embedders and trainers: their answers can be told by eye, and they need no weights."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pericia.config import TrainConfig
from pericia.embedders import Vectors
from pericia.errors import InputError
from pericia.types import (
    Dataset,
    FinishReason,
    Generation,
    LabelledRow,
    Message,
    Preparation,
    Prompt,
    TrainEvent,
    Usage,
)


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
        reason: FinishReason = "stop" if kept == words else "length"
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
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        return self.embed_passages(texts)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


class FakeTrainer:
    """Writes an adapter folder at once: a token is a word, the loss of step n is 1 / n, a checkpoint an epoch.

    `step_s` makes each step take its time; a checkpoint that is there already is gone on from. `valid_losses` are
    those of the epochs, 2 / n where there are none.
    """

    def __init__(self, step_s: float = 0.0, valid_losses: Sequence[float] = ()) -> None:
        self.step_s = step_s
        self.valid_losses = tuple(valid_losses)
        self.base_sha256 = "base"
        self.parents: list[Path | None] = []
        self.settings: list[TrainConfig] = []

    def prepare(self, dataset: Dataset, base: str, settings: TrainConfig) -> Preparation:
        every = (*dataset.train, *dataset.validation)
        words = sorted({w for e in every for m in e.messages for w in m.content.split()})
        ids = {word: number for number, word in enumerate(["<end>", *words])}

        def row(messages: Sequence[Message]) -> tuple[int, ...]:
            return tuple(ids[w] for m in messages for w in m.content.split())

        rows = []
        for examples in (dataset.train, dataset.validation):
            made = []
            for example in examples:
                prompt, answer = row(example.messages[:-1]), row(example.messages[-1:])
                mask = (False,) * len(prompt) + (True,) * (len(answer) + 1)
                made.append(LabelledRow(example, (*prompt, *answer, 0), mask, prompt))
            rows.append(tuple(made))
        return Preparation(
            rows=rows[0],
            validation_rows=rows[1],
            num_too_long=0,
            stop_ids=frozenset({0}),
            decode=lambda tokens: " ".join(["<end>", *words][token] for token in tokens),
            target_modules=("layer",),
            hit_modules=("0.layer",),
            num_layers=1,
            num_trainable=1,
            num_parameters=1,
            num_tokens_known=len(ids),
            num_embeddings=len(ids),
            base_sha256=self.base_sha256,
            template_sha256="template",
            stop_sha256="stop",
        )

    def train(
        self,
        preparation: Preparation,
        base: str,
        settings: TrainConfig,
        folder: Path,
        *,
        parent: Path | None = None,
        on_event: Callable[[TrainEvent], None] | None = None,
    ) -> Mapping[str, object]:
        self.parents.append(parent)
        self.settings.append(settings)
        num_rows = len(preparation.rows)
        steps_an_epoch = -(-num_rows // settings.batch_size)
        num_steps = steps_an_epoch * int(settings.epochs)
        made = [int(p.name.partition("-")[2]) for p in folder.glob("checkpoints/checkpoint-*")]
        for step in range(max(made, default=0) + 1, num_steps + 1):
            time.sleep(self.step_s)
            is_last_of_epoch = step % steps_an_epoch == 0
            if on_event is not None:
                on_event(TrainEvent(step, num_steps, loss=1 / step, accuracy=step / 100))
                if is_last_of_epoch:
                    loss = 2 / step
                    if self.valid_losses:
                        loss = self.valid_losses[step // steps_an_epoch - 1]
                    valid = {"validation_loss": loss, "validation_accuracy": step / 200}
                    on_event(TrainEvent(step, num_steps, **valid))
            if is_last_of_epoch:
                checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
                _write_adapter(checkpoint)
                (checkpoint / "pericia-complete").touch()
        _write_adapter(folder)
        return {"train_s": 0.0}


def _write_adapter(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"")

"""A small firm of pumps with known answers, and tools whose answers follow rules that one can see."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pericia.config import Config, parse_config
from pericia.evaluate.tools import Tools
from pericia.models import Model
from pericia.prompts import REFUSAL, is_refusal
from pericia.train import Kind
from pericia.types import (
    Adapter,
    Answer,
    Chunk,
    Citation,
    Context,
    Dataset,
    Passage,
    Place,
    Prompt,
    TrainEvent,
    Usage,
)
from pericia.workspace import Workspace
from tests.fakes import FakeModel

NUM_PUMPS = 12


def pressure(pump: int) -> str:
    return f"{100 + 7 * pump} bar"


def question_of(pump: int) -> str:
    return f"Which pressure does pump P{pump} hold?"


def write_firm(root: Path, *, num_examples: int = 8, **config: object) -> tuple[Config, Workspace]:
    """Write questions and examples; two questions have no answer. Return the config and the workspace."""
    questions = [
        {
            "id": f"q{n}",
            "question": question_of(n),
            "answers": [pressure(n)],
            "sources": [f"pump{n}.md"],
        }
        for n in range(NUM_PUMPS)
    ]
    questions += [
        {"id": f"u{n}", "question": f"Who paints pump P{n}?", "answers": []} for n in range(2)
    ]
    examples = [
        {
            "messages": [
                {"role": "user", "content": f"How heavy is valve V{n} of hall {n * n}?"},
                {"role": "assistant", "content": f"{n + 3} kg"},
            ],
            "source": f"valve{n}.md",
        }
        for n in range(num_examples)
    ]
    write_lines(root / "questions.jsonl", questions)
    write_lines(root / "examples.jsonl", examples)
    data = {
        "questions": "questions.jsonl",
        "examples": "examples.jsonl" if num_examples else None,
        "use": {"goal": "right pressures"},
        **config,
    }
    return parse_config(data, "test"), Workspace(root)


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass
class FakeTools:
    """Answers rightly from passages, and from an adapter for even pumps; refuses otherwise.

    `asked` counts answers; after `stop_after` of them the process is "killed" by a KeyboardInterrupt.
    """

    asked: list[tuple[Prompt, Path | None]] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    stop_after: int | None = None
    has_documents: bool = True
    is_tunable: bool = True

    def tools(self) -> Tools:
        sources = frozenset(f"docs/pump{n}.md" for n in range(NUM_PUMPS))
        return Tools(
            model_identity="fake-1",
            index_identity="index-1",
            sources=sources if self.has_documents else frozenset(),
            load_model=self.load_model,
            find=self.find,
            is_about=lambda question, context: True,
            answer=self.answer,
            train=self.train,
            is_tunable=self.is_tunable,
        )

    def load_model(self) -> Model:
        return FakeModel(context_tokens=200)

    def find(self, question: str) -> Context:
        self.found.append(question)
        pump = int(question.partition(" P")[2].partition(" ")[0].rstrip("?"))
        text = f"Pump P{pump} holds {pressure(pump)}."
        source = f"docs/pump{pump}.md"
        chunk = Chunk(f"c{pump}", f"d{pump}", source, text, 0, len(text), Place(line=1))
        return Context((Passage(chunk, 1, 1.0),), 5)

    def answer(self, prompt: Prompt, adapter: Path | None) -> Answer:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append((prompt, adapter))
        pump = int(prompt.question.partition(" P")[2].partition(" ")[0].rstrip("?"))
        known = bool(prompt.passages) or (adapter is not None and pump % 2 == 0)
        known = known and prompt.question == question_of(pump)
        text = REFUSAL if not known else pressure(pump) + (" [1]" if prompt.passages else "")
        citations: tuple[Citation, ...] = ()
        if known and prompt.passages:
            chunk = prompt.passages[0].chunk
            citations = (Citation(1, chunk.source, chunk.text, True, line=1),)
        tokens_in = FakeModel().count_tokens(prompt.messages)
        usage = Usage(tokens_in, len(text.split()), 10.0 + tokens_in)
        return Answer(text, citations, is_refusal(text), usage, prompt.passages)

    def train(
        self, dataset: Dataset, kind: Kind, on_event: Callable[[TrainEvent], None]
    ) -> Adapter:
        self.trained.append(kind)
        on_event(TrainEvent(1, 1, 0.5))
        id_ = f"{kind}-{dataset.sha256[:6]}"
        return Adapter(id_, f"adapters/{id_}", "fake", kind, {"train_s": 60.0, "num_train": 7})

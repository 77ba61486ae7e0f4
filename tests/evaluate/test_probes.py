"""Losses on texts: asked of a real model with and without an adapter, and what is concluded from them."""

from pathlib import Path

import pytest

from pericia.config import Config, EvaluateConfig
from pericia.evaluate.arms import Bench
from pericia.evaluate.collect import Event
from pericia.evaluate.lanes import Lane
from pericia.evaluate.losses import BASE, DOMAIN, GENERAL, bits_per_byte, probed, setbacks
from pericia.evaluate.probes import ITEMS, probe, read_items
from pericia.models.local.model import load_folder
from pericia.prompts import closed_book_prompt
from pericia.types import Adapter, Chunk, Context, Passage, Place, Prompt, TextLoss
from tests.evaluate.bench import FakeTools
from tests.fakes import FakeModel


def test_a_text_loses_what_its_tokens_lose(tiny_model: Path) -> None:
    model = load_folder(str(tiny_model))
    whole = model.text_loss("the pump is red")
    prompt = closed_book_prompt("What colour is the pump?")
    answer = model.text_loss("red", prompt=prompt)
    assert whole.num_tokens >= answer.num_tokens >= 1
    assert 0 < bits_per_byte([whole]) < 100
    assert answer.num_bytes == len("red")
    assert model.text_loss("red", prompt=prompt) == answer
    assert model.text_loss("") == TextLoss(0.0, 0, 0)


class Rated(FakeModel):
    """Loses a nat a letter, two with an adapter."""

    def text_loss(
        self, text: str, *, prompt: Prompt | None = None, adapter: Path | None = None
    ) -> TextLoss:
        return TextLoss(len(text) * (2.0 if adapter else 1.0), len(text.split()), len(text))


def test_each_adapter_reads_the_same_texts_as_the_base() -> None:
    chunk = Chunk("c", "d", "v.md", "the pump is red", 0, 15, Place(line=1))
    config = Config(evaluate=EvaluateConfig(probes=3))
    bench = Bench(
        model=Rated(),
        instruction="Be short.",
        max_new_tokens=4,
        contexts={"q1": Context((Passage(chunk, 1, 1.0),)), "q2": Context(())},
        adapters={"fine_tuned": Adapter("a", "adapters/a", "base", "fine_tuned")},
    )
    lanes = [Lane(name, name, config, FakeTools().tools()) for name in ("rag", "fine_tuned")]
    benches = {"rag": bench, "fine_tuned": bench}
    events: list[Event] = []
    found = probe(lanes, benches, events.append)
    assert found[DOMAIN] == {BASE: [[15.0, 4, 15]], "fine_tuned": [[30.0, 4, 15]]}
    assert [len(listed) for listed in found[GENERAL].values()] == [3, 3]
    assert [event.message for event in events] == [BASE, "fine_tuned"]
    assert probe(lanes[:1], benches, events.append) == {}  # nothing was trained
    silent = [
        Lane("fine_tuned", "fine_tuned", Config(evaluate=EvaluateConfig(probes=0)), lanes[0].tools)
    ]
    assert probe(silent, benches, events.append) == {}


def test_probes_are_paired_text_by_text() -> None:
    losses = {
        GENERAL: {
            BASE: [[10.0, 5, 20], [20.0, 5, 20], [12.0, 5, 20]],
            "fine_tuned": [[17.0, 5, 20], [27.0, 5, 20], [19.0, 5, 20]],
        },
        DOMAIN: {BASE: [[30.0, 5, 20]], "fine_tuned": [[10.0, 5, 20]]},
    }
    base, after, _, learnt = probed(losses)
    assert (base.arm, base.change) == (BASE, None)
    assert after.change == pytest.approx(7 / 20 / 0.693147, rel=1e-4)
    assert after.low == pytest.approx(after.change)
    assert learnt.change is not None
    assert learnt.change < 0
    assert set(setbacks((base, after, learnt), 0.4)) == {"fine_tuned"}
    assert setbacks((base, after, learnt), 0.6) == {}


def test_the_general_questions_are_whole() -> None:
    items = read_items(ITEMS)
    assert len(items) == len({item["question"] for item in items}) == 40
    assert len({item["kind"] for item in items[:5]}) == 5  # the kinds in turn
    assert all(item["answer"].strip() for item in items)

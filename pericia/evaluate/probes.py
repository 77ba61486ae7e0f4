"""The probes of a run: losses on the users' passages and on general questions, of the base and of each adapter.

`general.jsonl` beside this file holds questions with answers that anybody knows: everyday life, reasoning, formats,
other trades, and requests that are to be declined. They are our own, in English, and none is about any user's data.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pericia.evaluate.arms import Bench
from pericia.evaluate.collect import Event
from pericia.evaluate.lanes import Lane
from pericia.evaluate.losses import BASE, DOMAIN, GENERAL
from pericia.models import Rater
from pericia.prompts import closed_book_prompt
from pericia.types import TextLoss

ITEMS = Path(__file__).parent / "general.jsonl"


def probe(
    lanes: Sequence[Lane], benches: Mapping[str, Bench], tell: Callable[[Event], None]
) -> dict[str, dict[str, list[list[float]]]]:
    """Return the losses as `losses.Losses`, {} where no adapter is measured or the model cannot say them."""
    tuned = [lane for lane in lanes if lane.kind in benches[lane.name].adapters]
    if not tuned:
        return {}
    bench, most = benches[tuned[0].name], tuned[0].config.evaluate.probes
    same = [lane for lane in tuned if benches[lane.name] is bench]
    model = bench.model
    if not isinstance(model, Rater) or most == 0:
        return {}
    adapters: dict[str, Path | None] = {BASE: None}
    adapters |= {lane.name: Path(bench.adapters[lane.kind].path) for lane in same}
    passages = _passages(bench, most)
    questions = read_items(ITEMS)[:most]
    found: dict[str, dict[str, list[list[float]]]] = {}
    for number, (arm, adapter) in enumerate(adapters.items(), start=1):
        tell(Event("probes", arm, number, len(adapters)))
        of_passages = [model.text_loss(text, adapter=adapter) for text in passages]
        of_answers = [
            model.text_loss(
                item["answer"],
                prompt=closed_book_prompt(item["question"], bench.instruction),
                adapter=adapter,
            )
            for item in questions
        ]
        if passages:
            found.setdefault(DOMAIN, {})[arm] = [_item(loss) for loss in of_passages]
        found.setdefault(GENERAL, {})[arm] = [_item(loss) for loss in of_answers]
    return found


def read_items(path: Path) -> list[dict[str, Any]]:
    """Return the general questions, the kinds in turn."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _passages(bench: Bench, most: int) -> list[str]:
    """Return the texts of the best passages of the questions, each once, spread evenly."""
    best = {c.passages[0].chunk.text: None for c in bench.contexts.values() if c.passages}
    texts = list(best)
    step = max(1.0, len(texts) / most)
    return [texts[int(index * step)] for index in range(min(most, len(texts)))]


def _item(loss: TextLoss) -> list[float]:
    return [loss.nats, loss.num_tokens, loss.num_bytes]

"""Held-out episodes that tell, every few minutes of a training, what the model can do so far."""

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from pericia.lab.episodes import Episode, Load, closed, follow, join, read
from pericia.lab.industry import Industry
from pericia.lab.network import Network
from pericia.lab.tokens import ANSWER, Batch, encode
from pericia.lab.words import TRAINING_SEEDS

PROBE_SEEDS = TRAINING_SEEDS - 10_000


@dataclass(frozen=True, slots=True)
class Probe:
    """Held-out episodes with one question each, encoded and batched."""

    batches: list[tuple[Batch, list[Episode]]]

    @classmethod
    def build(cls, tokenizer: Tokenizer, count: int = 160) -> "Probe":
        episodes = []
        for index in range(count):
            industry, load = Industry(PROBE_SEEDS + index), Load(follow_ups=(0, 0))
            skill = index % 8
            episodes.append(
                follow(industry) if skill == 6 else closed(industry) if skill == 7
                else join(industry, load) if skill == 5 else read(industry, load)
            )  # fmt: skip
        order = sorted(episodes, key=lambda episode: sum(len(m.content) for m in episode.messages))
        batches = []
        for start in range(0, count, 8):
            group = order[start : start + 8]
            batches.append((Batch.of(encode(tokenizer, group)), group))
        return cls(batches)

    def measure(self, network: Network) -> dict[str, float]:
        """Return shares of episodes whose last answer the model would write token for token, by skill.

        Every position is right given the right ones before it exactly when greedy decoding writes the answer.
        """
        hits: dict[str, list[bool]] = {}
        with torch.no_grad():
            for batch, episodes in self.batches:
                ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
                guess = network.logits(network(ids)).argmax(-1)
                for row, episode in enumerate(episodes):
                    last = int((mask[row] == ANSWER).nonzero()[-1])  # the end of the text
                    start = last - 1
                    while mask[row, start] != ANSWER:
                        start -= 1
                    while mask[row, start - 1] == ANSWER:
                        start -= 1
                    right = bool(
                        (guess[row, start - 1 : last - 2] == ids[row, start : last - 1]).all()
                    )
                    name = episode.skill + ("" if episode.answerable else " declined")
                    hits.setdefault(name, []).append(right)
        return {name: sum(values) / len(values) for name, values in sorted(hits.items())}

"""How the bundled model is taught: the course of episodes, the loss, and a loop that can be stopped and resumed.

Time is the budget, not steps: the curriculum and the rates follow the share of the minutes that is spent.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from pericia.lab.episodes import Episode, Load, closed, compare, follow, join, read
from pericia.lab.industry import Industry
from pericia.lab.muon import Muon
from pericia.lab.network import Network, Shape
from pericia.lab.tokens import Batch, encode, make_batches
from pericia.lab.words import NUM_SEEDS, TRAINING_SEEDS

PROBE_SEEDS = TRAINING_SEEDS - 10_000  # the held-out episodes of the progress line come from here


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run is made of; written beside its checkpoint, and a run goes on only under the same one."""

    shape: Shape = Shape()
    minutes: float = 80.0
    batch_tokens: int = 3072
    rate: float = 0.012
    side_rate: float = 2e-3
    prompt_weight: float = 0.3
    prompt_share: float = 0.35  # of the prompt positions that enter the loss in a step
    seed: int = 1


def episode_at(progress: float, seed: int, rng: Random) -> Episode:
    """Return the episode of a seed for a point of the course: few passages first, all five after two fifths."""
    industry = Industry(seed, loose=rng.choice([0.0, 0.3, 1.0]))
    if progress < 0.04:
        load = Load((1, 1), (1, 3), (1, 3), (2, 4))
    elif progress < 0.15:
        load = Load((1, 2), (1, 4), (1, 3), (1, 4))
    elif progress < 0.4:
        load = Load((1, 3), (2, 6), (1, 4), (0, 4))
    elif rng.random() < 0.9:
        load = Load((1, 5), (2, 8), (2, 5), (0, 3))
    else:
        load = Load((3, 5), (6, 16), (3, 8), (0, 4))
    skill = rng.choices(["read", "join", "compare", "follow", "closed"], [64, 7, 3, 15, 11])[0]
    if skill == "follow":
        return follow(industry, rng.choice([2, 3, 3, 3, 4]))
    if skill == "closed":
        return closed(industry)
    return {"read": read, "join": join, "compare": compare}[skill](industry, load)


def echo_batch(shape: Shape, batch_tokens: int, rng: torch.Generator) -> Batch:
    """Return random ids said twice: the first lesson, because every later answer is a copy."""
    half = int(torch.randint(16, 65, (1,), generator=rng))
    rows = batch_tokens // (2 * half)
    ids = torch.randint(8, shape.vocabulary, (rows, half), generator=rng).repeat(1, 2)
    mask = torch.zeros_like(ids)
    mask[:, half + 1 :] = 1
    return Batch(ids.numpy(), mask.numpy())


def loss_of(network: Network, batch: Batch, prompt_weight: float, prompt_share: float) -> Tensor:
    """Return the mean loss a token: answers weigh 1, a random share of the prompt weighs `prompt_weight`."""
    ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
    target, role = ids[:, 1:].reshape(-1), mask[:, 1:].reshape(-1)
    chosen = (role == 1) | ((role == 0) & (torch.rand(len(role)) < prompt_share))
    where = chosen.nonzero().squeeze(1)
    hidden = network(ids)[:, :-1].reshape(-1, network.shape.hidden)[where]
    weight = torch.where(role[where] == 1, 1.0, prompt_weight)
    losses = F.cross_entropy(network.logits(hidden), target[where], reduction="none")
    return (losses * weight).sum() / weight.sum()


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
            rows = encode(tokenizer, group)
            width = max(len(row[0]) for row in rows)
            ids = torch.zeros(len(rows), width, dtype=torch.long)
            mask = torch.full((len(rows), width), 2)
            for index, (row, role) in enumerate(rows):
                ids[index, : len(row)] = torch.from_numpy(row.astype("int64"))
                mask[index, : len(row)] = torch.from_numpy(role.astype("int64"))
            batches.append((Batch(ids.numpy(), mask.numpy()), group))
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
                    last = int((mask[row] == 1).nonzero()[-1])  # the end of the text
                    start = last - 1
                    while mask[row, start] != 1:
                        start -= 1
                    while mask[row, start - 1] == 1:
                        start -= 1
                    right = bool((guess[row, start - 1 : last - 2] == ids[row, start : last - 1]).all())
                    name = episode.skill + ("" if episode.answerable else " declined")
                    hits.setdefault(name, []).append(right)
        return {name: sum(values) / len(values) for name, values in sorted(hits.items())}


def train(
    recipe: Recipe,
    tokenizer: Tokenizer,
    folder: Path,
    say: Callable[[str], None],
    export: Callable[[dict[str, Tensor]], None],
) -> None:
    """Train until the minutes are spent, resuming what the folder holds; `say` gets a line every half minute.

    The folder gets `state.safetensors` and `state.json` every two minutes, `export` the masters with them.
    """
    torch.manual_seed(recipe.seed)
    network = Network(recipe.shape).bfloat16()
    optimizer = Muon(network, recipe.rate, recipe.side_rate)
    done = {"step": 0, "seconds": 0.0, "tokens": 0, "seed": TRAINING_SEEDS}
    if (folder / "state.json").exists():
        done = json.loads((folder / "state.json").read_text())
        optimizer.load(load_file(folder / "state.safetensors"), int(done["step"]))
        say(f"resumed at step {done['step']}")
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    probe = Probe.build(tokenizer)
    rng, echo_rng = Random(recipe.seed + int(done["step"])), torch.Generator().manual_seed(1)
    batches: list[Batch] = []
    begin = time.monotonic() - done["seconds"]
    said = saved = time.monotonic()
    mean = 0.0
    while (progress := (time.monotonic() - begin) / (60 * recipe.minutes)) < 1:
        if progress < 0.015:
            batch = echo_batch(recipe.shape, recipe.batch_tokens, echo_rng)
        else:
            if not batches:
                count = 64 if progress < 0.15 else 512
                seeds = [TRAINING_SEEDS + (int(done["seed"]) + i) % (NUM_SEEDS - TRAINING_SEEDS) for i in range(count)]
                done["seed"] += count
                episodes = [episode_at(progress, seed, rng) for seed in seeds]
                batches = make_batches(encode(tokenizer, episodes), recipe.batch_tokens, rng)
            batch = batches.pop()
        prompt_weight = recipe.prompt_weight * min(1.0, 1.5 - progress)
        loss = loss_of(network, batch, prompt_weight, recipe.prompt_share)
        loss.backward()
        warm = min(1.0, (done["step"] + 1) / 100)
        optimizer.step(warm * min(1.0, (1 - progress) / 0.35 + 0.02))
        done["step"] += 1
        done["tokens"] += batch.ids.size
        mean += 0.02 * (loss.item() - mean) if mean else loss.item()
        now = time.monotonic()
        done["seconds"] = now - begin
        if now - said > 30:
            said = now
            say(f"{progress:5.1%} step {done['step']} tokens {done['tokens'] / 1e6:.2f}M loss {mean:.3f} {done['tokens'] / done['seconds']:.0f} tok/s")
        if now - saved > 120:
            save(folder, optimizer, done)
            export(optimizer.masters)
            say(json.dumps({name: round(share, 2) for name, share in probe.measure(network).items()}))
            saved = time.monotonic()
    save(folder, optimizer, done)
    export(optimizer.masters)
    say(json.dumps(probe.measure(network)))


def save(folder: Path, optimizer: Muon, done: dict[str, float]) -> None:
    """Write the checkpoint, each file whole or not at all."""
    save_file(optimizer.state(), folder / "state.safetensors.part")
    (folder / "state.safetensors.part").replace(folder / "state.safetensors")
    (folder / "state.json.part").write_text(json.dumps(done))
    (folder / "state.json.part").replace(folder / "state.json")

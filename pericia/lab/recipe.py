"""How the bundled model is taught: the course of episodes, the loss, and a loop that can be stopped and resumed.

Time is the budget, not steps: the curriculum and the rates follow the share of the minutes that is spent.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, distributed
from torch.nn import functional

from pericia.lab.episodes import Episode, Load, closed, compare, follow, join, read, recall
from pericia.lab.industry import Industry
from pericia.lab.looks import HEADS
from pericia.lab.muon import Muon
from pericia.lab.network import Network, Shape, Shown
from pericia.lab.probe import Probe
from pericia.lab.tokens import ANSWER, PROMPT, REPEAT, Batch, encode, make_batches
from pericia.lab.words import NUM_SEEDS, TRAINING_SEEDS

LOOK_WEIGHT = 0.25  # of each head that is shown where to look, against the words
SEEDS_A_RUN = 150_000
MISSING = 0.28  # more than is measured: declining is learned last


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run is made of; written beside its checkpoint, and a run goes on only under the same one."""

    shape: Shape = field(default_factory=Shape)
    minutes: float = 80.0
    processes: int = 2  # of one thread each: threads that wait for one another stall on busy cores
    batch_tokens: int = 2048  # a process and step
    rate: float = 0.006  # 0.01 stood still at full difficulty
    side_rate: float = 3e-4  # 2e-3 kept the embedding in noise and copying from forming
    decay: float = 0.8  # the last share of the time, in which the rates fall to nearly 0
    prompt_weight: float = 0.1
    prompt_share: float = 0.2  # of the prompt positions that enter the loss in a step
    skip: float = (
        0.0  # share of the course and of the minutes that weights which can read go without
    )
    seed: int = 1  # another one meets other industries


def episode_at(progress: float, seed: int, rng: Random) -> Episode:
    """Return the episode of a seed for a point of the course: one passage first, all five after a sixth of it."""
    variants = 2 if progress < 0.04 else 9
    industry = Industry(seed, loose=rng.choice([0.0, 0.0, 0.3, 1.0]), variants=variants)
    follow_ups = (0, 0) if rng.random() < 0.8 else (1, 3)
    if progress < 0.06:
        load = Load((1, 1), (1, 4), (1, 3), follow_ups)
    elif progress < 0.16:
        load = Load((1, 3), (2, 6), (1, 4), follow_ups)
    elif rng.random() < 0.93:
        load = Load((1, 5), (2, 8), (2, 5), follow_ups, MISSING)
    else:
        load = Load((3, 5), (6, 16), (3, 8), follow_ups, MISSING)
    shares = [80, 0, 0, 2, 12, 6] if progress < 0.1 else [40, 5, 2, 3, 34, 16]
    skill = rng.choices(["read", "join", "compare", "recall", "follow", "closed"], shares)[0]
    if skill == "follow":
        return follow(industry, rng.choice([2, 3, 3, 3, 4]))
    if skill == "closed":
        return closed(industry)
    return {"read": read, "join": join, "compare": compare, "recall": recall}[skill](industry, load)


def loss_of(network: Network, batch: Batch, prompt_weight: float, prompt_share: float) -> Tensor:
    """Return the mean loss a token.

    The first token of an answer, which decides what is copied, weighs 3, the others 1, the question's second saying 0.5, a random share of the rest of the prompt `prompt_weight`.
    """
    ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
    target, role = ids[:, 1:].reshape(-1), mask[:, 1:].reshape(-1)
    chosen = (role == ANSWER) | (role == REPEAT)
    chosen |= (role == PROMPT) & (torch.rand(len(role)) < prompt_share)
    where = chosen.nonzero().squeeze(1)
    hidden = network(ids, shown_of(batch))[:, :-1].reshape(-1, network.shape.hidden)[where]
    opens = (mask[:, 1:] == ANSWER) & (mask[:, :-1] != ANSWER)
    weight = torch.tensor([prompt_weight, 1.0, 0.0, 0.5])[role[where].long()]
    weight = torch.where(opens.reshape(-1)[where], 3.0, weight)
    losses = functional.cross_entropy(network.logits(hidden), target[where], reduction="none")
    return (losses * weight).sum() / weight.sum() + LOOK_WEIGHT * network.astray.sum()


def shown_of(batch: Batch) -> dict[int, list[Shown]]:
    """Return by layer what its heads are shown."""
    shown: dict[int, list[Shown]] = {}
    for kind, heads in HEADS.items():
        looks = [(row, look) for row, look in batch.looks if look.kind == kind]
        if not looks:
            continue
        rows = torch.tensor([row for row, _ in looks])
        targets = torch.zeros(len(looks), batch.ids.shape[1], dtype=torch.bool)
        for index, (_, look) in enumerate(looks):
            targets[index, list(look.targets)] = True
        at = torch.tensor([look.at for _, look in looks])
        weight = torch.tensor([look.weight for _, look in looks])
        for layer, head in heads:
            shown.setdefault(layer, []).append(Shown(head, rows, at, targets, weight))
    return shown


def train(
    recipe: Recipe,
    tokenizer: Tokenizer,
    folder: Path,
    rank: int,
    say: Callable[[str], None],
    export: Callable[[dict[str, Tensor]], None],
    start: Mapping[str, Tensor] | None = None,
) -> None:
    """Train until the minutes are spent, resuming what the folder holds, else from `start`, else from chance.

    Every process works on its own episodes and all take the step of their mean gradient. The first one says a line
    every half minute and every two minutes writes `state.safetensors` and `state.json`, and exports the masters.
    """
    torch.manual_seed(recipe.seed)
    network = Network(recipe.shape).bfloat16()
    optimizer = Muon(network, recipe.rate, recipe.side_rate)
    skipped = recipe.skip * 60 * recipe.minutes
    first_seed = (recipe.seed - 1) * SEEDS_A_RUN % (NUM_SEEDS - TRAINING_SEEDS)
    done = {"step": 0, "seconds": skipped, "tokens": 0, "seed": first_seed}
    if (folder / "state.json").exists():
        done = json.loads((folder / "state.json").read_text())
        optimizer.load(load_file(folder / "state.safetensors"), int(done["step"]))
        say(f"resumed at step {done['step']}")
    elif start:
        optimizer.begin(start)
    course = Course(recipe, tokenizer, rank, int(done["seed"]))
    torch.manual_seed(recipe.seed + 1000 * rank + int(done["step"]))
    probe = Probe.build(tokenizer) if rank == 0 else None
    begin = time.monotonic() - done["seconds"]
    said = saved = time.monotonic()
    progress, mean = done["seconds"] / (60 * recipe.minutes), 0.0
    while progress < 1:
        batch = course.next_batch(progress)
        loss = loss_of(
            network, batch, recipe.prompt_weight * min(1.0, 1.5 - progress), recipe.prompt_share
        )
        loss.backward()
        elapsed = time.monotonic() - begin
        elapsed, total, size = average_gradients(
            network, recipe.processes, [elapsed, loss.item(), batch.ids.size]
        )
        warm = min(1.0, (done["step"] + 1) / 100)
        optimizer.step(warm * min(1.0, (1 - progress) / recipe.decay + 0.02))
        progress = elapsed / (60 * recipe.minutes)
        done["step"] += 1
        done["tokens"] += int(size * recipe.processes)
        done.update(seconds=elapsed, seed=course.num_seeds)
        mean += 0.02 * (total - mean) if mean else total
        now = time.monotonic()
        if rank == 0 and now - said > 30:
            said = now
            say(
                f"{progress:5.1%} step {done['step']} tokens {done['tokens'] / 1e6:.2f}M "
                f"loss {mean:.3f} looks {[round(v, 2) for v in network.astray.tolist()]} {done['tokens'] / (elapsed - skipped):.0f} tokens/s"
            )
        if probe and now - saved > 120:
            save(folder, optimizer, done)
            export(optimizer.masters)
            shares = {name: round(share, 2) for name, share in probe.measure(network).items()}
            say(json.dumps(shares))
            saved = time.monotonic()
    if probe:
        save(folder, optimizer, done)
        export(optimizer.masters)
        say(json.dumps(probe.measure(network)))


def average_gradients(network: Network, processes: int, extra: list[float]) -> list[float]:
    """Replace every gradient by its mean over the processes, and return the means of `extra`."""
    if processes == 1:
        return extra
    weights = list(network.parameters())
    flat = torch.cat(
        [*(w.grad.float().reshape(-1) for w in weights if w.grad is not None), torch.tensor(extra)]
    )
    distributed.all_reduce(flat)
    flat /= processes
    offset = 0
    for weight in weights:
        piece = flat[offset : offset + weight.numel()]
        weight.grad = piece.view_as(weight).to(weight.dtype)
        offset += weight.numel()
    return [float(value) for value in flat[offset:]]


class Course:
    """The batches of one process, in the order in which they are taught."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, rank: int, num_seeds: int) -> None:
        self.recipe, self.tokenizer, self.rank, self.num_seeds = recipe, tokenizer, rank, num_seeds
        self.rng = Random(f"{recipe.seed} {rank} {num_seeds}")
        self.batches: list[Batch] = []

    def next_batch(self, progress: float) -> Batch:
        """Return episodes on unused seeds."""
        recipe = self.recipe
        if not self.batches:
            count = 128 if progress < 0.2 else 512
            room = NUM_SEEDS - TRAINING_SEEDS
            first = self.num_seeds * recipe.processes + self.rank
            seeds = [TRAINING_SEEDS + (first + n * recipe.processes) % room for n in range(count)]
            self.num_seeds += count
            episodes = [episode_at(progress, seed, self.rng) for seed in seeds]
            rows = encode(self.tokenizer, episodes)
            self.batches = make_batches(rows, recipe.batch_tokens, self.rng)
        return self.batches.pop()


def save(folder: Path, optimizer: Muon, done: dict[str, float]) -> None:
    """Write the checkpoint, each file whole or not at all."""
    save_file(optimizer.state(), folder / "state.safetensors.part")
    (folder / "state.safetensors.part").replace(folder / "state.safetensors")
    (folder / "state.json.part").write_text(json.dumps(done))
    (folder / "state.json.part").replace(folder / "state.json")

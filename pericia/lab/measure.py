"""What a model can do on seeds that it has never seen: `python -m pericia.lab.measure --count 300`.

Answers are decoded greedily. Exact means equal to the right value once a trailing citation is taken off.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer

from pericia.lab.episodes import Episode, Load, closed, compare, follow, join, read, recall
from pericia.lab.industry import Industry
from pericia.lab.nano import MODEL_FOLDER
from pericia.prompts import is_refusal
from pericia.types import Message

MEASURE_SEEDS = 100_000  # below TRAINING_SEEDS, so no training episode shares a name with them
_CITATION = re.compile(r"\s*\[(\d+)\]\s*$")
SKILLS: dict[str, Callable[[Industry], Episode]] = {
    "open book, 1 to 5 passages": lambda i: read(i, Load(follow_ups=(0, 0))),
    "open book, 1 passage": lambda i: read(i, Load(passages=(1, 1), follow_ups=(0, 0))),
    "open book, 5 passages": lambda i: read(i, Load(passages=(5, 5), follow_ups=(0, 0))),
    "open book, nothing answers": lambda i: read(i, Load(follow_ups=(0, 0), missing=1.0)),
    "open book, everyday names": lambda i: read(i, Load(follow_ups=(0, 0))),
    "two hops": lambda i: join(i, Load(follow_ups=(0, 0))),
    "highest or lowest row": lambda i: compare(i, Load()),
    "common knowledge in passages": lambda i: recall(i, Load()),
    "few-shot form": lambda i: follow(i, 3),
    "closed book": closed,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares in 0..1 over the questions they apply to; `num_*` are the questions. A share over none is 0."""

    num_answerable: int
    num_unanswerable: int
    exact: float
    cited: float  # right citation among exact answers of episodes that want one
    declined: float
    refused_wrongly: float


class Reader:
    """A causal model of transformers that answers chats greedily."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False
        ).eval()

    def answer(self, chats: Sequence[Sequence[Message]], max_new_tokens: int = 48) -> list[str]:
        """Return the reply to each chat, in order."""
        turns = [[{"role": m.role, "content": m.content} for m in chat] for chat in chats]
        batch = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
        )
        with torch.inference_mode():
            ids = self.model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        texts: list[str] = self.tokenizer.batch_decode(
            ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return [text.strip() for text in texts]


def split_citation(answer: str) -> tuple[str, int]:
    """Return an answer without its trailing citation, and that number, 0 for none.

    Example:
        >>> split_citation("42 bar [3]")
        ('42 bar', 3)
    """
    found = _CITATION.search(answer)
    return (answer[: found.start()], int(found[1])) if found else (answer.strip(), 0)


def measure(reader: Reader, episodes: Sequence[Episode], batch_size: int = 10) -> Figures:
    """Return the figures of a model on the last turn of each episode."""
    order = sorted(
        range(len(episodes)), key=lambda i: sum(len(m.content) for m in episodes[i].messages)
    )
    replies = [""] * len(episodes)
    for start in range(0, len(order), batch_size):
        group = order[start : start + batch_size]
        chats = [episodes[index].messages[:-1] for index in group]
        for index, reply in zip(group, reader.answer(chats), strict=True):
            replies[index] = reply
    exact: list[bool] = []
    cited: list[bool] = []
    declined: list[bool] = []
    refused: list[bool] = []
    for episode, reply in zip(episodes, replies, strict=True):
        if not episode.answerable:
            declined.append(is_refusal(reply))
            continue
        wanted, number = split_citation(episode.answer)
        value, given = split_citation(reply)
        exact.append(value == wanted)
        refused.append(is_refusal(reply))
        if exact[-1] and number:
            cited.append(given == number)
    return Figures(
        len(exact), len(declined), _share(exact), _share(cited), _share(declined), _share(refused)
    )


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def episodes_of(skill: str, count: int, first_seed: int = MEASURE_SEEDS) -> list[Episode]:
    """Return the episodes of a skill, one a seed."""
    loose = 1.0 if "everyday" in skill else 0.0
    return [SKILLS[skill](Industry(first_seed + n, loose=loose)) for n in range(count)]


def tokens_per_second(reader: Reader, new_tokens: int = 200) -> float:
    """Return the greedy tokens a second of one chat with a KV cache."""
    chat = [{"role": "user", "content": "Tell me about the plant."}]
    ids = reader.tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    begin = time.perf_counter()
    with torch.inference_mode():
        reader.model.generate(
            **ids, min_new_tokens=new_tokens, max_new_tokens=new_tokens, do_sample=False
        )
    return new_tokens / (time.perf_counter() - begin)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m pericia.lab.measure", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--count", type=int, default=300, help="questions a skill")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    Reader(options.model)  # what the libraries import at their first model is not the model's time
    begin = time.perf_counter()
    reader = Reader(options.model)
    loading = time.perf_counter() - begin
    table = Table(
        "skill", "answerable", "exact", "cited", "refused wrongly", "unanswerable", "declined"
    )
    for skill in track(SKILLS, "measuring"):
        f = measure(reader, episodes_of(skill, options.count))
        shares = [f"{share:.1%}" for share in (f.exact, f.cited, f.refused_wrongly, f.declined)]
        table.add_row(skill, str(f.num_answerable), *shares[:3], str(f.num_unanswerable), shares[3])
    console = Console(width=120)
    console.print(table)
    console.print(f"loaded in {loading:.2f} s; {tokens_per_second(reader):.0f} tokens/s")


if __name__ == "__main__":
    main()

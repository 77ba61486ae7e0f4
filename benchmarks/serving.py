"""Tokens a second and time to the first token at 1, 8 and 32 clients; what HTTP costs over a direct `generate`.

    python -m benchmarks.serving [--quick] [--model pericia-nano] [--clients 1 8 32] [--against URL MODEL]

Every client sends one streamed chat after another on loopback. `direct` calls the model in this process, one after
another, and is what HTTP is compared with. `--against` measures another OpenAI-compatible server at URL as well, such
as `transformers serve`. On a busy machine only the ratios within one run say anything.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from openai import OpenAI

from pericia import models
from pericia.config import parse_config
from pericia.models import Model, Sampler
from pericia.server.app import create_app
from pericia.types import Message, Prompt, Sampling
from pericia.workspace import Workspace

QUESTIONS = [
    f"What does the manual say about the pressure of pump P-{number}, and why?"
    for number in range(97)
]


@contextmanager
def serving(model: Model, name: str) -> Iterator[str]:
    """Yield the address of a Pericia server with this model."""
    with tempfile.TemporaryDirectory() as folder:
        serve = {"max_waiting": 1000, "together": 32}
        config = parse_config({"name": "bench", "model": name, "serve": serve}, "benchmark")
        app = create_app(Workspace(Path(folder)), config, key="", load_model=lambda _: model)
        settings = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
        server.should_exit = True
        thread.join()


def one_chat(client: OpenAI, model: str, question: str, num_tokens: int) -> tuple[int, float]:
    """Return the tokens that an answer has and the seconds until its first piece."""
    started = time.perf_counter()
    first = 0.0
    count = 0
    chat: Any = [{"role": "user", "content": question}]
    # without its end markers (0 and 2 of the bundled model) every answer has the same length
    stream = client.chat.completions.create(
        model=model,
        messages=chat,
        max_tokens=num_tokens,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        logit_bias={"0": -100, "2": -100},
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content and not first:
            first = time.perf_counter() - started
        if chunk.usage is not None:
            count = chunk.usage.completion_tokens
    return count, first or time.perf_counter() - started


def measure(
    url: str, model: str, num_clients: int, num_chats: int, num_tokens: int
) -> dict[str, Any]:
    """Return the figures of `num_clients` that ask at once, `num_chats` in all."""
    with OpenAI(base_url=url, api_key="any", max_retries=0, timeout=3600) as client:
        one_chat(client, model, "warm up", 4)
        started = time.perf_counter()
        with ThreadPoolExecutor(num_clients) as pool:
            asked = [QUESTIONS[number % len(QUESTIONS)] for number in range(num_chats)]
            done = list(pool.map(lambda q: one_chat(client, model, q, num_tokens), asked))
        seconds = time.perf_counter() - started
    firsts = sorted(first for _, first in done)
    return {
        "clients": num_clients,
        "tokens_per_s": round(sum(count for count, _ in done) / seconds, 1),
        "first_token_ms_p50": round(statistics.median(firsts) * 1000, 1),
        "first_token_ms_p95": round(firsts[int(0.95 * (len(firsts) - 1))] * 1000, 1),
    }


def direct(model: Model, num_chats: int, num_tokens: int) -> float:
    """Return the tokens a second of the model itself, one chat after another."""
    assert isinstance(model, Sampler)
    sampling = Sampling(0.0, logit_bias={0: -100.0, 2: -100.0})
    count = 0
    started = time.perf_counter()
    for number in range(num_chats):
        prompt = Prompt((Message("user", QUESTIONS[number % len(QUESTIONS)]),), "")
        count += model.sample(prompt, sampling, max_new_tokens=num_tokens).usage.tokens_out
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pericia-nano")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--chats", type=int, default=64, help="in all, at each number of clients")
    parser.add_argument("--quick", action="store_true", help="8 chats of 24 tokens")
    parser.add_argument("--against", nargs=2, metavar=("URL", "MODEL"))
    asked = parser.parse_args()
    if asked.quick:
        asked.chats, asked.tokens = 8, 24
    model = models.load(asked.model)
    direct(model, 1, 4)
    found: dict[str, Any] = {
        "load": os.getloadavg()[0],
        "tokens": asked.tokens,
        "chats": asked.chats,
    }
    found["direct_tokens_per_s"] = round(direct(model, asked.chats, asked.tokens), 1)
    with serving(model, asked.model) as url:
        found["pericia"] = [
            measure(url, asked.model, n, asked.chats, asked.tokens) for n in asked.clients
        ]
    one = found["pericia"][0]["tokens_per_s"]
    found["http_overhead"] = round(found["direct_tokens_per_s"] / one - 1, 3)
    found["speedup"] = {
        str(row["clients"]): round(row["tokens_per_s"] / one, 2) for row in found["pericia"]
    }
    if asked.against:
        url, name = asked.against
        found["other"] = [measure(url, name, n, asked.chats, asked.tokens) for n in asked.clients]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

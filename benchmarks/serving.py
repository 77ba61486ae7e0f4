"""Tokens a second and time to the first token at 1, 8 and 32 clients, beside other servers; what HTTP costs.

    python -m benchmarks.serving [--quick] [--clients 1 8 32] [--chats 32] [--tokens 48] [--rounds 3] [--core 0]
                                 [--together auto 8]
                                 [--also NAME='COMMAND {folder} {port}' …] [--tutorial]

Every server is a process of its own on one core with one thread, with the same weights in the same precision; the
clients run on that core as well and ask all servers in turn, round by round. The weights are those of the bundled
model, with end markers that never win, so that every answer of every server has exactly `--tokens` tokens.

On a core that others use too, seconds of the clock say little. So the seconds of CPU that a server spends on a token
stand beside them: for a server that is bound by its CPU, one divided by that is the tokens a second of a free core.
`direct` calls the model without a server; HTTP's cost is what a token costs more in a server with one client.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from openai import OpenAI

from benchmarks.servers import PATIENCE_S, QUESTIONS, Direct, Server, endless, free_port, pericia
from pericia import bases

TRANSFORMERS = (
    "transformers={python} -m transformers.cli.transformers serve {folder} --dtype float32 "
    "--device cpu --port {port}"
)
TRANSFORMERS_BATCHING = (
    TRANSFORMERS.replace("transformers=", "transformers-batching=")
    + " --continuous-batching --cb-max-memory-percent 0.05"
)


def measure(
    server: Server, num_clients: int, num_chats: int, num_tokens: int, *, stream: bool = True
) -> dict[str, float]:
    """Return the figures of `num_clients` that ask at once, `num_chats` in all."""
    spent, started = server.cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(num_clients) as pool:
        asked = [QUESTIONS[number % len(QUESTIONS)] for number in range(num_chats)]
        firsts = sorted(pool.map(lambda q: server.ask(q, num_tokens, stream=stream), asked))
    seconds = time.perf_counter() - started
    count = num_chats * num_tokens
    return {
        "tokens_per_s": count / seconds,
        "cpu_ms_per_token": (server.cpu_s() - spent) / count * 1000,
        "first_token_ms_p50": statistics.median(firsts) * 1000,
        "first_token_ms_p95": firsts[round(0.95 * (len(firsts) - 1))] * 1000,
    }


def tutorial(core: int) -> dict[str, float]:
    """Return how long the tutorial of ten rows takes: upload, job of 100 steps, chat with the model."""
    with tempfile.TemporaryDirectory() as name:
        base = bases.base_folder(bases.BUNDLED)
        server = pericia(base, Path(name, "work"), free_port(), core)
        rows = [
            {
                "messages": [
                    {"role": "user", "content": f"What does part {n} weigh?"},
                    {"role": "assistant", "content": f"Part {n} weighs {n * 3} kg."},
                ]
            }
            for n in range(10)
        ]
        path = Path(name, "ten.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        url = f"http://127.0.0.1:{server.port}/v1"
        spent, started = server.cpu_s(), time.perf_counter()
        with OpenAI(base_url=url, api_key="any", timeout=PATIENCE_S) as client:
            file = client.files.create(file=path, purpose="fine-tune")
            job = client.fine_tuning.jobs.create(training_file=file.id, model="gpt-4o-mini")
            while job.status not in ("succeeded", "failed", "cancelled"):
                time.sleep(0.5)
                job = client.fine_tuning.jobs.retrieve(job.id)
            assert job.fine_tuned_model is not None, job.error
            chat: Any = [{"role": "user", "content": "What does part 7 weigh?"}]
            client.chat.completions.create(model=job.fine_tuned_model, messages=chat)
        took = {"s": time.perf_counter() - started, "cpu_s": server.cpu_s() - spent}
        server.end()
    return took


def rounds(asked: argparse.Namespace, folder: Path, opened: ExitStack) -> dict[str, Any]:
    """Return the median of each figure over the rounds, and what HTTP costs over `direct`."""

    def kept(one: Any) -> Any:
        opened.callback(one.end)
        return one

    direct = kept(Direct(folder, asked.core))
    servers = []
    for together in asked.together:
        work = folder.parent / f"work-{together}"
        servers.append(kept(pericia(folder, work, free_port(), asked.core, together)))
    for given in asked.also:
        name, _, command = given.partition("=")
        port = free_port()
        places = {"python": sys.executable, "folder": folder, "port": port}
        words = shlex.split(command.format(**places))
        servers.append(kept(Server(name, words, port, str(folder), asked.core)))
    figures: dict[str, list[dict[str, float]]] = {}
    for number in range(asked.rounds):
        found = {"direct": direct.measure(asked.chats, asked.tokens)}
        for clients in asked.clients:
            for server in servers:
                made = measure(server, clients, asked.chats, asked.tokens)
                found[f"{server.name}, {clients} clients"] = made
        one = measure(servers[0], 1, asked.chats, asked.tokens, stream=False)
        found["pericia, whole answers"] = one
        for name, values in found.items():
            figures.setdefault(name, []).append(values)
            print(number, name, json.dumps(_rounded(values)), file=sys.stderr, flush=True)
    medians = {
        name: {key: statistics.median(one[key] for one in every) for key in every[0]}
        for name, every in figures.items()
    }
    cost = {
        how: {
            "by_cpu": _ratio(figures[name], figures["direct"], "cpu_ms_per_token") - 1,
            "by_clock": _ratio(figures["direct"], figures[name], "tokens_per_s") - 1,
        }
        for how, name in _ALONE.items()
        if name in figures
    }
    return {"medians": medians, "http_cost": cost}


def _ratio(above: list[dict[str, float]], below: list[dict[str, float]], key: str) -> float:
    """Return the median of the ratios within a round; what else the core does changes from round to round."""
    return statistics.median(one[key] / two[key] for one, two in zip(above, below, strict=True))


def _rounded(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _rounded(value) for key, value in values.items()}
    return round(values, 3) if isinstance(values, float) else values


_ALONE = {"whole": "pericia, whole answers", "streamed": "pericia-auto, 1 clients"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--chats", type=int, default=32, help="at each number of clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--together", nargs="+", default=["auto", "8"], help="serve.together")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--also", nargs="*", default=[TRANSFORMERS, TRANSFORMERS_BATCHING])
    parser.add_argument("--tutorial", action="store_true", help="the tutorial of ten rows only")
    parser.add_argument("--quick", action="store_true", help="one round of 8 chats of 16 tokens")
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.chats, asked.tokens = 1, 8, 16
    os.sched_setaffinity(0, {asked.core})
    about = {name: version(name) for name in ("pericia", "torch", "transformers", "uvicorn")}
    found: dict[str, Any] = {"versions": about, "load": os.getloadavg()[0]}
    if asked.tutorial:
        found["tutorial"] = tutorial(asked.core)
    else:
        with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
            found |= rounds(asked, endless(Path(name, "endless")), opened)
    print(json.dumps(_rounded(found), indent=2))


if __name__ == "__main__":
    main()

"""Servers at work on one core, each in a process of its own, for benchmarks/serving.py."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
from safetensors.torch import load_file, save_file

from pericia import bases, models
from pericia.types import Message, Prompt

QUESTIONS = [
    f"What does the manual say about the pressure of pump P-{n}, and why?" for n in range(97)
]
PATIENCE_S = 1800.0


def endless(folder: Path) -> Path:
    """Return a copy of the bundled model whose end markers have a logit of nought, so that they never win."""
    shutil.copytree(bases.base_folder(bases.BUNDLED), folder)
    weights = load_file(folder / "model.safetensors")
    for token in bases.stop_ids(folder):
        weights["model.embed_tokens.weight"][token] = 0.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Server:
    """A server at work on one core: its port, the name of its model, and what its processes have spent."""

    def __init__(self, name: str, command: Sequence[str], port: int, model: str, core: int) -> None:
        self.name, self.port, self.model = name, port, model
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} does not start: {self.said()}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            self.ask("warm up", 4, stream=False)
        except (OSError, HTTPException):
            return False
        return True

    def said(self) -> str:
        """Return the end of what the server has printed."""
        self._log.seek(0)
        return self._log.read()[-3000:].decode(errors="replace")

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the server and its children have spent."""
        root = psutil.Process(self._process.pid)
        times = [root.cpu_times(), *(child.cpu_times() for child in root.children(recursive=True))]
        ended = times[0].children_user + times[0].children_system
        return float(ended + sum(one.user + one.system for one in times))

    def ask(self, question: str, num_tokens: int, *, stream: bool = True) -> float:
        """Return the seconds until the first piece of an answer, once all of it is there."""
        chat = [{"role": "user", "content": question}]
        body = {"model": self.model, "messages": chat, "max_tokens": num_tokens}
        body |= {"temperature": 0, "stream": stream}
        headers = {"Content-Type": "application/json"}
        started = time.perf_counter()
        first = 0.0
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"{self.name} answers {answer.status}: {answer.read()[:500]!r}")
            for line in answer:  # read and not parsed, so that the clients cost little
                if not first and _has_text(line):
                    first = time.perf_counter() - started
        return first or time.perf_counter() - started

    def end(self) -> None:
        """Kill the processes."""
        root = psutil.Process(self._process.pid)
        for process in [*root.children(recursive=True), root]:
            process.kill()
        self._process.wait()
        self._log.close()


def _has_text(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    choices = json.loads(line[len(b"data: ") :]).get("choices")
    return bool(choices and choices[0].get("delta", {}).get("content"))


def pericia(folder: Path, work: Path, port: int, core: int, together: str = "auto") -> Server:
    """Return a Pericia server in the folder `work`, as `pericia serve` starts it; `together` auto is the default."""
    work.mkdir()
    (work / "pericia.yaml").write_text(
        f"name: bench\nmodel: {folder}\nserve: {{together: {together}}}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pericia", "serve", "--port", str(port)]
    command += ["--config", str(work / "pericia.yaml")]
    return Server(f"pericia-{together}", command, port, str(folder), core)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


class Direct:
    """The model itself in a process of its own, asked one question after another."""

    def __init__(self, folder: Path, core: int) -> None:
        command = [sys.executable, "-m", "benchmarks.servers", str(folder)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        self.measure(1, 4)

    def measure(self, num_chats: int, num_tokens: int) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{num_chats} {num_tokens}\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def answer_directly(folder: str) -> None:
    """Be the process of `Direct`: read how many chats of how many tokens, print what they cost."""
    model = models.load(folder)
    for line in sys.stdin:
        num_chats, num_tokens = map(int, line.split())
        spent, started = time.process_time(), time.perf_counter()
        for number in range(num_chats):
            question = QUESTIONS[number % len(QUESTIONS)]
            prompt = Prompt((Message("user", question),), question)
            made = model.generate(prompt, max_new_tokens=num_tokens)
            assert made.usage.tokens_out == num_tokens
        count = num_chats * num_tokens
        found = {
            "tokens_per_s": count / (time.perf_counter() - started),
            "cpu_ms_per_token": (time.process_time() - spent) / count * 1000,
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    answer_directly(sys.argv[1])

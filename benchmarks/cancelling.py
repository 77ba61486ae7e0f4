"""How long a stop takes: from the click to the end of the process that did the work.

    python -m benchmarks.cancelling [--rounds 3]

A fine-tuning job of the bundled model is cancelled, and a reading of many documents is stopped, both while they work,
through the API that the page calls. The worker's process must be gone; that is what frees the memory.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

BUDGET_S = 5.0
PATIENCE_S = 600.0


@contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    """Yield a client of a server in a folder with the bundled model."""
    (folder / "pericia.yaml").write_text(
        "name: stop\nmodel: pericia-nano\ndocuments: [documents]\n"
    )
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "pericia", "serve", "--port", str(port)]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)
    try:
        until(lambda: answers(client))
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait()


def answers(client: httpx.Client) -> bool:
    """Return whether the server is up."""
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("It did not happen in time.")
        time.sleep(0.02)


def workers(folder: Path, module: str) -> list[psutil.Process]:
    """Return the processes that do the work of a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if module in command and any(str(folder) in part for part in command):
            found.append(process)
    return found


def cancel_training(client: httpx.Client, folder: Path) -> float:
    """Return the seconds from the cancel of a job at work until its worker is gone."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Part {n}?"},
                {"role": "assistant", "content": f"{n} kg"},
            ]
        }
        for n in range(200)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    sent = {"file": ("rows.jsonl", text), "purpose": (None, "fine-tune")}
    file = client.post("/v1/files", files=sent).raise_for_status().json()["id"]
    body = {"model": "pericia-nano", "training_file": file, "hyperparameters": {"n_epochs": 50}}
    job = client.post("/v1/fine_tuning/jobs", json=body).raise_for_status().json()["id"]
    until(lambda: len(client.get(f"/api/jobs/{job}").json()["steps"]) > 2)
    took = stop(client, f"/v1/fine_tuning/jobs/{job}/cancel", folder, "pericia.server.work")
    assert client.get(f"/v1/fine_tuning/jobs/{job}").json()["status"] == "cancelled"
    return took


def stop_reading(client: httpx.Client, folder: Path) -> float:
    """Return the seconds from the stop of a reading at work until its process is gone."""
    documents = folder / "documents"
    documents.mkdir(exist_ok=True)
    for number in range(400):
        text = f"# Part {number}\n\nPart {number} of round {time.time()} weighs {number} kg.\n" * 20
        (documents / f"{number}.md").write_text(text)
    task = client.post("/api/documents/read").raise_for_status().json()["id"]
    until(lambda: client.get(f"/api/tasks/{task}").json()["stage"] in ("read", "embed"))
    took = stop(client, f"/api/tasks/{task}/stop", folder, "pericia.server.taskwork")
    assert client.get(f"/api/tasks/{task}").json()["status"] == "stopped"
    return took


def stop(client: httpx.Client, path: str, folder: Path, module: str) -> float:
    """Return the seconds from a request to stop until no worker of this module is left."""
    started = time.monotonic()
    client.post(path).raise_for_status()
    until(lambda: not workers(folder, module))
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"{'stopped':<12}{'median, s':>12}{'longest, s':>12}   load {os.getloadavg()[0]:.1f}")
    late = []
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as client:
        for what, stop in (("training", cancel_training), ("reading", stop_reading)):
            times = [stop(client, Path(name)) for _ in range(rounds)]
            print(f"{what:<12}{statistics.median(times):>12.2f}{max(times):>12.2f}")
            late += [what] * (max(times) > BUDGET_S)
    if late:
        raise SystemExit(f"Over {BUDGET_S} s: {', '.join(late)}")


if __name__ == "__main__":
    main()

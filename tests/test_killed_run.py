"""`pericia run` with the real parts, killed with SIGKILL wherever it is, ends as if nobody had touched it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pericia.lab.industry import Industry

CONFIG = """\
name: yard
documents: [documents]
questions: questions.jsonl
examples: examples.jsonl
model: pericia-nano
train: {epochs: 2, learning_rate: 0.002}
"""


def write_company(folder: Path) -> Path:
    """Write six pages, twelve questions and twenty-four examples about a fictional yard; return the config."""
    industry, rng = Industry(77), Random(5)
    (folder / "documents").mkdir(parents=True)
    questions: list[dict[str, Any]] = []
    examples: list[dict[str, Any]] = []
    for number in range(6):
        name = f"page{number}.md"
        facts = []
        for attribute in industry.pick_attributes("machine", 6, composed=0.0):
            facts.append(industry.new_fact(industry.new_entity("machine"), attribute))
        text = "\n\n".join(fact.say() for fact in facts)
        (folder / "documents" / name).write_text(f"# Page {number}\n\n{text}\n", encoding="utf-8")
        for place, fact in enumerate(rng.sample(facts, k=len(facts))):
            source = f"documents/{name}"
            if place < 2:
                question = {"id": f"q{number}{place}", "question": fact.ask()}
                questions.append(question | {"answers": [fact.value], "sources": [source]})
            else:
                turns = [
                    {"role": "user", "content": fact.ask()},
                    {"role": "assistant", "content": fact.value},
                ]
                examples.append({"messages": turns, "source": source})
    for file, rows in (("questions.jsonl", questions), ("examples.jsonl", examples)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / file).write_text(lines, encoding="utf-8")
    (folder / "pericia.yaml").write_text(CONFIG, encoding="utf-8")
    return folder / "pericia.yaml"


def start(config: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pericia", "run", str(config), "--json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(config: Path) -> None:
    process = start(config)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()
    assert json.loads(output)["recommendation"]


def outcome(config: Path) -> dict[str, Any]:
    """Return all that a run decides: every answer with its citations, the adapters' bytes, the advice."""
    [record] = (config.parent / ".pericia" / "runs").glob("*/run.json")
    folder = record.parent
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    report = json.loads((folder / "report.json").read_text())
    adapters = (config.parent / ".pericia" / "adapters").rglob("adapter_model.safetensors")
    return {
        "run": folder.name,
        "answers": [
            (row["question_id"], row["arm"], row["answer"]["text"], row["answer"]["citations"])
            for row in rows
        ],
        "scores": [row["scores"] for row in rows],
        "adapters": sorted((path.parent.name, path.read_bytes()) for path in adapters),
        "advice": (report["recommendation"]["arm"], report["recommendation"]["rule"]),
    }


@pytest.mark.parametrize("num_kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_moment_ends_in_the_same_result(num_kills: int, tmp_path: Path) -> None:
    whole = write_company(tmp_path / "whole")
    begin = time.monotonic()
    finish(whole)
    seconds = time.monotonic() - begin
    killed = write_company(tmp_path / "killed")
    rng = Random(11)
    for _ in range(num_kills):
        process = start(killed)
        time.sleep(seconds * rng.uniform(0.1, 0.9))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(killed)
    assert outcome(killed) == outcome(whole)

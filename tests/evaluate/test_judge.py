"""The judge: asked over HTTP by the official client, its replies kept, unreadable ones counted, people beside it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from pericia.config import JudgeConfig
from pericia.errors import ConfigError, InputError, ModelError
from pericia.evaluate.judge import open_judge, read_labels
from pericia.evaluate.report import recompute, report_json
from pericia.evaluate.run import run
from pericia.prompts import judge_messages
from tests.evaluate.bench import NUM_PUMPS, FakeTools, write_firm, write_lines


class Endpoint:
    """A chat endpoint on loopback that judges by rule: unreadable for pump P3, wrong for P5, else by equality."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        app = FastAPI()

        @app.post("/v1/chat/completions")
        def complete(body: dict[str, Any]) -> dict[str, Any]:
            self.asked.append(body)
            said = body["messages"][-1]["content"]
            same = said.partition("Answer: ")[2].startswith(said.partition("Reference: ")[2][:7])
            word = "RIGHT" if same else "WRONG"
            if "pump P3 " in said:
                word = "It depends."
            if "pump P5 " in said:
                word = "No, that is WRONG"
            message = {"role": "assistant", "content": word}
            return {
                "id": "c",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            }

        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(60)
        self._socket.close()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def test_a_judge_reads_the_answers_and_decides_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    labels = [{"question_id": f"q{n}", "arm": "rag", "right": True} for n in range(NUM_PUMPS)]
    write_lines(tmp_path / "labels.jsonl", labels)
    judge = {"model": "judge-1", "base_url": endpoint.url, "labels": "labels.jsonl"}
    config, workspace = write_firm(tmp_path, evaluate={"judge": judge})
    result = run(config, workspace, tools=FakeTools().tools())
    said: Any = result.report.facts["judge"]
    assert said["model"] == "judge-1"
    rag = said["arms"]["rag"]
    assert (rag["num_asked"], rag["num_unread"]) == (NUM_PUMPS, 1)
    assert rag["mean"] == pytest.approx(
        (NUM_PUMPS - 2 + 2) / (NUM_PUMPS + 2)
    )  # two refusals are right
    assert said["arms"]["prompt"]["num_asked"] == 0  # it only refuses
    assert said["agreement"]["num_unread"] == 1
    assert said["agreement"]["share"] == pytest.approx((NUM_PUMPS - 2) / NUM_PUMPS)
    assert result.report.recommendation.arm == "rag"
    assert {body["temperature"] for body in endpoint.asked} == {0}
    page = result.html.read_text(encoding="utf-8")
    assert "What the judge says" in page
    assert "fewer than 50 labels do not settle it" in page
    assert recompute(result.folder) == result.report
    json.dumps(report_json(result.report, result.html), allow_nan=False)
    num_asked = len(endpoint.asked)
    run(config, workspace, tools=FakeTools().tools())
    assert len(endpoint.asked) == num_asked
    with (result.folder / "judge.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question_id": "q1", "ar')  # a line that a kill cut off
    (tmp_path / "labels.jsonl").unlink()
    other = {"model": "judge-2", "base_url": endpoint.url}
    config, _ = write_firm(tmp_path, evaluate={"judge": other})
    again = run(config, workspace, tools=FakeTools().tools())
    assert len(endpoint.asked) == 2 * num_asked  # another judge reads everything again
    assert again.report.facts["judge"]["agreement"] is None  # type: ignore[index]


def test_a_judge_that_fails_is_named_and_the_answers_stay(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers here
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        config, workspace = write_firm(
            tmp_path, evaluate={"judge": {"model": "j", "base_url": url}}
        )
        with pytest.raises(ModelError, match="The judge 'j' failed"):
            run(config, workspace, tools=FakeTools().tools())
    fake = FakeTools()
    without, _ = write_firm(tmp_path)
    assert run(without, workspace, tools=fake.tools()).num_new == 0


def test_a_judge_elsewhere_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(ConfigError, match="JUDGE_KEY is empty"):
        open_judge(JudgeConfig(model="j", key="JUDGE_KEY", base_url="https://judge.example/v1"))


def test_a_label_of_another_shape_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "labels.jsonl", [{"question_id": "q1", "arm": "rag", "right": "yes"}])
    with pytest.raises(InputError, match="line 1: no label"):
        read_labels(tmp_path / "labels.jsonl")


def test_what_a_judge_is_asked() -> None:
    system, user = judge_messages("How hot?", ("900 °C", "900 degrees"), "900 °C [1]")
    assert "RIGHT or WRONG" in system.content
    assert user.content == (
        "Question: How hot?\nReference: 900 °C\nReference: 900 degrees\nAnswer: 900 °C [1]"
    )

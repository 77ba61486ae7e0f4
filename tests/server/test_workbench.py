"""The JSON API behind the screens, and their forms: figures are the rivers' own, and faults stand at their fields."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import openai
import pytest
from torch import nn

from pericia.config import Config, TrainConfig
from pericia.evaluate.report import report_json
from pericia.evaluate.run import RunResult, run
from pericia.plan import plan
from pericia.server.house import House
from pericia.server.ui.door import SESSION, session_of
from pericia.server.ui.words import in_language
from pericia.server.workbench import changed_since
from pericia.server.workbench_train import knobs, own_settings, read_settings
from pericia.workspace import Workspace
from tests.evaluate.bench import FakeTools, write_firm
from tests.fakes import FakeTrainer
from tests.server.conftest import Running, Start
from tests.server.test_fine_tuning import create, ended, lines

TIMEOUT_S = 600  # for a busy machine; an idle one needs seconds


def line(question: str, answer: str, source: str) -> str:
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": chat, "source": source}) + "\n"


@pytest.fixture
def server(start: Start, tmp_path: Path) -> Running:
    rows = [line(f"How hot is kiln {n}?", f"{n}00 °C", f"kiln-{n % 4}.md") for n in range(1, 13)]
    (tmp_path / "examples.jsonl").write_text("".join(rows), encoding="utf-8")
    return start(examples="examples.jsonl")


def call(server: Running, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{server.url}{path}", timeout=TIMEOUT_S, **more)


# --- examples -----------------------------------------------------------------------------------------------


def test_examples_are_listed_changed_and_undone(server: Running) -> None:
    book = call(server, "GET", "/api/examples").json()
    assert book["counts"]["examples"] == 12
    assert book["counts"]["train"] + book["counts"]["validation"] == 12
    row = {"question": "How hot?", "answer": "hot", "source": "x.md", "sha256": book["sha256"]}
    changed = call(server, "PUT", "/api/examples/2", json=row)
    assert changed.status_code == 200
    stale = call(server, "PUT", "/api/examples/3", json=row)
    assert "has changed" in stale.json()["error"]["message"]
    empty = call(server, "PUT", "/api/examples/2", json={**row, "answer": " "})
    assert empty.json()["error"]["param"] == "answer"
    found = call(server, "GET", "/api/examples?q=how hot?").json()["rows"]
    assert [one["line"] for one in found] == [2]
    assert call(server, "POST", "/api/examples/undo").status_code == 200
    assert call(server, "GET", "/api/examples").json()["sha256"] == book["sha256"]


def test_an_import_names_each_fault_with_its_line(server: Running) -> None:
    table = b"ticket,reply\nIs it hot?,Yes\n,No\n"
    columns = {"column_question": "ticket", "column_answer": "reply"}
    files = {"file": ("tickets.csv", table)}
    tried = call(
        server, "POST", "/api/examples/import", files=files, data={**columns, "dry": "true"}
    ).json()
    assert (tried["num_added"], tried["columns"]) == (1, ["ticket", "reply"])
    assert [one["line"] for one in tried["findings"] if one["level"] == "error"] == [3]
    call(server, "POST", "/api/examples/import", files=files, data=columns)
    assert call(server, "GET", "/api/examples").json()["counts"]["examples"] == 13
    none = call(server, "POST", "/api/examples/import", data=columns)
    assert none.json()["error"]["param"] == "file"


def test_lengths_are_the_models(server: Running) -> None:
    found = call(server, "GET", "/api/examples/lengths").json()
    assert found["lengths"] == [7] * 12  # words: a token of the fake model is a word
    assert found["num_too_long"] == 0
    page = call(server, "GET", "/examples/lengths")
    assert "<svg" in page.text


def test_the_form_of_a_row_keeps_what_was_typed(server: Running) -> None:
    sha256 = call(server, "GET", "/api/examples").json()["sha256"]
    typed = {"sha256": sha256, "question": "My own words", "answer": ""}
    refused = call(server, "POST", "/examples/4", data=typed)
    assert refused.status_code == 422
    assert "My own words" in refused.text
    assert 'id="fault-answer"' in refused.text
    assert call(server, "GET", "/api/examples").json()["sha256"] == sha256
    kept = call(server, "POST", "/examples/add", data={"question": "Only this"})
    assert kept.status_code == 422
    assert "Only this" in kept.text


# --- training -----------------------------------------------------------------------------------------------


def test_every_knob_has_its_help_and_every_fault_its_field(server: Running) -> None:
    about = call(server, "GET", "/api/train").json()
    assert {knob["name"] for knob in about["knobs"]} == set(about["values"])
    assert all(knob["why"] for knob in about["knobs"])
    bad = {"settings": {"rank": 0, "dropout": "much"}}
    refused = call(server, "POST", "/api/train", json=bad).json()["error"]
    assert refused["param"] == "rank"
    assert "dropout" in refused["message"]
    form = call(server, "POST", "/train", data={"rank": "many", "epochs": "3", "act": "check"})
    assert form.status_code == 422
    assert 'value="many"' in form.text
    assert 'id="fault-rank"' in form.text
    spanish = {"accept-language": "es"}
    form = call(server, "POST", "/train", data={"rank": "0", "dropout": "x"}, headers=spanish)
    assert "Se espera 1 o más." in form.text
    assert "Se espera un número." in form.text
    assert call(server, "GET", "/api/tasks").json()["data"] == []


def test_settings_read_back_as_they_stand_in_their_fields() -> None:
    for settings in (TrainConfig(), TrainConfig(epochs=3, method="qlora", rank=4)):
        shown = {knob["name"]: knob["value"] for knob in knobs(settings)}
        assert read_settings(TrainConfig(), shown) == (settings, {})


def test_a_layer_that_is_made_while_a_plan_is_computed_has_weights() -> None:
    """The server loads adapters while the Train screen asks for three plans."""
    ended = threading.Event()
    layers: list[nn.Linear] = []

    def load() -> None:
        while not ended.is_set():
            layers.append(nn.Linear(2, 2))

    loading = threading.Thread(target=load)
    loading.start()
    for method in ("lora", "qlora", "lora"):
        plan("pericia-nano", method=method, context_tokens=64, rank=4)
    ended.set()
    loading.join()
    assert layers
    assert not any(layer.weight.is_meta for layer in layers)


def project(folder: Path, **settings: Any) -> House:
    config = Config(train=TrainConfig(**settings))
    return cast("House", SimpleNamespace(config=config, workspace=Workspace(folder)))


def test_a_training_with_other_settings_is_told_from_the_projects(tmp_path: Path) -> None:
    house = project(tmp_path, epochs=3)
    asked = house.config.train.model_dump(mode="json")
    assert own_settings(house, asked) == []
    assert own_settings(house, {**asked, "epochs": 1, "no_such_knob": 2}) == ["epochs"]


def test_a_run_is_old_when_a_setting_has_changed_and_not_when_a_knob_is_new(tmp_path: Path) -> None:
    before = project(tmp_path, epochs=3).config.model_dump(mode="json")
    assert changed_since(project(tmp_path, epochs=3), before, []) == []
    assert changed_since(project(tmp_path, epochs=4), before, []) == ["train"]
    del before["train"]["learning_rate"]  # as a version wrote it that had no such knob
    assert changed_since(project(tmp_path, epochs=3), before, []) == []


def test_an_autotrain_file_becomes_settings_with_a_verdict_for_each_key(server: Running) -> None:
    text = (
        "task: llm-sft\nbase_model: some/model\nproject_name: p\nlog: none\nbackend: local\n"
        "data: {path: data, train_split: train, valid_split: null, column_mapping: {text_column: text}}\n"
        "params: {lr: 1e-5, lora_r: 64, peft: true, quantization: int4, unsloth: true}\n"
    )
    made = call(server, "POST", "/api/autotrain", files={"file": ("a.yml", text)}).json()
    assert made["settings"]["rank"] == "64"
    assert made["settings"]["method"] == "qlora"
    assert {row["key"]: row["verdict"] for row in made["lines"]}["params.lora_r"] == "kept"
    page = call(server, "POST", "/train/autotrain", files={"file": ("a.yml", text)})
    assert 'name="rank" value="64"' in page.text
    bad = call(server, "POST", "/train/autotrain", files={"file": ("a.yml", "- no")})
    assert bad.status_code == 422
    assert 'id="autotrain-fault"' in bad.text


def heard(server: Running, job: str, mark: str = "", most: int = 10_000) -> Iterator[Any]:
    """Yield id and data of a job's events until it has ended, at most `most`."""
    url = f"{server.url}/api/jobs/{job}/events"
    headers = {"Last-Event-ID": mark} if mark else {}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_S) as answer:
        id_, number = "", 0
        for text in answer.iter_lines():
            if text.startswith("id: "):
                id_ = text[4:]
            if text == "event: end":
                return
            if text.startswith("data: "):
                number += 1
                yield id_, json.loads(text[6:])
                if number == most:
                    return


def test_no_point_of_the_curve_is_missing_or_doubled(start: Start) -> None:
    server = start(trainer=FakeTrainer(step_s=0.02))
    job = create(server.openai(), lines(10), hyperparameters={"n_epochs": 3}).id
    first = list(heard(server, job, most=4))
    rest = list(heard(server, job, mark=first[-1][0]))
    steps = {s["step"]: s for _, data in [*first, *rest] for s in data["steps"]}
    assert sorted(steps) == list(range(1, 31))
    assert steps[30]["train_loss"] == pytest.approx(1 / 30)
    seen = [e["id"] for _, data in [*first, *rest] for e in data["events"]]
    assert len(seen) == len(set(seen))
    assert rest[-1][1]["status"] == "succeeded"
    view = call(server, "GET", f"/api/jobs/{job}").json()
    assert [s["step"] for s in view["steps"]] == list(range(1, 31))
    assert list(heard(server, job, mark=view["mark"]))[1:] == []


def test_memory_is_shown_as_foreseen_and_as_measured(start: Start, tmp_path: Path) -> None:
    server = start(root=tmp_path, trainer=FakeTrainer())
    client = server.openai()
    job = create(client, lines(10)).id
    ended(client, job)
    assert call(server, "GET", f"/api/jobs/{job}").json()["memory"] is None
    [path] = tmp_path.rglob("adapter/pericia-manifest.json")
    figures = {"foreseen_memory_bytes": 3_000_000_000, "peak_memory_bytes": 2_500_000_000}
    path.write_text(json.dumps(json.loads(path.read_text()) | figures), encoding="utf-8")
    memory = call(server, "GET", f"/api/jobs/{job}").json()["memory"]
    assert memory == {"foreseen_bytes": 3_000_000_000, "measured_bytes": 2_500_000_000}
    page = call(server, "GET", "/train")
    assert "2.5 GB" in page.text
    assert "3.0 GB foreseen" in page.text


def test_a_job_is_steered_and_found_again(start: Start) -> None:
    server = start(trainer=FakeTrainer(step_s=0.1))
    client = server.openai()
    job = create(client, lines(10), hyperparameters={"n_epochs": 20}).id
    ended(client, job, "running")
    page = call(server, "GET", "/train")
    assert f'data-job="{job}"' in page.text
    stopped = call(server, "POST", f"/train/jobs/{job}/cancel")
    assert stopped.headers["location"] == f"/train?job={job}"
    again = call(server, "POST", f"/train/jobs/{job}/cancel")
    assert again.status_code == 422
    assert "is cancelled" in again.text
    assert call(server, "GET", "/api/jobs").json()["data"][0]["status"] == "cancelled"


# --- results ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    config, workspace = write_firm(tmp_path_factory.mktemp("firm"))
    return run(config, workspace, tools=FakeTools().tools())


@pytest.fixture
def measured(start: Start, firm: RunResult) -> Running:
    settings = {"questions": "questions.jsonl", "examples": "examples.jsonl", "documents": ["."]}
    return start(root=firm.folder.parents[2], **settings)


def test_figures_are_those_of_the_report(measured: Running, firm: RunResult) -> None:
    found = call(measured, "GET", "/api/runs/latest").json()
    expected = json.loads(json.dumps(report_json(firm.report, firm.html)))
    assert found["arms"] == expected["arms"]
    assert found["pairs"] == expected["pairs"]
    listed = call(measured, "GET", "/api/runs").json()["data"]
    assert [(one["id"], one["is_complete"]) for one in listed] == [(firm.folder.name, True)]
    page = call(measured, "GET", "/compare")
    for arm in firm.report.arms.values():
        mean = f"{100 * arm.scores[firm.report.primary_score].mean:.1f}"
        assert mean in page.text
    advice = call(measured, "GET", "/recommendation")
    assert firm.report.recommendation.sentence in advice.text.replace("&#39;", "'")


def test_filters_keep_the_right_questions_and_live_in_the_address(
    measured: Running, firm: RunResult
) -> None:
    primary = firm.report.primary_score
    right: dict[str, set[bool]] = {}
    for row in firm.report.rows:
        right.setdefault(row.question_id, set()).add(row.scores[primary] >= 0.5)
    disagree = {id_ for id_, values in right.items() if len(values) == 2}
    base = f"/api/runs/{firm.folder.name}/questions"
    found = call(measured, "GET", f"{base}?filter=disagree").json()
    assert {one["id"] for one in found["data"]} == disagree
    one = call(measured, "GET", f"{base}?q=pump P3 hold").json()["data"]
    assert [question["id"] for question in one] == ["q3"]
    unknown = call(measured, "GET", f"{base}?filter=nonsense")
    assert unknown.json()["error"]["param"] == "filter"
    page = call(measured, "GET", "/compare?filter=disagree")
    assert page.text.count('class="middle cell') == len(disagree) * len(firm.report.arms)


def test_a_run_needs_questions_and_known_arms(start: Start, measured: Running) -> None:
    refused = call(measured, "POST", "/api/runs", json={"arms": ["best"]})
    assert refused.json()["error"]["param"] == "arms"
    nothing = call(measured, "POST", "/compare", data={})
    assert nothing.status_code == 422
    missing = call(measured, "GET", "/api/runs/none")
    assert missing.status_code == 404
    names = ["report.html", "rows.csv", "../run.json"]
    codes = [call(measured, "GET", f"/api/runs/latest/files/{name}").status_code for name in names]
    assert codes == [200, 200, 404]


def test_another_arm_is_chosen_with_a_note_and_answers_until_the_advice_is_followed(
    measured: Running, firm: RunResult
) -> None:
    advised = firm.report.recommendation.arm
    other = next(arm for arm in ("prompt", "rag") if arm != advised)
    path = f"/api/runs/{firm.folder.name}/choice"

    def faulty(arm: str, note: str) -> str:
        answer = call(measured, "PUT", path, json={"arm": arm, "note": note})
        assert answer.status_code == 400
        return str(answer.json()["error"]["param"])

    assert faulty("best", "because") == "arm"
    assert faulty(advised, "because") == "arm"
    assert faulty(other, "  ") == "note"
    form = {"run": firm.folder.name, "arm": other, "note": ""}
    refused = call(measured, "POST", "/recommendation/choice", data=form)
    assert refused.status_code == 422
    assert 'id="fault-note"' in refused.text
    assert f'<option value="{other}" selected>' in refused.text

    note = "the auditors <want> it"
    call(measured, "POST", "/recommendation/choice", data={**form, "note": note})
    try:
        kept = call(measured, "GET", "/api/runs/latest/recommendation").json()
        assert (kept["arm"], kept["choice"]["arm"]) == (advised, other)
        assert kept["choice"]["note"] == note
        assert "the auditors &lt;want&gt; it" in call(measured, "GET", "/recommendation").text
        steps = call(measured, "GET", "/api/steps").json()["data"]
        assert next(s for s in steps if s["name"] == "ask")["facts"]["arm"] == other
    finally:
        call(measured, "POST", "/recommendation/follow", data={"run": firm.folder.name})
    assert call(measured, "GET", "/api/runs/latest/recommendation").json()["choice"] is None


@pytest.mark.parametrize("language", ["es", "pt", "bg"])
def test_rules_and_questions_before_tuning_are_said_in_the_readers_language(
    measured: Running, firm: RunResult, language: str
) -> None:
    page = call(measured, "GET", "/recommendation", headers={"accept-language": language}).text
    shown = unescape(page)
    for line in (*firm.report.facts["rules"], *firm.report.facts["tuning"]):  # type: ignore[misc]
        for text in (line.name, line.says, line.found):
            assert in_language(text, language) in shown
        assert line.says not in shown


# --- deploy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["openai", "azure"])
def test_a_snippet_runs_as_printed(server: Running, client: str) -> None:
    query = {"model": "fake-base", "question": "Is it 'hot'?"}
    code = call(server, "GET", "/api/snippets", params=query).json()[client]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert done.stdout.strip() == "You said: Is it 'hot'?"


def test_a_deployment_is_named_called_and_taken_back(server: Running) -> None:
    bad = call(
        server, "POST", "/playground/deployments", data={"name": "a b", "model": "fake-base"}
    )
    assert bad.status_code == 422
    assert 'value="a b"' in bad.text
    made = call(
        server, "POST", "/api/deployments", json={"name": "service-desk", "model": "fake-base"}
    )
    assert made.status_code == 201
    chat: Any = [{"role": "user", "content": "hello"}]
    said = server.azure().chat.completions.create(model="service-desk", messages=chat)
    assert said.choices[0].message.content == "You said: hello"
    twice = call(
        server, "POST", "/api/deployments", json={"name": "service-desk", "model": "fake-base"}
    )
    assert twice.json()["error"]["param"] == "name"
    assert call(server, "DELETE", "/api/deployments/service-desk").json()["deleted"] is True
    assert call(server, "DELETE", "/api/deployments/service-desk").status_code == 404


def test_an_export_needs_a_known_format_and_adapter(server: Running) -> None:
    unknown = {"adapter": "none", "format": "zip"}
    assert call(server, "POST", "/api/exports", json=unknown).json()["error"]["param"] == "format"
    unknown["format"] = "gguf"
    assert call(server, "POST", "/api/exports", json=unknown).json()["error"]["param"] == "adapter"


@pytest.mark.parametrize("language", ["en", "bg"])
def test_every_screen_opens_in_an_empty_folder(start: Start, language: str) -> None:
    server = start()
    screens = ("", "set-up", "documents", "documents/search", "ask", "examples", "train")
    for screen in (*screens, "compare", "recommendation", "playground"):
        headers = {"accept": "text/html", "accept-language": language}
        page = call(server, "GET", f"/{screen}", headers=headers)
        assert page.status_code == 200, screen
        assert "<h1" in page.text, screen


# --- questions and keys -------------------------------------------------------------------------------------


def test_questions_are_uploaded_whole_or_not_at_all(server: Running, tmp_path: Path) -> None:
    good = '{"question": "How hot?", "answers": ["900 °C"]}\n'
    done = call(server, "POST", "/api/questions", files={"file": ("held out.jsonl", good)})
    assert (done.status_code, done.json()) == (201, {"num_questions": 1})
    bad = good + '{"question": "", "answers": "900"}\n{"question": "x"\n'
    for path in ("/api/questions", "/compare/questions"):
        refused = call(server, "POST", path, files={"file": ("held out.jsonl", bad)})
        assert refused.status_code in (400, 422)
        assert "held out.jsonl, line" in refused.text.replace("&#39;", "'")
        assert "/tmp" not in refused.text
    assert (tmp_path / "questions.jsonl").read_text(encoding="utf-8") == good
    assert call(server, "GET", "/api/questions").text == good
    nothing = call(server, "POST", "/compare/questions", data={"x": "y"})
    assert 'id="questions-fault"' in nothing.text


def test_the_page_makes_a_key_shows_it_once_and_revokes_it(start: Start) -> None:
    server = start(key="owner-key")
    owner = {"cookie": f"{SESSION}={session_of('owner-key')}"}
    made = call(
        server,
        "POST",
        "/playground/keys",
        data={"label": "desk", "scopes": ["infer"]},
        headers=owner,
    )
    [key] = re.findall(r"<code>(sk-pericia-[^<]+)</code>", made.text)
    assert made.headers["cache-control"] == "no-store"
    assert server.openai(key).models.list().data
    shown = call(server, "GET", "/playground", headers=owner).text
    assert key not in shown
    assert "desk" in shown
    [row] = call(server, "GET", "/api/keys", headers=owner).json()["data"]
    revoke = f"/playground/keys/{row['id']}/revoke"
    assert call(server, "POST", revoke, headers=owner).status_code == 303
    with pytest.raises(openai.AuthenticationError):
        server.openai(key).models.list()
    assert call(server, "POST", revoke, headers=owner).status_code == 422


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"label": " ", "scopes": ["infer"]}, 'id="fault-label"'),
        ({"label": "desk"}, "Choose at least one thing"),
        ({"label": "desk", "scopes": ["fly"]}, "Choose at least one thing"),
    ],
)
def test_a_key_without_name_or_rights_is_not_made(
    start: Start, data: dict[str, Any], fault: str
) -> None:
    server = start()
    page = call(server, "POST", "/playground/keys", data=data)
    assert page.status_code == 422
    assert fault in page.text
    assert call(server, "GET", "/api/keys").json()["data"] == []
    assert "asks for no key" in page.text


def test_a_deployment_of_the_page_answers_to_every_client(start: Start) -> None:
    server = start()
    body = {"name": "desk", "model": "fake-base"}
    assert call(server, "POST", "/api/deployments", json=body).status_code == 201
    asked: Any = [{"role": "user", "content": "Is it hot?"}]
    for client in (server.openai(), server.azure()):
        done = client.chat.completions.create(model="desk", messages=asked)
        assert done.choices[0].message.content
    assert call(server, "DELETE", "/api/deployments/desk").is_success
    with pytest.raises(openai.NotFoundError):
        server.openai().chat.completions.create(model="desk", messages=asked)

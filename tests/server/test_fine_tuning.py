"""The life of a job with the official client, on a trainer that needs no weights."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from pericia.bases import base_sha256
from tests.fakes import FakeTrainer
from tests.server.conftest import PATIENCE_S, Running, Start
from tests.tiny_model import build_tiny_model


def lines(count: int, first: int = 0) -> bytes:
    rows = []
    for number in range(first, first + count):
        chat = [
            {"role": "user", "content": f"What is part {number}?"},
            {"role": "assistant", "content": f"It is valve {number}."},
        ]
        rows.append(json.dumps({"messages": chat}))
    return "\n".join(rows).encode()


def upload(client: OpenAI, data: bytes, name: str = "train.jsonl") -> str:
    return client.files.create(file=(name, data), purpose="fine-tune").id


def ended(client: OpenAI, job_id: str, *wanted: str, within_s: float = 120) -> FineTuningJob:
    """Return the job once it has one of the statuses, else once it has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        job = client.fine_tuning.jobs.retrieve(job_id)
        if str(job.status) in (wanted or ("succeeded", "failed", "cancelled")):
            return job
        time.sleep(0.05)
    raise AssertionError(f"The job is still {job.status}.")


def create(client: OpenAI, data: bytes, **settings: Any) -> FineTuningJob:
    model = settings.pop("model", "fake-base")
    file = upload(client, data)
    return client.fine_tuning.jobs.create(model=model, training_file=file, **settings)


def test_ten_rows_become_a_model_that_chats(start: Start) -> None:
    server = start()
    client = server.openai()
    job = create(client, lines(10), model="gpt-4o-mini-2024-07-18", suffix="parts", seed=105)
    assert job.status == "validating_files"
    assert job.hyperparameters.n_epochs == "auto"
    assert (job.seed, job.result_files, job.error) == (105, [], None)
    done = ended(client, job.id)
    assert done.status == "succeeded"
    assert done.hyperparameters.n_epochs == 10
    assert done.hyperparameters.batch_size == 1
    assert done.trained_tokens == 10 * 10 * 9
    name = done.fine_tuned_model
    assert name is not None
    assert name.startswith("ft:fake-base:local:parts:")
    chat = [{"role": "user", "content": "hello"}]
    answer = client.chat.completions.create(model=name, messages=chat)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "You said: hello"
    adapter = server.model.adapters[-1]
    assert adapter is not None
    assert (adapter / "adapter_model.safetensors").exists()
    assert client.models.retrieve(name).id == name

    page = client.fine_tuning.jobs.list_events(job.id, limit=20)
    messages = [event.message for event in reversed(page.data)]
    assert messages[-2:] == [
        f"New fine-tuned model created: {name}",
        "The job has successfully completed",
    ]
    every = list(client.fine_tuning.jobs.list_events(job.id, limit=3))
    assert every[-1].message.startswith("Created fine-tuning job")
    assert every[-2].level == "warn"
    assert "gpt-4o-mini-2024-07-18 is an alias" in every[-2].message
    steps = [event for event in reversed(every) if event.type == "metrics"]
    assert [event.data["step"] for event in steps] == list(range(1, 100, 10))  # type: ignore[index]
    assert steps[1].message == "Step 11/100: training loss=0.09"
    measured = {"step": 11, "train_loss": 1 / 11, "train_mean_token_accuracy": 0.11}
    assert steps[1].data == measured

    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [c.step_number for c in checkpoints] == [100, 90, 80]
    assert all(c.metrics.step == c.step_number for c in checkpoints)
    part = client.chat.completions.create(
        model=checkpoints[1].fine_tuned_model_checkpoint,
        messages=chat,  # type: ignore[arg-type]
    )
    assert part.choices
    assert server.model.adapters[-1] != adapter

    content = client.files.content(done.result_files[0]).text.splitlines()
    assert content[0].startswith("step,train_loss,train_accuracy,valid_loss,valid_mean_token")
    assert content[1] == "1,1.0,0.01,,,0.01,,"
    assert len(content) == 101
    assert client.files.retrieve(done.result_files[0]).filename == "step_metrics.csv"


def test_the_cookbook_counts_and_validation(start: Start) -> None:
    client = start().openai()
    file, other = upload(client, lines(101)), upload(client, lines(10, first=200))
    job = client.fine_tuning.jobs.create(
        model="gpt-3.5-turbo", training_file=file, validation_file=other, suffix="recipe-ner"
    )
    client.files.delete(file)  # the job has its own copy
    done = ended(client, job.id)
    assert "recipe-ner" in (done.fine_tuned_model or "")
    page = client.fine_tuning.jobs.list_events(job.id)
    messages = [event.message for event in reversed(page.data)]
    steps = [int(m.split()[1].split("/")[0]) for m in messages if m.startswith("Step")]
    assert steps == list(range(131, 302, 10))
    assert messages[-3].startswith("Step 301/303: training loss=0.00, validation loss=0.01")
    assert len(messages) == 20


def test_the_last_step_of_an_epoch_tells_its_own_validation(start: Start) -> None:
    client = start().openai("/openai/v1")
    file, other = upload(client, lines(10)), upload(client, lines(10, first=200))
    job = client.fine_tuning.jobs.create(
        model="fake-base",
        training_file=file,
        validation_file=other,
        hyperparameters={"n_epochs": 1},
    )
    done = ended(client, job.id)
    events = [e for e in client.fine_tuning.jobs.list_events(job.id) if e.type == "metrics"]
    assert [event.data["step"] for event in events] == list(range(10, 0, -1))  # type: ignore[index]
    measured = {
        "step": 10,
        "train_loss": 0.1,
        "train_mean_token_accuracy": 0.1,
        "valid_loss": 0.2,
        "valid_mean_token_accuracy": 0.05,
        "full_valid_loss": 0.2,
        "full_valid_mean_token_accuracy": 0.05,
    }
    assert events[0].data == pytest.approx(measured)
    assert "valid_loss" not in dict(events[1].data)  # type: ignore[call-overload]
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoint.metrics.to_dict() == pytest.approx(measured)
    rows = client.files.content(done.result_files[0]).text.splitlines()
    assert rows[-1] == "10,0.1,0.1,0.2,0.05,0.1,0.2,0.05"


def test_the_best_checkpoint_is_kept_beside_the_last_three(start: Start) -> None:
    trainer = FakeTrainer(valid_losses=[3.0, 1.0, 2.0, 2.5, 2.6, 2.7])
    client = start(trainer=trainer).openai()
    file, other = upload(client, lines(10)), upload(client, lines(10, first=50))
    job = client.fine_tuning.jobs.create(
        model="fake-base",
        training_file=file,
        validation_file=other,
        hyperparameters={"n_epochs": 6},
    )
    assert ended(client, job.id).status == "succeeded"
    kept = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [one.step_number for one in kept] == [60, 50, 40, 20]
    assert kept[-1].metrics.full_valid_loss == 1.0
    chat: Any = [{"role": "user", "content": "hello"}]
    name = kept[-1].fine_tuned_model_checkpoint
    assert client.chat.completions.create(model=name, messages=chat).choices


def test_hyperparameters_are_read_in_both_places(start: Start) -> None:
    client = start().openai()
    old = create(client, lines(10), hyperparameters={"n_epochs": 2, "batch_size": 5})
    assert ended(client, old.id).hyperparameters.n_epochs == 2
    assert len(client.fine_tuning.jobs.checkpoints.list(old.id).data) == 2
    inner: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}
    new = create(client, lines(10), method=inner, extra_body={"prompt_loss_weight": 0.1})
    assert ended(client, new.id).hyperparameters.n_epochs == 3
    told = [e.message for e in client.fine_tuning.jobs.list_events(new.id, limit=100)]
    assert "'prompt_loss_weight' is not used by this server." in told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "gpt-9"),
        ("model", "pumps"),
        ("model", "minilm"),
        ("training_file", "file-none"),
        ("validation_file", "file-none"),
        ("suffix", "a:b"),
        ("suffix", "x" * 65),
        ("seed", -1),
        ("metadata", {"k" * 65: "v"}),
        ("integrations", [{"type": "wandb", "wandb": {"project": "p"}}]),
        ("method", {"type": "reinforcement"}),
    ],
)
def test_a_job_that_cannot_be_made_is_refused(start: Start, field: str, value: object) -> None:
    client = start().openai()
    with pytest.raises(openai.BadRequestError) as refused:
        create(
            client,
            lines(10),
            **({"model": value} if field == "model" else {}),
            extra_body={field: value},
        )
    assert (refused.value.param or "").startswith(field)
    assert client.fine_tuning.jobs.list().data == []


def test_a_bad_epoch_is_refused_with_its_place(start: Start) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(start().openai(), lines(10), hyperparameters={"n_epochs": 51})
    assert refused.value.param == "hyperparameters.n_epochs"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lines(9), "at least 10"),
        (lines(10) + b"\n{broken", "line 11"),
        (lines(10) + b'\n{"messages": []}', "line 11"),
        (b"\xff\xfe\x00binary", "UTF-8"),
        (b"[1]", "line 1"),
    ],
)
def test_a_bad_training_file_fails_the_job_with_its_line(
    start: Start, data: bytes, said: str
) -> None:
    client = start().openai()
    done = ended(client, create(client, data).id)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error.param == "training_file"
    assert said in done.error.message
    assert "/" not in done.error.message.replace("/messages", "")


def test_cancel_pause_and_resume(start: Start) -> None:
    client = start(trainer=FakeTrainer(step_s=0.05)).openai(strict=False)
    job = create(client, lines(10))
    ended(client, job.id, "running")
    waiting = create(client, lines(10))
    with pytest.raises(openai.BadRequestError) as early:
        client.fine_tuning.jobs.pause(waiting.id)
    assert "is" in early.value.message
    assert client.fine_tuning.jobs.cancel(waiting.id).status == "cancelled"
    assert str(client.fine_tuning.jobs.pause(job.id).status) == "pausing"
    ended(client, job.id, "paused")
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    ended(client, job.id, "running")
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(job.id)
    with pytest.raises(openai.NotFoundError) as missing:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert missing.value.code == "fine_tune_not_found"


def test_a_paused_job_ends_like_one_that_never_paused(start: Start) -> None:
    client = start(trainer=FakeTrainer(step_s=0.01)).openai(strict=False)
    whole, paused = create(client, lines(10)), create(client, lines(10))
    ended(client, whole.id)
    ended(client, paused.id, "running")
    client.fine_tuning.jobs.pause(paused.id)
    ended(client, paused.id, "paused")
    client.fine_tuning.jobs.resume(paused.id)
    results = []
    for job in (whole, paused):
        done = ended(client, job.id)
        results.append(client.files.content(done.result_files[0]).text)
    assert results[0] == results[1]


def test_a_job_does_not_go_on_with_another_base(start: Start) -> None:
    trainer = FakeTrainer(step_s=0.02)
    client = start(trainer=trainer).openai(strict=False)
    job = create(client, lines(10))
    ended(client, job.id, "running")
    client.fine_tuning.jobs.pause(job.id)
    ended(client, job.id, "paused")
    trainer.base_sha256 = "another"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    ended(client, job.id, "paused")
    refused = client.fine_tuning.jobs.list_events(job.id, limit=1).data[0]
    assert refused.level == "error"
    assert "changed since it began: base model." in refused.message
    trainer.base_sha256 = "base"
    client.fine_tuning.jobs.resume(job.id)
    assert ended(client, job.id).status == "succeeded"


def test_resuming_on_a_base_that_was_changed_is_refused(start: Start, tmp_path: Path) -> None:
    base = build_tiny_model(tmp_path / "base")
    trainer = FakeTrainer(step_s=0.02)
    trainer.base_sha256 = base_sha256(base)
    client = start(trainer=trainer, base=str(base)).openai(strict=False)
    job = create(client, lines(10), model=str(base))
    ended(client, job.id, "running")
    client.fine_tuning.jobs.pause(job.id)
    ended(client, job.id, "paused")
    config = base / "config.json"
    before = config.read_text(encoding="utf-8")
    config.write_text(before.replace("}", ', "changed": true}', 1), encoding="utf-8")
    with pytest.raises(openai.BadRequestError, match="changed since it began: base model") as error:
        client.fine_tuning.jobs.resume(job.id)
    assert error.value.code == "base_changed"
    assert str(client.fine_tuning.jobs.retrieve(job.id).status) == "paused"
    config.write_text(before, encoding="utf-8")
    client.fine_tuning.jobs.resume(job.id)
    assert ended(client, job.id).status == "succeeded"


def test_two_servers_on_one_folder_run_each_job_once(start: Start) -> None:
    trainers = [FakeTrainer(), FakeTrainer()]
    first, second = (start(trainer=trainer).openai() for trainer in trainers)
    made = [create(client, lines(10)).id for client in (first, second, first, second)]
    for job_id in made:
        assert ended(second, job_id).status == "succeeded"
        told = [e.message for e in first.fine_tuning.jobs.list_events(job_id, limit=100)]
        assert told.count("Fine-tuning job started") == 1
        assert sum(message.startswith("Validating training file") for message in told) == 1
    assert sum(len(trainer.parents) for trainer in trainers) == len(made)


def pairs(count: int) -> bytes:
    """Return preference pairs in OpenAI's shape."""
    rows = []
    for number in range(count):
        row = {
            "input": {"messages": [{"role": "user", "content": f"What is part {number}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"It is valve {number}."}],
            "non_preferred_output": [{"role": "assistant", "content": "Something."}],
        }
        rows.append(json.dumps(row))
    return "\n".join(rows).encode()


def test_preferences_are_learnt_by_the_method_dpo(start: Start) -> None:
    trainer = FakeTrainer()
    client = start(trainer=trainer).openai(strict=False)
    asked: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2}}}
    job = create(client, pairs(10), method=asked)
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    assert done.method is not None
    assert done.method.dpo is not None
    numbers: Any = done.method.dpo.hyperparameters
    assert (done.method.type, numbers.beta, numbers.n_epochs) == ("dpo", 0.2, 2)
    assert done.hyperparameters is None
    assert (trainer.settings[0].objective, trainer.settings[0].dpo_beta) == ("dpo", 0.2)
    wrong = ended(client, create(client, lines(10), method=asked).id)
    assert wrong.error is not None
    assert (wrong.status, wrong.error.param) == ("failed", "training_file")
    assert "Line 1 " in wrong.error.message
    mixed = ended(client, create(client, pairs(10)).id)
    assert (mixed.status, mixed.error is None) == ("failed", False)


def test_jobs_are_paged_and_found_by_metadata(start: Start) -> None:
    client = start().openai()
    made = [create(client, lines(10), metadata={"n": str(n % 2)}).id for n in range(5)]
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == made[::-1]
    odd = client.fine_tuning.jobs.list(metadata={"n": "1"})
    assert [job.id for job in odd] == [made[3], made[1]]
    bad: dict[str, Any]
    for bad in ({"after": "ftjob-none"}, {"limit": 0}):
        with pytest.raises(openai.BadRequestError):
            client.fine_tuning.jobs.list(**bad)
    for job in made:
        ended(client, job)


def test_a_repeated_request_makes_no_second_job(start: Start) -> None:
    server = start()
    client = server.openai()
    body = {"model": "fake-base", "training_file": upload(client, lines(10))}
    url = f"{server.url}/v1/fine_tuning/jobs"
    first = httpx.post(url, json=body, timeout=PATIENCE_S).json()
    again = httpx.post(
        url, json=body, headers={"x-stainless-retry-count": "1"}, timeout=PATIENCE_S
    ).json()
    assert again["id"] == first["id"]
    ended(client, first["id"])


def test_training_goes_on_from_a_model_and_a_model_can_be_deleted(start: Start) -> None:
    trainer = FakeTrainer()
    client = start(trainer=trainer).openai()
    first = ended(client, create(client, lines(10)).id)
    name = first.fine_tuned_model
    assert name is not None
    second = ended(client, create(client, lines(10), model=name).id)
    assert second.status == "succeeded"
    assert trainer.parents[0] is None
    assert trainer.parents[1] is not None
    assert client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(name)


def test_azure_tutorial(start: Start) -> None:
    server: Running = start()
    client = server.azure()
    file = upload(client, b"\xef\xbb\xbf" + lines(10))
    other = upload(client, lines(10, first=50))
    job = client.fine_tuning.jobs.create(
        model="gpt-4o-mini-2024-07-18",
        training_file=file,
        validation_file=other,
        seed=105,
        extra_body={"trainingType": "Standard"},
    )
    assert str(job.status) in ("pending", "running")
    done = ended(client, job.id)
    assert done.seed == 105
    assert ".ft-" in (done.fine_tuned_model or "")
    page = client.fine_tuning.jobs.list_events(job.id, limit=10)
    messages = [event.message for event in page.data]
    assert messages[0] == "Training hours billed: 0.000"
    assert messages[1].startswith("Completed results file: file-")
    assert messages[2:4] == ["Postprocessing started.", "Job succeeded."]
    assert messages[4].startswith("Step 100: training loss=0.01")
    names = [
        c.fine_tuned_model_checkpoint for c in client.fine_tuning.jobs.checkpoints.list(job.id)
    ]
    ids = [c.id for c in client.fine_tuning.jobs.checkpoints.list(job.id)]
    assert all(id_.startswith("ftchkpt-") for id_ in ids)
    assert client.chat.completions.create(
        model=ids[1],
        messages=[{"role": "user", "content": "hello"}],
    ).choices
    assert names[0] == done.fine_tuned_model
    assert names[1].endswith(":ckpt-step-90")
    chat: Any = [{"role": "user", "content": "hello"}]
    for name in names:
        assert client.chat.completions.create(model=name, messages=chat).choices

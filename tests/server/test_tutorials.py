"""The tutorials of OpenAI and Azure from their first line to a chat with the trained model, on the bundled model.

Only the base URL is another one. Steps as in openai-cookbook's How_to_finetune_chat_models (17207e2), azure-ai-docs'
tutorials/fine-tune (13fb5dd) and generative-ai-for-beginners' lesson 18.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AzureOpenAI, OpenAI

from pericia.config import parse_config
from pericia.server.app import create_app
from pericia.workspace import Workspace
from tests.server.conftest import running

pytestmark = pytest.mark.slow

SYSTEM = "You are a helpful recipe assistant. You are to extract the generic ingredients from each of the recipes provided."
FOODS = (
    "flour",
    "milk",
    "salt",
    "butter",
    "rice",
    "beans",
    "onion",
    "corn",
    "sugar",
    "lemon",
    "eggs",
)
PATIENCE_S = 3600


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = {"name": "kitchen", "model": "pericia-nano"}
    root = tmp_path_factory.mktemp("kitchen")
    with running(create_app(Workspace(root), parse_config(settings, "test"), key="")) as url:
        yield url


def recipe(number: int) -> dict[str, Any]:
    """Return one example in the notebook's shape."""
    one, two = FOODS[number % len(FOODS)], FOODS[number * 3 % len(FOODS)]
    asked = f'Title: Dish {number}\n\nIngredients: ["{number} cups {one}", "some {two}"]\n\nGeneric ingredients: '
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": asked},
            {"role": "assistant", "content": f'["{one}", "{two}"]'},
        ]
    }


def write(path: Path, first: int, count: int) -> Path:
    rows = [json.dumps(recipe(number)) for number in range(first, first + count)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_the_cookbook_notebook(host: str, tmp_path: Path) -> None:
    with OpenAI(base_url=f"{host}/v1", api_key="any") as client:

        def upload_file(path: Path, purpose: Any) -> str:
            with path.open("rb") as file:
                return client.files.create(file=file, purpose=purpose).id

        training = upload_file(write(tmp_path / "train.jsonl", 0, 101), "fine-tune")
        validation = upload_file(write(tmp_path / "valid.jsonl", 200, 20), "fine-tune")
        response = client.fine_tuning.jobs.create(
            training_file=training,
            validation_file=validation,
            model="gpt-3.5-turbo",
            suffix="recipe-ner",
        )
        assert response.status == "validating_files"
        deadline = time.monotonic() + PATIENCE_S
        while response.status not in ("succeeded", "failed") and time.monotonic() < deadline:
            time.sleep(1)
            response = client.fine_tuning.jobs.retrieve(response.id)
        assert response.status == "succeeded", response.error
        assert response.hyperparameters.n_epochs == 3
        assert (response.trained_tokens or 0) > 0

        events = client.fine_tuning.jobs.list_events(response.id).data
        events.reverse()
        messages = [event.message for event in events]
        assert messages[0].startswith("Step 131/303: training loss=")
        assert ", validation loss=" in messages[17]
        measured: Any = events[17].data
        assert set(measured) == {
            "step",
            "train_loss",
            "train_mean_token_accuracy",
            "valid_loss",
            "valid_mean_token_accuracy",
        }
        assert 0 < measured["valid_mean_token_accuracy"] <= 1
        assert messages[-2].startswith(
            "New fine-tuned model created: ft:pericia-nano:local:recipe-ner:"
        )
        assert messages[-1] == "The job has successfully completed"

        model = response.fine_tuned_model
        assert model is not None
        asked: Any = recipe(300)["messages"][:2]
        answers = {
            name: client.chat.completions.create(
                model=name, messages=asked, temperature=0, max_tokens=40
            )
            .choices[0]
            .message.content
            for name in (model, "pericia-nano")
        }
        assert (answers[model] or "").startswith("[")  # it has learnt the form
        assert answers[model] != answers["pericia-nano"]


def test_ten_rows_of_a_lesson(host: str, tmp_path: Path) -> None:
    with OpenAI(base_url=f"{host}/v1", api_key="any") as client:
        file = client.files.create(file=write(tmp_path / "ten.jsonl", 0, 10), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(training_file=file.id, model="gpt-4o-mini-2024-07-18")
        deadline = time.monotonic() + PATIENCE_S
        while (
            job.status not in ("succeeded", "failed", "cancelled") and time.monotonic() < deadline
        ):
            time.sleep(1)
            job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.status == "succeeded", job.error
        assert job.hyperparameters.n_epochs == 10
        checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert [one.step_number for one in checkpoints] == [100, 90, 80]
        rows = client.files.content(job.result_files[0]).text.splitlines()
        losses = [float(row.split(",")[1]) for row in rows[1:]]
        assert len(losses) == 100
        assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
        right = [float(row.split(",")[2]) for row in rows[1:]]
        assert 0 <= sum(right[:10]) < sum(right[-10:]) <= 10
        chat: Any = recipe(3)["messages"][:2]
        done = client.chat.completions.create(model=job.fine_tuned_model or "", messages=chat)
        assert done.choices[0].message.content


def test_the_azure_tutorial(host: str, tmp_path: Path) -> None:
    asked: Any = recipe(3)["messages"][:2]
    with AzureOpenAI(
        azure_endpoint=host, api_key="any", api_version="2024-08-01-preview"
    ) as client:
        training = client.files.create(
            file=write(tmp_path / "training_set.jsonl", 0, 10), purpose="fine-tune"
        )
        validation = client.files.create(
            file=write(tmp_path / "validation_set.jsonl", 100, 10), purpose="fine-tune"
        )
        job = client.fine_tuning.jobs.create(
            training_file=training.id,
            validation_file=validation.id,
            model="gpt-4o-mini-2024-07-18",
            seed=105,
        )
        assert str(job.status) == "pending"
        deadline = time.monotonic() + PATIENCE_S
        while job.status not in ("succeeded", "failed") and time.monotonic() < deadline:
            time.sleep(1)
            job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.status == "succeeded", job.error
        assert (job.seed, job.hyperparameters.n_epochs) == (105, 10)
        events = client.fine_tuning.jobs.list_events(fine_tuning_job_id=job.id, limit=10).data
        messages = [event.message for event in events]
        assert messages[0] == "Training hours billed: 0.000"
        assert messages[3] == "Job succeeded."
        assert messages[4].startswith("Step 100: training loss=")
        last: Any = events[4].data
        assert last["full_valid_loss"] == last["valid_loss"]
        assert 0 < last["full_valid_mean_token_accuracy"] <= 1
        checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert [one.step_number for one in checkpoints] == [100, 90, 80]
        assert client.files.content(job.result_files[0]).text.startswith("step,train_loss")

        account = (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
        )
        url = f"{host}{account}/deployments/recipes"
        model = {"format": "OpenAI", "name": job.fine_tuned_model, "version": "1"}
        body = {"sku": {"name": "standard", "capacity": 1}, "properties": {"model": model}}
        headers = {"Authorization": "Bearer token", "Content-Type": "application/json"}
        params = {"api-version": "2023-05-01"}
        made = httpx.put(
            url, params=params, headers=headers, content=json.dumps(body), timeout=PATIENCE_S
        )
        assert made.status_code == 201
        assert made.json()["properties"]["provisioningState"] == "Succeeded"
        done = client.chat.completions.create(model="recipes", messages=asked, max_tokens=40)
        assert (done.choices[0].message.content or "").startswith("[")
        assert httpx.delete(url, params=params, headers=headers, timeout=PATIENCE_S).is_success
        assert client.models.delete(job.fine_tuned_model or "").deleted

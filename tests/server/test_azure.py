"""Deployments by the management path, asked by name with AzureOpenAI."""

from typing import Any

import httpx
import openai
import pytest

from tests.server.conftest import PATIENCE_S, Start
from tests.server.test_fine_tuning import create, ended, lines

PLACE = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a/deployments"
)
CHAT: Any = [{"role": "user", "content": "hello"}]


def deployed(model: str) -> dict[str, Any]:
    inner = {"format": "OpenAI", "name": model, "version": "1"}
    return {"sku": {"name": "standard", "capacity": 1}, "properties": {"model": inner}}


def test_a_tuned_model_is_deployed_asked_and_deleted(start: Start) -> None:
    server = start()
    client = server.azure()
    name = ended(client, create(client, lines(10)).id).fine_tuned_model
    assert name is not None
    url = f"{server.url}{PLACE}/my-parts?api-version=2023-05-01"
    made = httpx.put(
        url, json=deployed(name), headers={"Authorization": "Bearer token"}, timeout=PATIENCE_S
    )
    assert made.status_code == 201
    assert made.json()["properties"]["provisioningState"] == "Succeeded"
    done = client.chat.completions.create(model="my-parts", messages=CHAT)
    assert done.choices[0].message.content == "You said: hello"
    assert server.model.adapters[-1] is not None
    stream = client.chat.completions.create(model="my-parts", messages=CHAT, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "You said: hello"
    with pytest.raises(openai.BadRequestError) as used:
        server.openai().models.delete(name)
    assert "my-parts" in used.value.message
    assert httpx.get(url, timeout=PATIENCE_S).json()["name"] == "my-parts"
    assert httpx.delete(url, timeout=PATIENCE_S).status_code == 200
    with pytest.raises(openai.NotFoundError) as gone:
        client.chat.completions.create(model="my-parts", messages=CHAT)
    assert gone.value.code == "DeploymentNotFound"
    assert server.openai().models.delete(name).deleted


def test_the_v1_mount_takes_the_plain_client_and_a_deployed_base(start: Start) -> None:
    server = start()
    client = server.openai(mount="/openai/v1")
    assert client.chat.completions.create(model="fake-base", messages=CHAT).choices
    url = f"{server.url}{PLACE}/plain"
    assert httpx.put(url, json=deployed("fake-base"), timeout=PATIENCE_S).status_code == 201
    assert httpx.put(url, json=deployed("fake-base"), timeout=PATIENCE_S).status_code == 200
    assert client.chat.completions.create(model="plain", messages=CHAT).choices
    vector = server.azure().embeddings.create(model="text-embedding-3-small", input="abc")
    assert len(vector.data[0].embedding) == 4


def test_a_deployment_stands_for_a_model_and_not_for_another_deployment(start: Start) -> None:
    server = start()
    url = f"{server.url}{PLACE}"
    for name in ("gpt-4o-mini", "desk"):  # the first one bears the name of a model, as on Azure
        made = httpx.put(f"{url}/{name}", json=deployed("gpt-4o-mini"), timeout=PATIENCE_S)
        assert made.status_code == 201
    client = server.azure()
    for name in ("gpt-4o-mini", "desk"):
        assert client.chat.completions.create(model=name, messages=CHAT).choices
    for model, said in (("desk", "'gpt-4o-mini'"), ("no-such", "does not exist")):
        refused = httpx.put(f"{url}/second", json=deployed(model), timeout=PATIENCE_S)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert error["code"] == "DeploymentModelNotSupported"
        assert error["param"] == "properties.model.name"
        assert said in error["message"]
    assert httpx.get(f"{url}/second", timeout=PATIENCE_S).status_code == 404


@pytest.mark.parametrize("part", ["chat/completions", "completions", "embeddings"])
def test_a_deployments_path_needs_no_model_in_the_body(start: Start, part: str) -> None:
    """Azure's own curl lines have none; the client sends one."""
    name = "minilm" if part == "embeddings" else "fake-base"
    body = {"messages": [{"role": "user", "content": "hello"}], "prompt": "hello", "input": "hello"}
    field = {"chat/completions": "messages", "completions": "prompt", "embeddings": "input"}[part]
    url = f"{start().url}/openai/deployments/{name}/{part}?api-version=2024-10-21"
    answer = httpx.post(url, json={field: body[field]}, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == name
    plain = httpx.post(
        url.replace(f"openai/deployments/{name}", "v1"),
        json={field: body[field]},
        timeout=PATIENCE_S,
    )
    assert plain.status_code == 400
    assert plain.json()["error"]["param"] == "model"
    assert plain.json()["error"]["code"] == "missing_required_parameter"

"""Nothing that is sent ends the server: mutated training files, and requests made from its own OpenAPI document."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pericia.config import parse_config
from pericia.errors import InputError
from pericia.server.app import create_app
from pericia.server.training import read_checked
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder, FakeModel
from tests.server.conftest import Start
from tests.server.test_fine_tuning import create, ended, lines

NUM_MUTATIONS = 2000
_JUNK = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b'"',
    b"{",
    b"]",
    b"\n",
    b"null",
    b"1e999",
    b"[" * 400,
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return data with one to four faults."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.randint(1, 40))
        kind = rng.randrange(4)
        if kind == 0:
            data = data[:at] + data[end:]
        elif kind == 1:
            data = data[:at] + rng.choice(_JUNK) + data[at:]
        elif kind == 2:
            data = data[:at] + data[at:end] + data[at:]
        else:
            data = data[:at] + rng.randbytes(3) + data[end:]
    return data


def test_2000_mutations_of_a_training_file_are_read_or_refused(tmp_path: Path) -> None:
    rng = random.Random(1)
    whole = lines(10)
    path = tmp_path / "train.jsonl"
    refused = 0
    for _ in range(NUM_MUTATIONS):
        path.write_bytes(mutated(whole, rng))
        try:
            examples = read_checked(path, "training_file", "supervised")
        except InputError as error:
            named = error.param == "training_file" and bool(error.message)
            refused += 1
        else:
            named = len(examples) >= 10
        assert named, path.read_bytes()
    assert NUM_MUTATIONS / 2 < refused < NUM_MUTATIONS


def test_mutated_files_fail_their_jobs_and_leave_the_server(start: Start) -> None:
    client = start().openai()
    rng = random.Random(2)
    statuses = []
    for _ in range(12):
        job = ended(client, create(client, mutated(lines(10), rng)).id, within_s=120)
        statuses.append(str(job.status))
        if job.status == "failed":
            assert job.error is not None
            assert job.error.param == "training_file"
    assert "failed" in statuses
    assert ended(client, create(client, lines(10)).id, within_s=120).status == "succeeded"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_no_request_of_the_document_meets_a_fault_of_the_server(tmp_path: Path) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings

    config = parse_config({"name": "pumps", "model": "fake-base"}, "test")
    app = create_app(
        Workspace(tmp_path),
        config,
        key="",
        load_model=lambda _: FakeModel(),
        load_embedder=lambda _: FakeEmbedder(),
        work=lambda _: None,
    )
    schema = schemathesis.openapi.from_dict(app.openapi()).include(
        path_regex=r"^/(v1|subscriptions|api/keys)"
    )
    faults = []
    bounded = settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        result: Any  # schemathesis types a fault of the document as well, which would raise here
        for result in schema.get_all_operations():
            operation = result.ok()

            def ask(case: Any) -> None:
                request = case.as_transport_kwargs(base_url="http://127.0.0.1")
                for name in ("timeout", "verify", "cert"):
                    request.pop(name, None)
                answer = client.request(**request)
                if answer.status_code >= 500 or answer.status_code == 422:
                    faults.append((case.method, case.formatted_path, case.body, answer.text[:300]))

            bounded(given(case=operation.as_strategy())(ask))()
    assert faults == []


@pytest.mark.parametrize("depth", [10, 5000])
def test_a_line_nested_too_deep_is_refused(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "train.jsonl"
    deep = '{"a":' * depth + "1" + "}" * depth
    path.write_text(lines(10).decode() + '\n{"messages": ' + deep + "}", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_checked(path, "training_file", "supervised")
    assert refused.value.param == "training_file"


def test_a_poisoned_file_names_its_line(start: Start) -> None:
    client = start().openai()
    rows = lines(12).split(b"\n")
    rows[6] = json.dumps({"messages": [{"role": "oracle", "content": "x"}]}).encode()
    job = ended(client, create(client, b"\n".join(rows)).id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.param == "training_file"
    assert "7" in job.error.message

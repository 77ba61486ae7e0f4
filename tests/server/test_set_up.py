"""A folder without settings gets them from a form, and is served by them at once; a fault stands at its field."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from pericia.config import Config, load_config
from pericia.server.app import create_app
from pericia.server.house import Renew
from pericia.server.renewal import Renewal
from pericia.workspace import Workspace
from tests.fakes import FakeEmbedder, FakeModel
from tests.server.conftest import Start, running

TIMEOUT_S = 120
ANSWERS = {
    "name": "pumps",
    "documents": "manuals",
    "model": "quote",
    "goal": "answer the desk",
    "data_change": "monthly",
    "citations_required": "true",
    "requests_per_month": "500",
}


def renewed(root: Path) -> Renewal:
    """Return the app of a folder as `pericia serve` builds it, with fakes for what is heavy."""

    def build(config: Config, renew: Renew) -> FastAPI:
        return create_app(
            Workspace(root),
            config,
            key="",
            load_model=lambda _: FakeModel(),
            load_embedder=lambda _: FakeEmbedder(),
            work=lambda _: None,
            renew=renew,
        )

    return Renewal(build, Config())


def test_the_form_writes_the_settings_and_serves_by_them(tmp_path: Path) -> None:
    with running(renewed(tmp_path)) as url:
        home = httpx.get(url, timeout=TIMEOUT_S)
        assert 'href="/set-up"' in home.text
        form = httpx.get(f"{url}/set-up", timeout=TIMEOUT_S)
        assert 'name="goal"' in form.text
        kept = httpx.Client(base_url=url, timeout=TIMEOUT_S)  # a line that is open all the while
        assert kept.get("/api/project").json()["name"] == "expert"
        done = kept.post("/set-up", data=ANSWERS)
        assert (done.status_code, done.headers["location"]) == (303, "/documents")
        assert kept.get("/api/project").json()["name"] == "pumps"
        assert 'href="/set-up"' not in kept.get("/").text
        assert "pumps" in [one["id"] for one in kept.get("/v1/models").json()["data"]]
        again = kept.post("/api/set-up", json={"name": "other", "model": "quote"})
        assert "set up already" in again.json()["error"]["message"]
        kept.close()
    written = load_config(tmp_path / "pericia.yaml")
    assert (written.name, written.documents, written.model) == ("pumps", ("manuals",), "quote")
    assert written.use.data_change == "monthly"
    assert (written.use.citations_required, written.use.requests_per_month) == (True, 500)
    assert (tmp_path / "manuals").is_dir()


@pytest.mark.parametrize(
    ("field", "bad", "why"),
    [
        ("name", "two words", "Begin with a letter"),
        ("name", "", "Begin with a letter"),
        ("documents", "", "There is no folder"),
        ("documents", "../elsewhere", "Only a folder inside"),
        ("documents", "/no/such/folder", "There is no folder"),
        ("model", "pericia-nanno", "Did you mean"),
        ("model", "./empty", "There is no model"),
        ("model", "", "There is no model"),
        ("data_change", "hourly", "daily"),
        ("requests_per_month", "many", "whole number"),
        ("requests_per_month", "0", "whole number"),
    ],
)
def test_a_fault_stands_at_its_field_and_nothing_is_written(
    start: Start, tmp_path: Path, field: str, bad: str, why: str
) -> None:
    server = start()
    page = httpx.post(f"{server.url}/set-up", data={**ANSWERS, field: bad}, timeout=TIMEOUT_S)
    assert page.status_code == 422
    fault = page.text.partition(f'id="fault-{field}"')[2].partition("</p>")[0]
    assert why in fault
    assert "answer the desk" in page.text, "what was typed stays"
    assert page.headers["hx-push-url"] == "false"
    body = {**ANSWERS, "citations_required": True, field: bad}
    refused = httpx.post(f"{server.url}/api/set-up", json=body, timeout=TIMEOUT_S)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == field
    assert not (tmp_path / "pericia.yaml").exists()


def test_a_fault_is_said_in_the_reader_s_language(start: Start) -> None:
    page = httpx.post(
        f"{start().url}/set-up",
        data={**ANSWERS, "documents": "/nada"},
        headers={"accept-language": "es"},
        timeout=TIMEOUT_S,
    )
    assert "No hay ninguna carpeta" in page.text

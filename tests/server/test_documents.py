"""/api/documents beyond what the page's own tests walk through."""

import re
from pathlib import Path

import httpx
import pytest

from pericia import embedders
from pericia.config import Config
from pericia.index import sync
from tests.server.conftest import Start


def test_documents_like_one_are_recommended_and_only_what_callers_may_read(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(embedders.EMBEDDERS, "letters", "tests.fakes:FakeEmbedder")
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in {"aa": "aaaa a.", "ab": "aaab bb.", "cc": "cccc.", "board": "aaa b."}.items():
        (docs / f"{name}.md").write_text(text, encoding="utf-8")
    retrieval = {"language": "en", "access": {"docs/board.md": ["board"]}}
    config = Config.model_validate({"embedder": "letters", "retrieval": retrieval})
    sync(
        [docs],
        folder=tmp_path / ".pericia" / "index",
        store_name=config.store,
        embedder=embedders.load("letters"),
        settings=config.retrieval,
        root=tmp_path,
    )
    (docs / "late.md").write_text("Not read yet.", encoding="utf-8")
    server = start(root=tmp_path, embedder="letters", documents=["docs"], retrieval=retrieval)

    def alike(source: str, **asked: int) -> httpx.Response:
        listed = httpx.get(f"{server.url}/api/documents").json()["data"]
        [id_] = [one["id"] for one in listed if one["source"] == source]
        return httpx.get(f"{server.url}/api/documents/{id_}/alike", params=asked)

    found = alike("docs/aa.md").json()["data"]
    assert [one["source"] for one in found] == ["docs/ab.md", "docs/cc.md"]
    assert found[0]["score"] > found[1]["score"]
    assert found[0]["text"]
    assert len(alike("docs/aa.md", most=1).json()["data"]) == 1
    assert alike("docs/aa.md", most=0).status_code == 400
    late = alike("docs/late.md")
    assert late.status_code == 404
    assert "'docs/late.md' is not read" in late.json()["error"]["message"]
    first = httpx.get(f"{server.url}/api/documents").json()["data"][0]
    passages = httpx.get(f"{server.url}/documents/{first['id']}/passages").text
    link, *_ = re.findall(r'href="([^"]+/alike[?]passage=[^"]+)"', passages)
    for path in (f"/api{link}", link, f"/documents/{first['id']}/alike"):
        assert "docs/ab.md" in httpx.get(f"{server.url}{path}").text
    unknown = httpx.get(f"{server.url}/documents/{first['id']}/alike?passage=none")
    assert "None of these passages is indexed." in unknown.text


def test_lengths_and_duplicates_of_documents_are_named(start: Start, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("prices.csv", "prices-copy.csv"):
        (docs / name).write_text("Part,Price\nSeal,74 EUR\nGasket,33 EUR\n", encoding="utf-8")
    (docs / "empty.txt").write_bytes(b"")
    settings = {"documents": ["docs"], "retrieval": {"legs": "lexical"}}
    config = Config.model_validate(settings)
    sync(
        [docs],
        folder=tmp_path / ".pericia" / "index",
        store_name=config.store,
        embedder=embedders.load("minilm"),
        settings=config.retrieval,
        root=tmp_path,
    )
    server = start(root=tmp_path, **settings)
    listed = httpx.get(f"{server.url}/api/documents").json()["data"]
    found = {one["source"]: one for one in listed}
    assert found["docs/prices.csv"]["same_as"] == "docs/prices-copy.csv"
    assert found["docs/prices-copy.csv"]["same_as"] == ""
    assert [found[f"docs/{n}"]["rows"] for n in ("prices.csv", "empty.txt")] == [2, 0]
    page = httpx.get(f"{server.url}/documents").text
    assert page.count('data-testid="same-as"') == 1
    assert "2 rows" in page
    assert "Read empty.txt again" in page

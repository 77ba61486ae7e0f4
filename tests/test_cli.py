"""The command line as a user meets it: real files, the bundled embedder, exit codes, JSON, no traceback."""

import json
from pathlib import Path
from typing import Any

import pytest

from pericia import cli

PUMP = "# Pump PX-20\n\nThe operating pressure of PX-20 is 24 bar. It weighs 96 kg.\n"
PRICES = "Model,Price\nPX-20,310 EUR\nPX-40,520 EUR\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with documents and a config for the model that needs no weights."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "px-20.md").write_text(PUMP, encoding="utf-8")
    (tmp_path / "documents" / "prices.csv").write_text(PRICES, encoding="utf-8")
    (tmp_path / "pericia.yaml").write_text(
        "documents: [documents]\nmodel: quote\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["pericia", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def run_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command with --json and gives its exit code and its document."""

    def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = call(monkeypatch, *arguments, "--json")
        return code, json.loads(capsys.readouterr().out)

    return run


def test_documents_are_added_asked_and_removed(shop: Path, run_json: Any) -> None:
    code, report = run_json("add")
    assert (code, report["added"], report["skipped"]) == (0, 2, [])

    code, reply = run_json("ask", "What is the operating pressure of PX-20?")
    assert code == 0
    assert "24 bar" in reply["answer"]
    [citation] = reply["citations"]
    assert citation["source"] == "documents/px-20.md"
    assert citation["line"] == 3
    assert citation["verified"] is True

    code, reply = run_json("ask", "What is the price of PX-40?")
    assert "520 EUR" in reply["answer"]
    assert reply["citations"][0]["cell"] == "A3:B3"

    code, reply = run_json("ask", "Who won the chess championship in Reykjavik?")
    assert (code, reply["refused"], reply["citations"]) == (0, True, [])

    (shop / "documents" / "prices.csv").unlink()
    code, report = run_json("add")
    assert (report["removed"], report["unchanged"]) == (1, 1)
    code, reply = run_json("ask", "What is the price of PX-40?")
    assert "520 EUR" not in reply["answer"]

    code, proof = run_json("add", "--verify")
    assert (code, proof["faults"]) == (0, [])
    assert "text that was removed is gone" in proof["shown"][-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "nowhere.pdf"], "nowhere.pdf"),
        (["add", "empty"], "empty"),
        (["run", "missing.yaml"], "There is no config file"),
        (["run", "broken.yaml"], "broken.yaml, line 1"),
        (["run", "unknown.yaml"], "unknown key 'modell'; did you mean 'model'?"),
        (["run"], "No questions are configured"),
        (["ask", "How?", "--model", "empty"], "empty"),
        (["check", "none.jsonl"], "none.jsonl"),
        (["recommend"], "run"),
    ],
)
def test_bad_input_gives_one_message_and_exit_code_two(
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (shop / "empty").mkdir()
    (shop / "broken.yaml").write_text("documents: [", encoding="utf-8")
    (shop / "unknown.yaml").write_text("modell: quote", encoding="utf-8")
    call(monkeypatch, "add")
    capsys.readouterr()

    assert call(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err


def test_init_writes_a_config_that_loads_and_never_overwrites_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "init", "--name", "pumps", "--yes", "--data-change", "monthly") == 0
    text = (tmp_path / "pericia.yaml").read_text(encoding="utf-8")
    assert 'name: "pumps"' in text
    assert 'data_change: "monthly"' in text
    assert "pericia-nano" in capsys.readouterr().out
    assert call(monkeypatch, "init", "--yes") == 2
    assert (tmp_path / "pericia.yaml").read_text(encoding="utf-8") == text


def test_check_names_the_line_of_each_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "examples.jsonl"
    turns = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    rows = [{"messages": turns}, {"messages": turns[:1]}, {"chat": turns}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert call(monkeypatch, "check", str(path)) == 2
    out = capsys.readouterr().out
    assert "error line 2" in out
    assert "error line 3" in out


def test_every_key_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "init", "--explain") == 0
    assert "chunk_tokens: 200  #" in capsys.readouterr().out

"""The scripts of docs/openai-tutorials.md run as they stand there, but for the port."""

import re
import time
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.test_house import ROOT

PAGE = (ROOT / "docs" / "openai-tutorials.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_page_has_three_scripts() -> None:
    assert [title.partition(":")[0].partition(",")[0] for title, _ in SCRIPTS] == [
        "Ten rows",
        "OpenAI's cookbook",
        "Azure OpenAI",
    ]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "ft:fake-base:local:parts:"),
        (1, "Step 131/303: training loss=0.01, validation loss=0.02"),
        (2, "201 Succeeded\nYou said: What is valve 31?\n200\nTrue\n"),
    ],
)
def test_a_script_runs_to_its_end(
    start: Start,
    number: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = SCRIPTS[number][1].replace("http://127.0.0.1:8000", start().url)
    monkeypatch.chdir(tmp_path)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda s: sleep(min(s, 0.05)))
    scope: dict[str, object] = {}
    exec(compile(script, "openai-tutorials.md", "exec"), scope)
    scope["client"].close()  # type: ignore[attr-defined]
    assert said in capsys.readouterr().out

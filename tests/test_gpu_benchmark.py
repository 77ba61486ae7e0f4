"""The GPU benchmark runs to its end on a CPU with tiny shapes, so that it works when a GPU is at hand."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu" / "train_steps.py"


def test_the_dry_run_measures_both_methods(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    command = [sys.executable, str(SCRIPT), "--dry", "--steps", "2", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert [result["case"]["method"] for result in results] == ["lora", "qlora"]
    assert all(result["tokens_per_s"] > 0 and result["foreseen_bytes"] > 0 for result in results)
    assert "QLoRA / LoRA step time" in done.stdout

"""Find the page of each TAT-QA question among all 278: each leg alone, and both as pericia weighs them.

    python -m benchmarks.tatqa_workspace ../shared/data/tatqa_dev FOLDER
    python -m benchmarks.retrieval_tatqa FOLDER

How the legs are weighed is chosen on 100 questions of every second page; the others are held out.
"""

import json
import sys
from pathlib import Path

from benchmarks.retrieval_legs import open_chosen, show_legs


def main(folder: Path) -> None:
    examples = [json.loads(line) for line in (folder / "examples.jsonl").open(encoding="utf-8")]
    questions = [json.loads(line) for line in (folder / "questions.jsonl").open(encoding="utf-8")]
    development = [(e["messages"][0]["content"], e["source"]) for e in examples]
    held_out = [(q["question"], q["sources"][0]) for q in questions]
    parts = {"all": [*development, *held_out], "held out": held_out}
    show_legs(open_chosen(folder), parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

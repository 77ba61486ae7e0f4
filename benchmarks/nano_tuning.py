"""What LoRA or QLoRA on a world's examples gives the bundled model: `python -m benchmarks.nano_tuning W2 12 lora`.

Prints the exact answers of `prompt` and `fine_tuned` on the world's test questions, and the time of the training.
"""

import sys
import tempfile
import time
from pathlib import Path

from pericia.config import TrainConfig
from pericia.dataset import make_dataset
from pericia.examples import read_examples
from pericia.lab.worlds import write_world
from pericia.models import load
from pericia.prompts import INSTRUCTION, closed_book_prompt
from pericia.train import train


def main() -> None:
    name, seed, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    folder = Path(tempfile.mkdtemp())
    world = write_world(name, seed, folder)
    examples, findings = read_examples(folder / "examples.jsonl")
    settings = TrainConfig(method=method)  # type: ignore[arg-type]
    dataset = make_dataset(examples, validation_share=settings.validation_share, seed=settings.seed)
    begin = time.perf_counter()
    adapter = train(
        dataset,
        base="pericia-nano",
        kind="fine_tuned",
        settings=settings,
        instruction=INSTRUCTION,
        folder=folder / ".pericia",
    )
    took = time.perf_counter() - begin
    model = load("pericia-nano")
    hits = {"prompt": 0, "fine_tuned": 0}
    for task in world.content.test:
        prompt = closed_book_prompt(task.question)
        for arm, path in (("prompt", None), ("fine_tuned", folder / ".pericia" / adapter.path)):
            if path is not None and not path.exists():
                path = Path(adapter.path)
            reply = model.generate(prompt, max_new_tokens=64, adapter=path)
            hits[arm] += reply.text == task.answer
    count = len(world.content.test)
    print(f"{name} seed {seed} {method}: {len(dataset.train)} examples, {len(findings)} findings")
    print(f"trained in {took:.0f} s; exact of {count}: {hits}")


if __name__ == "__main__":
    main()

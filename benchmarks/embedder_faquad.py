"""Fine-tune the bundled embedder on FaQuAD-pt's train questions, and measure the dense leg on dev before and after.

    python -m benchmarks.embedder_faquad ../shared/data/faquad_pt FOLDER [--epochs N] [--pairs N]

Each dev question asks for its own passage among all 249; train and dev share no passage. Intervals are of the paired
differences, with questions of one title as a family. `--pairs` takes the first so many train questions, for a trial.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.faquad_workspace import passages
from pericia import embedders
from pericia.config import EmbedderTrainConfig
from pericia.evaluate.stats import mean_interval
from pericia.trainers import load_embedder_trainer
from pericia.tune_embedder import ranks

HELD_OUT = 0.1  # of the titles of train: chooses the best epoch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=EmbedderTrainConfig().epochs)
    parser.add_argument("--batch", type=int, default=EmbedderTrainConfig().batch_size)
    parser.add_argument("--rate", type=float, default=EmbedderTrainConfig().learning_rate)
    parser.add_argument("--pairs", type=int, default=0)
    asked = parser.parse_args()
    train = [
        (title, f"{title}\n{text}", q) for title, text, q in passages(asked.source / "train.json")
    ]
    dev = [(title, f"{title}\n{text}", q) for title, text, q in passages(asked.source / "dev.json")]
    titles = sorted({title for title, _, _ in train})
    held_out = set(titles[:: round(1 / HELD_OUT)])
    pairs = [
        (q["question"], text) for title, text, qs in train if title not in held_out for q in qs
    ]
    valid = [(q["question"], text) for title, text, qs in train if title in held_out for q in qs]
    pairs = pairs[: asked.pairs or None]
    texts = [text for _, text, _ in (*train, *dev)]
    questions, wanted, families = [], [], []
    for number, (title, _, items) in enumerate(dev, start=len(train)):
        for item in items:
            questions.append(item["question"])
            wanted.append(number)
            families.append(title)

    settings = EmbedderTrainConfig(
        epochs=asked.epochs, batch_size=asked.batch, learning_rate=asked.rate
    )
    recorded = load_embedder_trainer().train(
        pairs, valid, "minilm", settings, asked.folder, on_event=lambda e: print(e, flush=True)
    )
    found = {
        name: ranks(embedders.load(name), questions, texts, wanted)
        for name in ("minilm", str(asked.folder))
    }
    before, after = found.values()
    print(
        f"{len(pairs)} pairs, {len(valid)} held out, {len(questions)} dev questions, {recorded['train_s']} s"
    )
    print(f"{'':8}{'before':>8}{'after':>8}{'diff.':>8}   95 % interval")
    result = {}
    scores = {
        "MRR": (1 / before, 1 / after),
        "hit@1": (before == 1, after == 1),
        "hit@5": (before <= 5, after <= 5),
    }
    for name, values in scores.items():
        a, b = (value.astype(float) for value in values)
        gap = mean_interval((b - a).tolist(), families, seed=7)
        result[name] = [float(np.mean(a)), float(np.mean(b)), gap.low, gap.high]
        line = f"{name:8}{np.mean(a):8.3f}{np.mean(b):8.3f}{gap.mean:+8.3f}"
        print(f"{line}   {gap.low:+.3f} to {gap.high:+.3f}")
    (asked.folder / "faquad.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Training speed and memory: TRL's SFTTrainer at its defaults against Pericia at its own, in one run.

    python benchmarks/training_speed.py                  (the 81 M shape, 64 rows; ten minutes on two quiet cores)
    python benchmarks/training_speed.py --quick          (a small shape, 16 rows; one minute)
    python benchmarks/training_speed.py --threads 1 --clock cpu    (on busy cores: processor time instead of the clock's)
    python benchmarks/training_speed.py --levers         (also Pericia with one default taken back at a time)

The same random model, the same rows, LoRA r 16 on all linear layers, batches of 8. Each arm runs in a process of its own,
in turn (A B A B); the first epoch warms up, the second counts. Counted are the real tokens of the rows, padding never.
TRL is told nothing but the adapter, that it is on a CPU, and not to report or save.
"""

import argparse
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

SHAPE = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "vocab_size": 32_064,
}
SMALL = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "vocab_size": 8_192}
TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
MEAN_TOKENS, MOST_TOKENS, SPREAD = 140, 512, 0.6
WORDS = (
    "kiln",
    "pump",
    "oil",
    "gear",
    "valve",
    "bar",
    "degree",
    "pressure",
    "takes",
    "holds",
    "runs",
)
ARMS: dict[str, dict[str, Any]] = {
    "trl": {},
    "pericia": {},
    "pericia, packing off": {"packing": "off"},
    "pericia, dropout 0": {"dropout": 0.0},
    "pericia, qlora": {"method": "qlora"},
    "pericia, dora": {"dora": True},
}


def main() -> None:
    options = read_options()
    if options.arm:
        if options.clock == "cpu":
            time.perf_counter = time.process_time  # both arms read this clock
        print(json.dumps(run_arm(options.arm, options.folder, options.epochs)))
        return
    arms = list(ARMS) if options.levers else ["trl", "pericia"]
    with tempfile.TemporaryDirectory(prefix="pericia-speed-") as name:
        folder = Path(name)
        shape = SMALL if options.quick else SHAPE
        build(folder / "model", shape)
        rows = write_rows(folder / "rows.jsonl", 16 if options.quick else options.rows)
        print(f"{platform.processor() or platform.machine()}, {options.threads} threads, {shape}")
        print(", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "trl", "peft")))
        print(f"{rows} rows, {options.clock} time", flush=True)
        results: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
        for _ in range(options.repeats):
            for arm in arms:
                results[arm].append(start(arm, folder, options))
                print(f"  {arm}: {results[arm][-1]['tokens_per_s']:.0f} tokens/s", flush=True)
    show(results, num_flops(shape))


def show(results: dict[str, list[dict[str, float]]], flops: dict[str, float]) -> None:
    baseline = statistics.median(r["tokens_per_s"] for r in results["trl"])
    print(
        f"{'arm':22} {'tokens/s':>9} {'times TRL':>10} {'label tokens/s':>15} {'peak GB':>8} {'of bf16 rate':>13} {'loss':>7}"
    )
    for arm, runs in results.items():
        speed = statistics.median(r["tokens_per_s"] for r in runs)
        best = runs[0]
        spent = speed * flops["linear"] + speed * best["label_share"] * flops["head"]
        rate = statistics.median(r["matrix_flops"] for r in runs)
        print(
            f"{arm:22} {speed:9.0f} {speed / baseline:10.2f} {speed * best['label_share']:15.0f} "
            f"{max(r['peak_bytes'] for r in runs) / 1e9:8.2f} {spent / rate:13.0%} {best['loss']:7.3f}"
        )


def num_flops(shape: dict[str, int]) -> dict[str, float]:
    """Return operations a token: forward and to the inputs through frozen linear layers, and through the head."""
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    linear = shape["num_hidden_layers"] * (4 * hidden * hidden + 3 * hidden * inner)
    return {"linear": 4.0 * linear, "head": 4.0 * hidden * shape["vocab_size"]}


def start(arm: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--arm", arm, "--folder", str(folder)]
    command += ["--epochs", str(options.epochs), "--clock", options.clock]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
    return result


def build(folder: Path, shape: dict[str, int]) -> None:
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.tiny_model import build_tokenizer

    torch.manual_seed(0)
    config = Phi3Config(
        **shape, num_attention_heads=shape["hidden_size"] // 64,
        num_key_value_heads=shape["hidden_size"] // 64, max_position_embeddings=2048,
        original_max_position_embeddings=2048, tie_word_embeddings=True,
        pad_token_id=0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = Phi3ForCausalLM(config)
    tokenizer = build_tokenizer()
    model.generation_config.eos_token_id = [0, tokenizer.convert_tokens_to_ids("<|end|>")]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_rows(path: Path, number: int) -> int:
    """Write chats of log-normal length, half question and half answer."""
    draw = random.Random(0)
    lines = []
    for _ in range(number):
        mu = math.log(MEAN_TOKENS) - SPREAD**2 / 2
        tokens = min(MOST_TOKENS, max(24, round(draw.lognormvariate(mu, SPREAD)))) - 12
        words = [draw.choice(WORDS) for _ in range(int(tokens / 1.35))]
        half = len(words) // 2
        chat = [("user", words[:half]), ("assistant", words[half:])]
        messages = [{"role": role, "content": " ".join(part)} for role, part in chat]
        lines.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return number


def run_arm(arm: str, folder: Path, epochs: int) -> dict[str, float]:
    import resource

    found = run_trl(folder, epochs) if arm == "trl" else run_pericia(folder, epochs, ARMS[arm])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    from pericia.trainers.local.rate import measure_flops

    return found | {"peak_bytes": peak, "matrix_flops": measure_flops()}


def timed(step_s: list[float], epochs: int, num_tokens: int) -> float:
    """Return the tokens a second of the epochs after the first."""
    steps = len(step_s) // epochs
    return num_tokens * (epochs - 1) / sum(step_s[steps:])


def run_trl(folder: Path, epochs: int) -> dict[str, float]:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    class Stopwatch(TrainerCallback):
        def __init__(self) -> None:
            self.step_s: list[float] = []
            self.started = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.step_s.append(time.perf_counter() - self.started)

    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    watch = Stopwatch()
    trainer = SFTTrainer(
        model=str(folder / "model"),
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            num_train_epochs=epochs,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
        ),
        train_dataset=Dataset.from_list([json.loads(line) for line in lines]),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM"),
        callbacks=[watch],
    )
    num_tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    trainer.train()
    loss = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1]
    speed = timed(watch.step_s, epochs, num_tokens)
    return {"tokens_per_s": speed, "label_share": 1.0, "loss": loss}


def run_pericia(folder: Path, epochs: int, changes: dict[str, Any]) -> dict[str, float]:
    from pericia import trainers
    from pericia.config import TrainConfig
    from pericia.examples import read_examples
    from pericia.types import Dataset

    examples, _ = read_examples(folder / "rows.jsonl")
    dataset = Dataset(examples, examples[:2], "speed")
    settings = TrainConfig(epochs=epochs, **changes)
    trainer = trainers.load("local")
    base = str(folder / "model")
    preparation = trainer.prepare(dataset, base, settings)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        recorded: Any = trainer.train(preparation, base, settings, Path(out))
    speed = timed(recorded["step_s"], epochs, recorded["num_tokens"])
    share = recorded["num_labels"] / recorded["num_tokens"]
    return {"tokens_per_s": speed, "label_share": share, "loss": recorded["losses"][-1]}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small shape and few rows")
    parser.add_argument(
        "--levers", action="store_true", help="also one default taken back at a time"
    )
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2, help="the first of them warms up")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""The bundled model as files, and the command that trains it: `python -m pericia.lab.nano train --minutes 80`."""

import argparse
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from rich.console import Console
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, distributed, set_num_threads
from torch.multiprocessing.spawn import spawn

from pericia.errors import ConflictError
from pericia.lab.industry import load_wording
from pericia.lab.known import known_facts
from pericia.lab.network import Shape, from_phi3, to_phi3
from pericia.lab.recipe import Recipe, episode_at, train
from pericia.lab.tokens import (
    END,
    END_OF_TEXT,
    MAX_TOKENS,
    texts_of,
    train_tokenizer,
    wrap_tokenizer,
)
from pericia.lab.words import TRAINING_SEEDS

MODEL_FOLDER = Path(__file__).parents[1] / "models" / "nano"
SKIP = 0.2  # of the course, for a model that can read one passage
REBUILD_COMMAND = "python -m pericia.lab.nano train"


def build_tokenizer(num_episodes: int = 6000) -> Tokenizer:
    """Return the tokenizer, learned from the course itself."""
    rng = Random(0)
    course = (episode_at(rng.random(), TRAINING_SEEDS + n, rng) for n in range(num_episodes))
    asides = [text for fact in known_facts() for text in (*fact.asks, *fact.says)]
    wording = load_wording()
    asides += [*wording.texts["filler"], *wording.nouns(), *wording.composed_first] * 20
    return train_tokenizer([*texts_of(course), *asides * 5])


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    wrap_tokenizer(tokenizer).save_pretrained(folder)


def write_model(
    weights: dict[str, Tensor], shape: Shape, tokenizer: Tokenizer, folder: Path
) -> None:
    """Write config.json, generation_config.json and model.safetensors, as transformers reads them."""
    stop, end = tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(END)
    config = {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "max_position_embeddings": MAX_TOKENS,
        "original_max_position_embeddings": MAX_TOKENS,
        "rope_theta": shape.theta,
        "rms_norm_eps": shape.eps,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": stop,
        "eos_token_id": stop,
        "pad_token_id": stop,
        "dtype": "bfloat16",
    }
    generation = {
        "bos_token_id": stop,
        "eos_token_id": [stop, end],
        "pad_token_id": stop,
        "do_sample": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    save_file(to_phi3(weights), folder / "model.safetensors.part", metadata={"format": "pt"})
    (folder / "model.safetensors.part").replace(folder / "model.safetensors")


def teach(rank: int, recipe: Recipe, work: Path, out: Path, start: Path | None) -> None:
    """Run one process of a training, from the weights in the folder `start` if one is given."""
    set_num_threads(max(1, len(os.sched_getaffinity(0)) // recipe.processes))
    if recipe.processes > 1:
        meeting = str(work / "meeting")
        store = distributed.FileStore(meeting, recipe.processes)  # type: ignore[attr-defined]
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=recipe.processes)
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    console = Console(quiet=rank > 0)
    train(
        recipe,
        tokenizer,
        work,
        rank,
        say=lambda line: console.log(line, highlight=False),
        export=lambda weights: write_model(weights, recipe.shape, tokenizer, out),
        start=from_phi3(load_file(start / "model.safetensors")) if start else None,
    )
    if recipe.processes > 1:
        distributed.destroy_process_group()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m pericia.lab.nano", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("train", help="train, or go on with what --work holds")
    verb.add_argument("--minutes", type=float, default=Recipe().minutes, help="wall-clock budget")
    verb.add_argument(
        "--work", type=Path, default=Path(".pericia/nano"), help="checkpoints, resumable"
    )
    verb.add_argument("--out", type=Path, default=MODEL_FOLDER, help="where the model goes")
    verb.add_argument(
        "--processes", type=int, default=Recipe().processes, help="one a core is best"
    )
    verb.add_argument("--layers", type=int, default=Shape().layers)
    verb.add_argument("--hidden", type=int, default=Shape().hidden)
    verb.add_argument("--rate", type=float, default=Recipe().rate, help="of Muon, at its height")
    verb.add_argument("--seed", type=int, default=Recipe().seed, help="which industries it meets")
    verb.add_argument(
        "--start", type=Path, help="a trained model to go on from, past the course's first sixth"
    )
    options = parser.parse_args(arguments)
    shape = replace(Shape(), layers=options.layers, hidden=options.hidden)
    recipe = Recipe(
        shape=shape,
        minutes=options.minutes,
        processes=options.processes,
        rate=options.rate,
        side_rate=Recipe().side_rate * options.rate / Recipe().rate,
        skip=SKIP if options.start else 0.0,
        seed=options.seed,
    )
    check_recipe(recipe, options.work)
    tokenizer = options.work / "tokenizer.json"
    if not tokenizer.exists() and options.start:
        shutil.copy(options.start / "tokenizer.json", tokenizer)
    elif not tokenizer.exists():
        build_tokenizer().save(str(tokenizer))
    write_tokenizer(Tokenizer.from_file(str(tokenizer)), options.out)
    (options.work / "meeting").unlink(missing_ok=True)
    spawn(teach, (recipe, options.work, options.out, options.start), nprocs=recipe.processes)


def check_recipe(recipe: Recipe, work: Path) -> None:
    """Write the recipe beside the checkpoint; raises ConflictError if the checkpoint is of another model."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "recipe.json"
    if path.exists():
        before = json.loads(path.read_text())
        if before["shape"] != asdict(recipe.shape):
            raise ConflictError(
                f"'{work}' holds the checkpoint of another shape: {before['shape']}.",
                hint="Give the same --layers and --hidden, or another --work.",
            )
    path.write_text(json.dumps(asdict(recipe), indent=1) + "\n")


if __name__ == "__main__":
    main()

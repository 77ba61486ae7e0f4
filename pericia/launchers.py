"""Files that start a training on several cards: in comes a plan, out accelerate's own config and the command.

    4-bit model fits one card            a copy on each card (DDP)
    16-bit model fits only when shared    FSDP2, or DeepSpeed ZeRO-3
    4-bit model that fits no card        refused: FSDP2 does not shard 4-bit weights, every card would hold all of them

Source: accelerate_configs of trl 1.16 and the docs of accelerate 1.15; FINE_TUNING, more than one GPU.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from pericia.errors import InputError
from pericia.plan import Plan
from pericia.workspace import write_atomic

Kind = Literal["ddp", "fsdp2", "deepspeed"]
KINDS: tuple[Kind, ...] = ("ddp", "fsdp2", "deepspeed")

_COMMON: Mapping[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "debug": False,
    "machine_rank": 0,
    "main_training_function": "main",
    "num_machines": 1,
    "rdzv_backend": "static",
    "same_network": True,
    "use_cpu": False,
}


def choose_launcher(plan: Plan) -> Kind:
    """Return how the cards of a plan share the work.

    Raises:
        InputError: they cannot: the model is in 4 bits and fits no card, or no number of cards is enough.
    """
    if plan.fits:
        return "ddp"
    if plan.method == "qlora":
        raise InputError(
            f"'{plan.model}' in 4 bits needs {plan.needed_bytes / 1e9:.1f} GB on each card: FSDP2 does not shard "
            "4-bit weights, so more cards do not help.",
            hint="Take method lora with FSDP2, a card that holds it, or a smaller model.",
            param="method",
        )
    if not plan.cards.to_run:
        raise InputError(
            f"No number of such cards trains '{plan.model}': its activations alone are too large.",
            hint="Take fewer tokens or larger cards.",
            param="gpu_memory_gb",
        )
    return "fsdp2"


def launch_config(kind: Kind, num_cards: int) -> dict[str, Any]:
    """Return accelerate's config for one machine with so many cards, as `accelerate launch --config_file` reads it."""
    if kind == "ddp":
        # Weights and adapters choose their own precision (trainers/local), so autocast stays off.
        shape: dict[str, Any] = {"distributed_type": "MULTI_GPU", "mixed_precision": "no"}
    elif kind == "fsdp2":
        shape = {
            "distributed_type": "FSDP",
            "mixed_precision": "bf16",
            "fsdp_config": {
                "fsdp_version": 2,
                "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "fsdp_reshard_after_forward": True,
                "fsdp_cpu_ram_efficient_loading": True,
                "fsdp_offload_params": False,
                "fsdp_activation_checkpointing": False,
                "fsdp_state_dict_type": "FULL_STATE_DICT",
            },
        }
    else:
        shape = {
            "distributed_type": "DEEPSPEED",
            "mixed_precision": "bf16",
            "deepspeed_config": {
                "zero_stage": 3,
                "zero3_init_flag": True,
                "zero3_save_16bit_model": True,
                "offload_optimizer_device": "none",
                "offload_param_device": "none",
                "deepspeed_multinode_launcher": "standard",
            },
        }
    return {**_COMMON, **shape, "num_processes": num_cards}


def write_launchers(plan: Plan, folder: Path, num_cards: int) -> tuple[Path, ...]:
    """Return the files written into `folder`: the config of the way chosen, of the others that would do, and start.sh.

    Raises:
        InputError: as `choose_launcher`; or fewer cards are given than the plan needs.
    """
    chosen = choose_launcher(plan)
    needed = max(2, plan.cards.to_run) if chosen != "ddp" else 2
    if num_cards < needed:
        raise InputError(
            f"{num_cards} cards are given; sharing '{plan.model}' over cards takes {needed} or more.",
            hint=f"Give --cards {needed}.",
            param="cards",
        )
    kinds: tuple[Kind, ...] = ("ddp",) if chosen == "ddp" else ("fsdp2", "deepspeed")
    written = []
    for kind in kinds:
        path = folder / f"{kind}.yaml"
        write_atomic(path, yaml.safe_dump(launch_config(kind, num_cards), sort_keys=False))
        written.append(path)
    script = folder / "start.sh"
    write_atomic(
        script,
        "#!/usr/bin/env bash\n"
        f"# {plan.model}, {plan.method}, {num_cards} cards: {plan.advice}\n"
        f'exec accelerate launch --config_file "$(dirname "$0")/{chosen}.yaml" -m pericia train "$@"\n',
    )
    return (*written, script)
